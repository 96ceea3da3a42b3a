# make            builds every recipe in its own folder
# make demo       plays the book's sessions, live
# make test       runs every test; needs cc, make and python3
# make clean
#
# For those who change the code:
# make check      the tests built by gcc and by clang with sanitizers, too
# make strict     every warning is an error, for each compiler
# make matrix     strict, then the tests built by each compiler, lint, valgrind
# make valgrind   what fits of the tests, under valgrind
# make lint       clang-tidy and cppcheck
# make coverage   the branches that the tests take; what they do not, by line
# make fuzz       FUZZ_SECONDS=60 for each target; needs clang
# make fuzz-seeds  keeps what that has found, minimised, as tests/fuzz/seeds
# make faults     makes each call of each program fail, once
# make kill       kill -9 for the servers that store, while they do
# make soak       SOAK_SECONDS=30 of good and bad clients together
# make interop    against the software of others, which it installs
# make pictures   takes those in the READMEs anew
# make bench      our programs beside their peers, some minutes; BENCH=ROW for one
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
	@$(MAKE) -s objects DIR=$(DIR)/obj
	@for t in tests/unit/test_*.c; do \
	    $(CC) -std=c11 $(CFLAGS) $(LDFLAGS) -o $(DIR)/$$(basename $$t .c) \
	        $$t $(DIR)/obj/*.o || exit 1; done

objects:
	@rm -rf $(DIR) && mkdir -p $(DIR)
	@root=$$PWD && cd $(DIR) && for c in $(PURE); do \
	    $(CC) -std=c11 $(CFLAGS) -c $$root/$$c || exit 1; done

# The same tests on programs built elsewhere, with other flags.
variant: build-variant
	@BUILD=$(BUILD) python3 tests/run.py $(TESTS)

build-variant: programs
	@mkdir -p $(BUILD)/unit
	@$(MAKE) -s unit-in DIR=$(BUILD)/unit

programs:
	@for r in $(RECIPES); do mkdir -p $(BUILD)/$$r && \
	    (cd $$r && $(MAKE) -s BIN=../$(BUILD)/$$r/$$r CC="$(CC)" \
	        CFLAGS="$(CFLAGS)" LDFLAGS="$(LDFLAGS)") || exit 1; done

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

# Some kernels run no 32-bit programs; then qemu does.
check-m32:
	@$(MAKE) build-variant BUILD=build/m32-real CC=gcc CFLAGS="-O2 -g -m32"
	@run=; build/m32-real/unit/test_sha1 >build/m32.log 2>&1 || \
	    run='qemu-i386 -0 "$$0"'; \
	    tests/wrap.sh build/m32-real build/m32 "$$run"
	@BUILD=build/m32 python3 tests/run.py $(TESTS)

# Everything is 30 times slower under valgrind, and has memory and descriptors
# of its own: so none of the tests that stand on these, or send megabytes. Nor
# the READMEs, whose programs are copies and look for their folders beside them.
# Valgrind's findings make the exit status 99, and are kept.
SLOWLY = unit/ sessions/ Answers Closing CrossSite Echo Expect \
	Fragments Frames Framing Handshake Header Names Pages PingPong \
	Pipelines Refusals Replies Reserved Session Smuggling Text Trace
GRIND = $$PWD/build/valgrind.log
valgrind:
	@rm -rf $(GRIND) && mkdir -p $(GRIND)
	@$(MAKE) build-variant BUILD=build/valgrind-real CC=gcc CFLAGS="-O1 -g"
	@tests/wrap.sh build/valgrind-real build/valgrind valgrind -q \
	    --suppressions=$$PWD/tests/unit/valgrind.supp \
	    --error-exitcode=99 --leak-check=full --log-file=$(GRIND)/%p
	@BUILD=build/valgrind python3 tests/run.py $(SLOWLY)
	@cat $(GRIND)/* && test -z "$$(cat $(GRIND)/*)"

matrix: strict test check-c2x check-clang check-musl check-tcc check-m32 \
	valgrind lint check-bmake

# One line each in .clang-tidy and .cppcheck says why something is not looked at.
lint:
	@clang-tidy --quiet */*.c tests/unit/*.c -- -std=c11
	@cppcheck --quiet --std=c11 --enable=all -DSIGWINCH=28 -DTIOCGWINSZ=1 \
	    --error-exitcode=1 --suppressions-list=.cppcheck */*.c tests/unit/*.c
	@echo "lint: nothing found"

check-bmake:
	@rm -rf build/bmake && mkdir -p build && git clone -q . build/bmake
	@cd build/bmake && bmake -s all && bmake -s unit && bmake -s same && \
	    bmake -s clean && test -z "$$(git status --porcelain --ignored)"
	@echo "bmake: ok"

# The branches that the tests and the faults take, counted together. To _exit()
# writes no counts, so here the helpers exit(), which takes longer: whether all
# goes well is for `make test` and `make faults` to tell.
COVER = -O0 -g --coverage -fprofile-update=atomic -fprofile-abs-path \
	-D_exit=exit

coverage:
	@rm -rf build/coverage
	@$(MAKE) build-variant BUILD=build/coverage CC=gcc CFLAGS="$(COVER)"
	@$(MAKE) faulty BUILD=build/coverage/faulty CC=gcc CFLAGS="$(COVER)"
	@-BUILD=build/coverage python3 tests/run.py $(TESTS)
	@-BUILD=build/coverage/faulty python3 tests/faults/faults.py
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

# Each target starts from its seeds; what it finds goes into build/fuzz.
fuzz: fuzz-build
	@for f in tests/fuzz/fuzz_*.c; do n=$$(basename $$f .c); b=build/fuzz/$$n; \
	    mkdir -p $$b.corpus; \
	    $$b -max_total_time=$(FUZZ_SECONDS) -timeout=60 -print_final_stats=1 \
	        -artifact_prefix=$$b- $$b.corpus tests/fuzz/seeds/$$n 2>$$b.log || \
	        { tail -n 60 $$b.log; echo "$$n failed; again: $$b $$(ls -t \
	            $$b-[clot]*-* | head -n 1)"; exit 1; }; \
	    echo "$$n: $$(sed -n 's/stat::number_of_executed_units: *//p' \
	        $$b.log) inputs in $(FUZZ_SECONDS) s, nothing found"; done
	@echo "fuzzed $$(ls tests/fuzz/fuzz_*.c | wc -l) targets, nothing found"

fuzz-build:
	@$(MAKE) -s objects DIR=build/fuzz/obj CC=clang \
	    CFLAGS="$(SANITIZE) -fsanitize=fuzzer-no-link"
	@for f in tests/fuzz/fuzz_*.c; do \
	    clang -std=c11 -Werror $(SANITIZE) -fsanitize=fuzzer \
	        -o build/fuzz/$$(basename $$f .c) $$f build/fuzz/obj/*.o || \
	        exit 1; done

# After a long `make fuzz`: of the seeds and all that has been found, the few
# inputs that between them reach all lines become the seeds.
fuzz-seeds: fuzz-build
	@for f in tests/fuzz/fuzz_*.c; do n=$$(basename $$f .c); b=build/fuzz/$$n; \
	    s=tests/fuzz/seeds/$$n; rm -rf $$b.few; mkdir -p $$b.corpus $$b.few $$s; \
	    $$b -merge=1 -use_counters=0 $$b.few $$s $$b.corpus 2>$$b.log || \
	        { tail -n 20 $$b.log; exit 1; }; \
	    rm -rf $$s && mv $$b.few $$s && \
	    echo "$$n: $$(ls $$s | wc -l) seeds"; done

interop:
	@$(MAKE) -s all
	@tests/interop/setup
	@node --test --test-reporter=spec tests/interop/*.test.mjs

pictures:
	@$(MAKE) -s all
	@tests/interop/setup
	@node tests/interop/pictures.mjs

# Linked with interpose.c, which the programs then call in place of libc.
faults:
	@rm -rf build/faults
	@$(MAKE) -s faulty BUILD=build/faults CC=gcc CFLAGS="$(SANITIZE)"
	@BUILD=build/faults python3 tests/faults/faults.py

faulty:
	@mkdir -p $(BUILD)
	@$(CC) -std=c11 $(CFLAGS) -c -o $(BUILD)/interpose.o \
	    tests/faults/interpose.c
	@$(MAKE) -s programs BUILD=$(BUILD) CC="$(CC)" CFLAGS="$(CFLAGS)" \
	    LDFLAGS="$$(nm $(BUILD)/interpose.o | \
	    sed -n 's/.* T __wrap_/-Wl,--wrap=/p' | tr '\n' ' ') \
	    ../$(BUILD)/interpose.o"

kill:
	@$(MAKE) -s all
	@python3 tests/faults/kill.py

soak:
	@$(MAKE) -s all
	@python3 tests/faults/soak.py

BENCH =
bench:
	@$(MAKE) -s all
	@tests/bench/setup
	@python3 tests/bench/bench.py --write $(BENCH)

SOURCES = */*.c */*.h tests/*/*.c tests/*/*.h tests/bench/*/*.c
format:
	clang-format -i $(SOURCES)

format-check:
	@clang-format --dry-run --Werror $(SOURCES) && echo "format: ok"

clean:
	@for r in $(RECIPES); do (cd $$r && $(MAKE) -s clean); done
	rm -rf build tests/__pycache__ tests/*/__pycache__
