# make            builds every recipe in its own folder
# make demo       plays the book's sessions, live
# make test       runs every test; needs cc, make and python3
# make clean
#
# For those who change the code:
# make check      the tests built by gcc and by clang with sanitizers, too
# make strict     every warning is an error, for each compiler
# make matrix     strict, then the tests built by each compiler, lint, valgrind
# make coverage   the branches that the tests take; what they do not, by line
# make fuzz       FUZZ_SECONDS=60 for each target; needs clang
# make interop    against the software of others, which it installs
# make pictures   takes those in the READMEs anew
# make format     lay out the C by .clang-format; format-check only looks
.POSIX:
CC = cc
CFLAGS = -O2 -g -Wall -Wextra
LDFLAGS =
FUZZ_SECONDS = 60

RECIPES = rest-server post-form file-upload post-request websocket-app websocket-client smtp-server smtp-client
PURE = common/*.c post-form/form.c smtp-server/smtp.c file-upload/multipart.c websocket-client/line.c smtp-client/mail.c
# Where a variant is built; the plain one is built in the recipes' folders.
BUILD =
# The tests to run on a variant, as words in their names; none: all.
TESTS =

STRICT = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Werror
STRICT_FILES = */*.c tests/unit/*.c
SANITIZE = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all

all:
	@for r in $(RECIPES); do \
	    (cd $$r && $(MAKE) CC="$(CC)" CFLAGS="$(CFLAGS)" \
	        LDFLAGS="$(LDFLAGS)") || exit 1; done

demo:
	@echo "Building the programs."
	@$(MAKE) -s all
	@tests/demo.sh

test: all unit
	@python3 tests/run.py

unit:
	@mkdir -p build/unit
	@$(MAKE) -s unit-in DIR=build/unit

# Compiles the pure modules once, and each unit test with them.
unit-in:
	@rm -rf $(DIR)/obj && mkdir -p $(DIR)/obj
	@root=$$PWD && cd $(DIR)/obj && for c in $(PURE); do \
	    $(CC) -std=c11 $(CFLAGS) -c $$root/$$c || exit 1; done
	@for t in tests/unit/test_*.c; do \
	    $(CC) -std=c11 $(CFLAGS) $(LDFLAGS) -o $(DIR)/$$(basename $$t .c) \
	        $$t $(DIR)/obj/*.o || exit 1; done

# The same tests on programs built elsewhere, with other flags.
variant: build-variant
	@BUILD=$(BUILD) python3 tests/run.py $(TESTS)

build-variant:
	@for r in $(RECIPES); do mkdir -p $(BUILD)/$$r && \
	    (cd $$r && $(MAKE) -s BIN=../$(BUILD)/$$r/$$r CC="$(CC)" \
	        CFLAGS="$(CFLAGS)" LDFLAGS="$(LDFLAGS)") || exit 1; done
	@mkdir -p $(BUILD)/unit
	@$(MAKE) -s unit-in DIR=$(BUILD)/unit

check-gcc-asan:
	@$(MAKE) variant BUILD=build/gcc-asan CC=gcc CFLAGS="$(SANITIZE)"

check-clang-asan:
	@$(MAKE) variant BUILD=build/clang-asan CC=clang CFLAGS="$(SANITIZE)"

check-c2x:
	@$(MAKE) variant BUILD=build/c2x CC=gcc CFLAGS="-O2 -g -std=c2x"

check-clang:
	@$(MAKE) variant BUILD=build/clang CC=clang

check-musl:
	@$(MAKE) variant BUILD=build/musl CC=musl-gcc LDFLAGS=-static

check-tcc:
	@$(MAKE) variant BUILD=build/tcc CC=tcc

check-m32:
	@$(MAKE) variant BUILD=build/m32 CC=gcc CFLAGS="-O2 -g -m32"

matrix: strict test check-c2x check-clang check-musl check-tcc check-m32

# The branches that these take, all counted together; each is run with $BUILD
# set. To _exit() writes no counts, so here the helpers exit().
COVERED_BY = tests/run.py
COVER = -O0 -g --coverage -fprofile-update=atomic -fprofile-abs-path \
	-D_exit=exit

coverage:
	@rm -rf build/coverage
	@$(MAKE) build-variant BUILD=build/coverage CC=gcc CFLAGS="$(COVER)"
	@for t in $(COVERED_BY); do \
	    BUILD=build/coverage python3 $$t || exit 1; done
	@python3 tests/coverage.py build/coverage

check: test same check-gcc-asan check-clang-asan strict format-check

same:
	@tests/same.sh

strict:
	@mkdir -p build
	@for cc in "gcc -std=c11" "gcc -std=c2x" "gcc -std=c11 -m32" \
	    "clang -std=c11" "musl-gcc -std=c11"; do for c in $(STRICT_FILES); do \
	    $$cc -O2 $(STRICT) -c -o build/strict.o $$c || exit 1; done; done
	@for c in $(STRICT_FILES); do \
	    tcc -Wall -Werror -c -o build/strict.o $$c || exit 1; done
	@echo "no warnings"

fuzz:
	@mkdir -p build/fuzz
	@for f in tests/fuzz/fuzz_*.c; do n=$$(basename $$f .c); \
	    clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined \
	        -fno-sanitize-recover=all -o build/fuzz/$$n $$f $(PURE) || exit 1; \
	    mkdir -p build/fuzz/$$n.corpus; \
	    build/fuzz/$$n -max_total_time=$(FUZZ_SECONDS) -print_final_stats=0 \
	        -verbosity=0 build/fuzz/$$n.corpus || exit 1; \
	    echo "$$n: $(FUZZ_SECONDS) s, nothing found"; done

interop: all
	@tests/interop/setup
	@node --test --test-reporter=spec tests/interop/*.test.mjs

pictures: all
	@tests/interop/setup
	@node tests/interop/pictures.mjs

SOURCES = */*.c */*.h tests/*/*.c tests/*/*.h
format:
	clang-format -i $(SOURCES)

format-check:
	@clang-format --dry-run --Werror $(SOURCES) && echo "format: ok"

clean:
	@for r in $(RECIPES); do (cd $$r && $(MAKE) -s clean); done
	rm -rf build tests/wire/__pycache__ tests/__pycache__
