/* fuzz_proxy.c -- what has been found of a header stays so when more bytes
 * come, and an address is one that inet_pton() takes. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/proxy.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ssize_t before = 0;

    for (size_t n = 0; n <= size && n <= 300; n++) {
        char ip[PROXY_IP_SIZE], *copy = malloc(n > 0 ? n : 1);
        unsigned char bytes[16];
        if (!copy) abort();
        if (n > 0) memcpy(copy, data, n);

        ssize_t used = proxy_parse(ip, (struct span){copy, n});
        assert(used >= -1 && used <= (ssize_t)n);
        assert(before == 0 || used == before);
        assert(before != 0 || used <= 0 || used == (ssize_t)n);
        if (used > 0 && ip[0])
            assert(inet_pton(strchr(ip, ':') ? AF_INET6 : AF_INET, ip, bytes));
        before = used;
        free(copy);
    }
    return 0;
}
