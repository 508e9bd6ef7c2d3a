# SPDX-License-Identifier: GPL-2.0-only
# One Makefile. O=DIR builds out of tree (default build), V=1 shows commands, DEBUG=1 adds ASan and UBSan.
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

O ?= build
V ?= 0
DEBUG ?= 0
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

LAYERS := base policy compile kernel audit
ARCH_DEFINE := -D__TARGET_ARCH_$(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')

CPPFLAGS += -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' -Iinclude -Iuser -Ibpf -I$(O)/gen
CFLAGS ?= -O2 -g
CFLAGS += -std=gnu11 -Wall -Wextra -Wmissing-prototypes -Wshadow -Wstrict-prototypes -Wno-unused-parameter \
	-Wno-missing-field-initializers -fno-strict-aliasing
ifeq ($(DEBUG),1)
CFLAGS += -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
else
CFLAGS += -fstack-protector-strong -D_FORTIFY_SOURCE=2
endif
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-missing-declarations \
	-Wno-compare-distinct-pointer-types -Iinclude -Ibpf $(ARCH_DEFINE) -idirafter /usr/include/$(shell uname -m)-linux-gnu
LIBS := -lbpf -lelf -lz -lfyaml -ljansson -lmnl -lcrypto

src = $(wildcard user/$(1)/*.c)
obj = $(patsubst %.c,$(O)/%.o,$(call src,$(1)))
ARCHIVES := $(foreach l,$(LAYERS),$(O)/lib$(l).a)
BPF_OBJECTS := $(O)/bpf/weir_xdp.bpf.o $(O)/bpf/weir_tc.bpf.o
SKELETONS := $(O)/gen/weir_xdp.skel.h $(O)/gen/weir_tc.skel.h

.PHONY: all
all: $(O)/weir ## build the program

$(O)/weir: $(call obj,cmd) $(foreach l,audit kernel compile policy base,$(O)/lib$(l).a)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(call obj,cmd) -L$(O) -laudit -lkernel -lcompile -lpolicy -lbase $(LIBS)

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

$(O)/bpf/%.bpf.o: bpf/%.bpf.c Makefile
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<
	$(Q)$(LLVM_STRIP) -g $@

$(O)/gen/%.skel.h: $(O)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

# Unit tests: tests/unit/test_<layer>_*.c link the layers up to theirs.
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(UNIT_SRC))
layer_of = $(word 2,$(subst _, ,$(notdir $(1))))
layers_upto = $(if $(filter base,$(1)),base,$(if $(filter policy,$(1)),policy base,$(if $(filter compile bpf,$(1)),compile policy base,$(if $(filter kernel,$(1)),kernel compile policy base,audit kernel compile policy base))))
define unit_rule
$(O)/tests/unit/$(1): $(O)/tests/unit/$(1).o $(foreach l,$(call layers_upto,$(call layer_of,$(1))),$(O)/lib$(l).a)
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$< -L$(O) $(foreach l,$(call layers_upto,$(call layer_of,$(1))),-l$(l)) -lcmocka $$(LIBS)
endef
$(foreach t,$(UNIT_SRC),$(eval $(call unit_rule,$(basename $(notdir $(t))))))

.PHONY: unit
unit: $(UNIT)
	@status=0; for t in $(UNIT); do $$t || status=1; done; exit $$status

.PHONY: clean
clean: ## remove what was built
	rm -rf $(O)

-include $(shell find $(O) -name '*.d' 2>/dev/null)
