# SPDX-License-Identifier: GPL-2.0-only
# One Makefile. O=DIR builds out of tree (default build), V=1 shows commands, DEBUG=1 adds ASan and UBSan.
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

O ?= build
V ?= 0
DEBUG ?= 0
FUZZ ?= 0
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
VERSION := 0.1.0

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-8s %s\n' $(1) $(2))

LAYERS := base policy compile kernel audit names import
ARCH_DEFINE := -D__TARGET_ARCH_$(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')

CPPFLAGS += -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' -Iinclude -Iuser -Ibpf -I$(O)/gen
CFLAGS ?= -O2 -g
CFLAGS += -std=gnu11 -Wall -Wextra -Wmissing-prototypes -Wshadow -Wstrict-prototypes -Wno-unused-parameter \
	-Wno-missing-field-initializers -fno-strict-aliasing
ifeq ($(DEBUG),1)
CFLAGS += -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
else ifeq ($(FUZZ),1)
# Counts where a run comes by; the targets alone link libFuzzer's main().
CFLAGS += -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else
CFLAGS += -fstack-protector-strong -D_FORTIFY_SOURCE=2
endif
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-missing-declarations \
	-Wno-compare-distinct-pointer-types -Iinclude -Ibpf $(ARCH_DEFINE) -idirafter /usr/include/$(shell uname -m)-linux-gnu
LIBS := -lbpf -lelf -lz -lfyaml -ljansson -lmnl -lcrypto -lcurl -lcares

src = $(wildcard user/$(1)/*.c)
obj = $(patsubst %.c,$(O)/%.o,$(call src,$(1)))
ARCHIVES := $(foreach l,$(LAYERS),$(O)/lib$(l).a)
BPF_OBJECTS := $(O)/bpf/weir_xdp.bpf.o $(O)/bpf/weir_tc.bpf.o
SKELETONS := $(O)/gen/weir_xdp.skel.h $(O)/gen/weir_tc.skel.h

.PHONY: all
all: $(O)/weir ## build the program, $(O)/weir (no privilege needed)

$(O)/weir: $(call obj,cmd) $(foreach l,audit names import kernel compile policy base,$(O)/lib$(l).a)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(call obj,cmd) -L$(O) -laudit -lnames -limport -lkernel -lcompile -lpolicy -lbase $(LIBS)

define archive_rule
$(O)/lib$(1).a: $$(call obj,$(1))
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@; ar rcs $$@ $$(call obj,$(1))
endef
$(foreach l,$(LAYERS),$(eval $(call archive_rule,$(l))))

$(call obj,kernel): | $(SKELETONS)

$(O)/%.o: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Made on the way to a skeleton, and worth keeping: tests and bpftool load them.
.SECONDARY: $(BPF_OBJECTS)
$(O)/bpf/%.bpf.o: bpf/%.bpf.c Makefile
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@

$(O)/gen/%.skel.h: $(O)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

# The commands without main(), for their unit tests.
$(O)/libcmd.a: $(filter-out $(O)/user/cmd/main.o,$(call obj,cmd))
	$(call say,AR,$@)
	$(Q)rm -f $@; ar rcs $@ $^

# Tests in C: tests/unit/test_LAYER_*.c link the layers up to theirs (and run under ASan and UBSan, see `test`);
# tests/prog/test_*.c run the kernel programs and link all of them. What several of a folder share is in its other *.c.
layer_of = $(word 2,$(subst _, ,$(notdir $(1))))
layers_upto = $(if $(filter base,$(1)),base,$(if $(filter policy,$(1)),policy base,$(if $(filter compile bpf,$(1)),compile policy base,$(if $(filter names import,$(1)),$(1) compile policy base,$(if $(filter kernel,$(1)),kernel compile policy base,$(if $(filter cmd,$(1)),cmd )audit names import kernel compile policy base)))))
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT := $(patsubst %.c,$(O)/%,$(UNIT_SRC))
PROG_SRC := $(wildcard tests/prog/test_*.c)
PROG := $(patsubst %.c,$(O)/%,$(PROG_SRC))
define shared_rule
$(O)/$(1)/libshared.a: $(patsubst %.c,$(O)/%.o,$(filter-out $(1)/test_%.c,$(wildcard $(1)/*.c)))
	$$(call say,AR,$$@)
	$$(Q)mkdir -p $$(@D); rm -f $$@; ar rcs $$@ $$^
endef
$(foreach d,tests/unit tests/prog,$(eval $(call shared_rule,$(d))))
define test_rule
$(O)/$(1): $(O)/$(1).o $(O)/$(dir $(1))libshared.a $(foreach l,$(2),$(O)/lib$(l).a)
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) $(O)/$(dir $(1))libshared.a -L$(O) $(foreach l,$(2),-l$(l)) -lcmocka $$(LIBS)
endef
$(foreach t,$(UNIT_SRC),$(eval $(call test_rule,$(basename $(t)),$(call layers_upto,$(call layer_of,$(t))))))
$(filter $(O)/tests/unit/test_compile_%,$(UNIT)): $(O)/tests/unit/naive.o $(O)/tests/unit/compile_policy.o
$(O)/tests/unit/test_bpf_parse: $(O)/tests/prog/packets.o $(O)/tests/prog/packet_cases.o
$(patsubst %.c,$(O)/%.o,$(filter-out tests/prog/packet%.c,$(wildcard tests/prog/*.c))): | $(SKELETONS)
$(foreach t,$(PROG_SRC),$(eval $(call test_rule,$(basename $(t)),audit names kernel compile policy base)))

# Runs frames through the programs for the model in tests/model.
RUNNER := $(O)/tests/model/runner
$(RUNNER): $(O)/tests/model/runner.o $(O)/tests/prog/libshared.a $(foreach l,kernel compile policy base,$(O)/lib$(l).a)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(O)/tests/prog/libshared.a -L$(O) -lkernel -lcompile -lpolicy -lbase -lcmocka $(LIBS)
$(O)/tests/model/runner.o: CPPFLAGS += -Itests/prog
$(O)/tests/model/runner.o: | $(SKELETONS)

# libFuzzer targets (see fuzz-user): built with FUZZ=1 CC=clang in a directory of their own.
FUZZ_TARGETS := compose event packet policy
FUZZERS := $(addprefix $(O)/tests/fuzz/,$(FUZZ_TARGETS))
$(O)/tests/fuzz/compose: $(foreach l,import policy base,$(O)/lib$(l).a)
$(O)/tests/fuzz/event: $(O)/user/audit/decode.o $(O)/user/audit/format.o $(O)/libbase.a
$(O)/tests/fuzz/packet: $(O)/tests/fuzz/reference.o
$(O)/tests/fuzz/policy: $(addprefix $(O)/tests/unit/,naive.o compile_policy.o) $(foreach l,compile policy base,$(O)/lib$(l).a)
$(O)/tests/fuzz/policy.o: CPPFLAGS += -Itests/unit
$(FUZZERS): %: %.o
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(filter %.a,$^) $(filter-out -lbpf -lelf,$(LIBS))
# What the tests' packets are as inputs.
$(O)/tests/fuzz/seeds: $(addprefix $(O)/tests/,fuzz/seeds.o prog/packets.o prog/packet_cases.o)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -fsanitize=address,undefined -o $@ $^
$(O)/tests/fuzz/seeds.o: CPPFLAGS += -Itests/prog

.PHONY: unit-programs prog-programs fuzz-programs
fuzz-programs: $(FUZZERS) $(O)/tests/fuzz/seeds
unit-programs: $(UNIT)
prog-programs: $(PROG) $(RUNNER)

# The tests' last line is theirs: no "Entering directory" around it.
submake = +$(Q)$(MAKE) --no-print-directory O=$(1)

.PHONY: deps
deps: ## install the Debian packages that build, tests and demo need (root)
	@scripts/install-deps.sh

.PHONY: unit
unit: ## build and run the unit tests, under ASan and UBSan
	$(call submake,$(O)/asan) DEBUG=1 unit-programs
	@O='$(O)' tests/run.sh unit

.PHONY: test
test: ## install what is needed, build, run all tests (root)
	@scripts/install-deps.sh
	$(call submake,$(O)) all prog-programs
	$(call submake,$(O)/asan) DEBUG=1 unit-programs
	$(call submake,$(O)/fuzz) FUZZ=1 CC=$(CLANG) fuzz-programs
	@O='$(O)' tests/run.sh

.PHONY: test-docker
test-docker: ## run the tests that need a real Docker engine (root; STARTS=1000, TESTS="starts stream")
	@scripts/install-deps.sh docker || scripts/install-deps.sh
	$(call submake,$(O)) all
	@O='$(O)' STARTS='$(STARTS)' tests/docker/run $(TESTS)

# What tests/kernels/ runs in other kernels, one directory a compiler of the kernel programs.
MEASURE := $(O)/tests/kernels/measure
$(MEASURE): $(O)/tests/kernels/measure.o
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< -lbpf -lelf -lz
.PHONY: kernel-programs
kernel-programs: $(O)/weir $(PROG) $(MEASURE)

.PHONY: test-kernels
test-kernels: ## run the kernel programs in other kernels (root; KERNELS="6.1 6.12 newest running" COMPILERS="clang-14 clang-19")
	@scripts/install-deps.sh kernels
	@O='$(O)' KERNELS='$(KERNELS)' COMPILERS='$(COMPILERS)' tests/kernels/run.sh $(CELLS)

.PHONY: kernel-table
kernel-table: ## what each kernel's verifier says of each program, written into README.md (root; as test-kernels)
	@scripts/install-deps.sh kernels
	@O='$(O)' KERNELS='$(KERNELS)' COMPILERS='$(COMPILERS)' tests/kernels/table.sh

.PHONY: demo
demo: ## install what is needed, build, show a policy at work in namespaces (root, two minutes)
	@scripts/install-deps.sh
	$(call submake,$(O)) all
	@O='$(O)' scripts/demo.sh

.PHONY: demo-docker
demo-docker: ## install what is needed, show the guide's compose file on a real Docker engine (root, one minute)
	@scripts/install-deps.sh docker
	$(call submake,$(O)) all
	@O='$(O)' scripts/demo-docker.sh

BENCH := $(O)/tests/bench/bench
BENCH_OBJECTS := $(patsubst %.bpf.c,$(O)/%.bpf.o,$(wildcard tests/bench/*.bpf.c))
$(BENCH): $(patsubst %.c,$(O)/%.o,$(filter-out %.bpf.c,$(wildcard tests/bench/*.c))) \
		$(foreach l,kernel compile policy base,$(O)/lib$(l).a)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(O) -lkernel -lcompile -lpolicy -lbase $(LIBS)
$(O)/tests/bench/%.bpf.o: tests/bench/%.bpf.c Makefile
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@
.PHONY: bench-programs
bench-programs: $(BENCH) $(BENCH_OBJECTS)

.PHONY: bench
bench: ## measure ns per packet (root)
	@scripts/install-deps.sh
	$(call submake,$(O)) all bench-programs
	@O='$(O)' tests/bench/run.sh

.PHONY: proof
proof: ## model-check parser, classes, limiter and generation word (minutes; LONG=1 for the longest bounds)
	@scripts/install-deps.sh
	@O='$(O)' LONG='$(or $(LONG),0)' tests/proof/run.sh

.PHONY: floods
floods: ## print the tables of floods against connections and of ways around limits (root, five minutes)
	$(call submake,$(O)) $(O)/tests/prog/test_floods $(O)/tests/prog/test_bypass
	@FLOODS=all $(O)/tests/prog/test_floods
	@$(O)/tests/prog/test_bypass

.PHONY: fuzz
fuzz: ## random policies and frames through the programs and a model of them (root; FRAMES=1000000 SEED= JOBS=)
	$(call submake,$(O)) prog-programs
	@O='$(O)' tests/model/fuzz.py $(if $(FRAMES),--frames $(FRAMES)) $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))

.PHONY: mutants
mutants: ## plant bugs (tests/mutants/*.patch), say which of tests, proofs and fuzzer find them (root, half an hour; ONLY=REGEX)
	@scripts/install-deps.sh
	$(call submake,$(O)) all
	@O='$(O)' tests/mutants/run.sh $(ONLY)

.PHONY: fuzz-user
fuzz-user: ## fuzz the readers of policies, events, frames, compose files (TIME=60 seconds each; TARGETS="policy event")
	@scripts/install-deps.sh
	$(call submake,$(O)/fuzz) FUZZ=1 CC=$(CLANG) fuzz-programs
	@O='$(O)' tests/fuzz/run.sh $(or $(TIME),60) $(TARGETS)

.PHONY: wire
wire: ## hostile and ordinary frames to real sockets, through weir and through nft: the whole table (root)
	@scripts/install-deps.sh
	$(call submake,$(O)) all
	@O='$(O)' TABLE=1 tests/e2e/wire.sh

.PHONY: check
check: $(SKELETONS) ## formatting, static analysis, layers, manual pages
	@O='$(O)' scripts/check.sh

DOC := $(PREFIX)/share/doc/weir
.PHONY: install
install: all ## install below DESTDIR and PREFIX (default /usr/local)
	install -D -m 755 $(O)/weir $(DESTDIR)$(PREFIX)/sbin/weir
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 user/man/weir.8
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 user/man/weir-policy.5
	install -D -m 644 -t $(DESTDIR)$(DOC)/policies scripts/policies/*.yaml
	install -D -m 644 scripts/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/weir
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/local/sbin/weir|$(PREFIX)/sbin/weir|g' scripts/deploy/weir.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/weir.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/weir.service

.PHONY: clean
clean: ## remove what was built
	rm -rf $(O)

.PHONY: help
help: ## this list
	@echo 'make TARGET [O=build] [V=1] [DEBUG=1] [PREFIX=/usr/local] [DESTDIR=]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | sed 's|$$(O)|$(O)|' | awk -F'\t' '{ printf "  %-11s %s\n", $$1, $$2 }'

-include $(shell test -d $(O) && find $(O) \( -path $(O)/asan -o -path $(O)/fuzz -o -path $(O)/proof -o -path $(O)/mutants \) -prune -o -type f -name '*.d' -print)
