# Cleave: forks running virtual machines.
#
#   make            everything, under build/
#   make demo       launch a guest, fork it live, show what happened
#   make check      every test, under every sanitizer that applies
#   make check-nested  the KVM tests on emulated machines alone, which are a part of `make check`
#   make check-release  before a release: KVM tests on all emulated machines, longer random runs; takes an hour and a quarter
#   make fuzz       the page-table library and the reader of snapshots under libFuzzer, for FUZZ_SECONDS=20 each
#   make coverage   which lines of the page-table library its tests reach
#   make bench      the library's and the VMM's figures, as ratios to a baseline of the same run
#   make install    DESTDIR=, prefix=, libdir= and so on as usual; make uninstall takes the same ones
#   make install-lib   the page-table library alone; needs nothing but a C compiler. With KERNEL=1, libept.a is one for kernels
#   make clean
#
# CC=clang chooses the compiler; SAN=address,undefined or SAN=thread builds with sanitizers into a folder of its own;
# WERROR=1 makes warnings errors.

ifeq ($(origin CC),default)
CC := gcc
endif
DESTDIR ?=
SAN     ?=
WERROR  ?=
VERSION := 0.1.0

# Where `make install` puts things.
prefix      ?= /usr/local
exec_prefix ?= $(prefix)
bindir      ?= $(exec_prefix)/bin
libdir      ?= $(exec_prefix)/lib
includedir  ?= $(prefix)/include
datarootdir ?= $(prefix)/share
mandir      ?= $(datarootdir)/man

comma := ,
BUILD ?= build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))$(if $(filter clang,$(CC)),/clang)
OBJ   := $(BUILD)/obj

OPT      ?= -O2 -g
WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            $(if $(WERROR),-Werror)
CPPFLAGS += -Iinclude -I. -D_GNU_SOURCE -DCLEAVE_VERSION='"$(VERSION)"'
CFLAGS   += -std=c11 $(OPT) $(WARNINGS) -fno-strict-aliasing -fno-omit-frame-pointer -pthread \
            $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
LDFLAGS  += -pthread $(if $(SAN),-fsanitize=$(SAN))

# Commands are shown in short; V=1 shows them whole.
Q := $(if $(V),,@)
show = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2))

pkg = $(shell pkg-config $(1) $(2) 2>/dev/null)

# What is built: one list a program, by folder. Rules for what is on a list name their targets (static patterns): make
# would take objects that only a chain of plain patterns leads to for intermediate, and not miss them when they are gone.
EPT_SRC    := $(wildcard ept/*.c)
VMM_SRC    := $(filter-out vmm/snapshot/%,$(wildcard vmm/*.c vmm/*/*.c)) $(wildcard vmm/*/*.S)
SNAPSHOT_SRC := $(wildcard vmm/snapshot/*.c)
CLIENT_SRC := $(wildcard tools/client/*.c)
TOOLS      := $(notdir $(patsubst %/,%,$(filter-out tools/client/,$(wildcard tools/*/))))
GUESTS     := $(basename $(notdir $(wildcard guest/*.c guest/*.S)))

LIBRARY_PAGES := $(wildcard ept/*.3)
PROGRAM_PAGES := $(wildcard vmm/*.1 tools/*/*.1)

objects = $(patsubst %,$(OBJ)/%.o,$(basename $(1)))

EPT_LIB := $(BUILD)/libept.a
SNAPSHOT_LIB := $(BUILD)/libsnapshot.a
VMM     := $(BUILD)/vmm
TOOL_BIN := $(TOOLS:%=$(BUILD)/tools/%)
GUEST_BIN := $(GUESTS:%=$(BUILD)/guest/%.bin) $(GUESTS:%=$(BUILD)/guest/%.elf) $(BUILD)/guest.bin

.PHONY: all demo check check-nested check-release bench fuzz coverage install install-lib uninstall clean packages test-programs unit-programs
.PHONY: kvm-programs bench-programs fuzz-programs fuzz-targets coverage-programs coverage-atomic coverage-single hw-programs
.DELETE_ON_ERROR:

all: $(EPT_LIB) $(SNAPSHOT_LIB) $(VMM) $(TOOL_BIN) $(GUEST_BIN)

# Every rule that needs a Debian package depends on this stamp, so that a fresh machine gets them first.
PACKAGES := build/.packages
$(PACKAGES): .ci/packages
	@.ci/packages build
	@mkdir -p $(@D) && touch $@
packages: $(PACKAGES)

define compile
@mkdir -p $(@D)
$(call show,CC,$<)
$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
endef
$(OBJ)/%.o: %.c | $(PACKAGES)
	$(compile)
$(OBJ)/ept/%.o: ept/%.c # the library needs no packages
	$(compile)
$(OBJ)/%.o: %.S | $(PACKAGES)
	@mkdir -p $(@D)
	$(call show,AS,$<)
	$(Q)$(CC) $(CPPFLAGS) -g -MMD -MP -c -o $@ $<

$(EPT_LIB): $(call objects,$(EPT_SRC))
	@mkdir -p $(@D)
	$(call show,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# As a shared library; its name changes when programs built for it must be built again.
EPT_SONAME := libept.so.0
EPT_SHARED := $(BUILD)/libept.so.$(VERSION)
PIC_OBJ    := $(OBJ)/pic
$(PIC_OBJ)/ept/%.o: CFLAGS += -fPIC
$(PIC_OBJ)/ept/%.o: ept/%.c
	$(compile)
$(EPT_SHARED): $(EPT_SRC:%.c=$(PIC_OBJ)/%.o)
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -shared -Wl,-soname,$(EPT_SONAME) -Wl,-z,defs -o $@ $^

# For kernels: no SSE, no red zone, the kernel's code model, and nothing undefined, as what compilers call by themselves is
# inside, under local names. KERNEL_CFLAGS may say otherwise.
KERNEL        ?=
KERNEL_CFLAGS ?= -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fno-pic
KERNEL_OBJ    := $(OBJ)/kernel
EPT_KERNEL    := $(BUILD)/kernel/libept.a
$(KERNEL_OBJ)/ept/%.o: ept/%.c
	@mkdir -p $(@D)
	$(call show,CC,$@)
	$(Q)$(CC) -std=c11 -O2 -g0 $(WARNINGS) -Iinclude -I. -ffreestanding -fno-strict-aliasing -fno-stack-protector \
	    -fcf-protection=none -fno-asynchronous-unwind-tables $(KERNEL_CFLAGS) -MMD -MP -c -o $@ $<
$(EPT_KERNEL): $(patsubst %.c,$(KERNEL_OBJ)/%.o,$(EPT_SRC) $(wildcard ept/kernel/*.c))
	@mkdir -p $(@D)
	$(call show,AR,$@)
	$(Q)ld -r -o $(KERNEL_OBJ)/libept.o $^ && objcopy -L memcpy -L memset $(KERNEL_OBJ)/libept.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(KERNEL_OBJ)/libept.o

# Snapshot files: shared by the VMM, the tools and the tests, and built of nothing else of the VMM.
SNAPSHOT_LIBS = $(call pkg,--libs,libxxhash libzstd)
$(SNAPSHOT_LIB): $(call objects,$(SNAPSHOT_SRC))
	@mkdir -p $(@D)
	$(call show,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(VMM): $(call objects,$(VMM_SRC)) $(SNAPSHOT_LIB) $(EPT_LIB)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(call pkg,--libs,libuv jansson) $(SNAPSHOT_LIBS)

# A tool is the files of its folder plus the shared control-protocol client, and what it uses of the libraries.
define tool
$(BUILD)/tools/$(1): $(call objects,$(wildcard tools/$(1)/*.c tools/$(1)/*.S) $(CLIENT_SRC)) $(SNAPSHOT_LIB) $(EPT_LIB)
	@mkdir -p $$(@D)
	$$(call show,LD,$$@)
	$$(Q)$(CC) $(LDFLAGS) -o $$@ $$^ -Wl,--as-needed $$(call pkg,--libs,jansson) $$(SNAPSHOT_LIBS) -lm
endef
$(foreach t,$(TOOLS),$(eval $(call tool,$(t))))

# ptstat carries its workload guest inside.
WORKLOAD_IMAGE := $(OBJ)/tools/ptstat/workload_image.o
$(WORKLOAD_IMAGE): $(BUILD)/guest/workload.bin
$(WORKLOAD_IMAGE): CPPFLAGS += -DWORKLOAD_BIN='"$(BUILD)/guest/workload.bin"'

# Guests are freestanding and never sanitized.
GUEST_OBJ := $(OBJ)
GUEST_CFLAGS := -std=c11 -O2 -g $(WARNINGS) -Iinclude -I. -ffreestanding -fno-pic -mno-red-zone -mcmodel=small \
                -mgeneral-regs-only -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -MMD -MP
GUEST_LIB := $(patsubst %,$(GUEST_OBJ)/%.o,$(basename $(wildcard guest/lib/*.c guest/lib/*.S)))
$(GUEST_OBJ)/guest/%.o: guest/%.c | $(PACKAGES)
	@mkdir -p $(@D)
	$(call show,CC,$<)
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<
$(GUEST_OBJ)/guest/%.o: guest/%.S | $(PACKAGES)
	@mkdir -p $(@D)
	$(call show,CC,$<)
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<
$(GUESTS:%=$(BUILD)/guest/%.elf): $(BUILD)/guest/%.elf: $(GUEST_OBJ)/guest/%.o $(GUEST_LIB) guest/lib/guest.ld
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) -nostdlib -static -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-T,guest/lib/guest.ld -o $@ $(filter %.o,$^)
$(GUESTS:%=$(BUILD)/guest/%.bin): %.bin: %.elf
	$(Q)objcopy -O binary $< $@
$(BUILD)/guest.bin: $(BUILD)/guest/hello.bin
	$(Q)cp $< $@

# Tests: each file under unit/, model/ and kvm/ is one Check program. Unit and model tests see the parts' own
# functions; kvm tests see the built programs through the control protocol only.
SUPPORT_OBJ  := $(call objects,$(wildcard tests/support/*.c))
VMM_PARTS    := $(filter-out $(OBJ)/vmm/main.o,$(call objects,$(VMM_SRC)))
PTSTAT_PURE  := $(call objects,$(addprefix tools/ptstat/,samples.c bytes.c plot_script.c))
PTDUMP_PARTS := $(call objects,$(addprefix tools/ptdump/,decode.c image.c print.c summary.c))
UNIT_BIN     := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/*.c))
MODEL_BIN    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/model/*.c))
KVM_BIN      := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/kvm/*.c))
BENCH_BIN    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/bench/*.c))
TEST_LIBS     = $(call pkg,--libs,check jansson libuv liburcu-memb) $(SNAPSHOT_LIBS) -lm

$(UNIT_BIN): $(BUILD)/tests/%: $(OBJ)/tests/%.o $(SUPPORT_OBJ) $(VMM_PARTS) $(PTSTAT_PURE) $(PTDUMP_PARTS) $(SNAPSHOT_LIB) $(EPT_LIB) $(call objects,$(CLIENT_SRC))
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(TEST_LIBS)
$(BUILD)/tests/unit/snapshot_vmctl: | $(BUILD)/tools/vmctl
$(MODEL_BIN): $(BUILD)/tests/%: $(OBJ)/tests/%.o $(SUPPORT_OBJ) $(VMM_PARTS) $(SNAPSHOT_LIB) $(EPT_LIB) $(call objects,$(CLIENT_SRC))
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(TEST_LIBS)
$(KVM_BIN): $(BUILD)/tests/%: $(OBJ)/tests/%.o $(SUPPORT_OBJ) $(SNAPSHOT_LIB) $(EPT_LIB) $(call objects,$(CLIENT_SRC))
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(TEST_LIBS)
$(BENCH_BIN): $(BUILD)/tests/%: $(OBJ)/tests/%.o $(EPT_LIB)
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(call pkg,--libs,liburcu-qsbr)
# This one answers in the host's place.
$(BUILD)/tests/unit/control_answers: LDFLAGS += -Wl,--wrap=host_snapshot,--wrap=host_quit

# The library with nothing but the compiler around it, by two compilers at two levels: each is linked whole into a guest
# of tests/freestanding, which tests/kvm/freestanding.c runs. Only what the compiler calls by itself comes from guest/lib.
FREESTANDING     := gcc-O2 gcc-Os clang-O2 clang-Os
FREESTANDING_SRC := $(wildcard tests/freestanding/*.c) guest/lib/start.S guest/lib/console.c
FREESTANDING_BIN := $(FREESTANDING:%=$(BUILD)/guest/freestanding/%.elf)

# $(1): one of FREESTANDING; $(2): its compiler; $(3): its level; $(4): where its objects go
define freestanding
$(4)/%.o: %.c | $$(PACKAGES)
	@mkdir -p $$(@D)
	$$(call show,CC,$$@)
	$$(Q)$(2) $$(GUEST_CFLAGS) -g0 $(3) -nostdinc -isystem "$$$$($(2) -print-file-name=include)" -c -o $$@ $$<
$(4)/%.o: %.S | $$(PACKAGES)
	@mkdir -p $$(@D)
	$$(call show,AS,$$@)
	$$(Q)$(2) $$(GUEST_CFLAGS) -g0 -c -o $$@ $$<
$(4)/libept.a: $(EPT_SRC:%.c=$(4)/%.o)
$(4)/calls.a: $(4)/guest/lib/string.o
$(4)/libept.a $(4)/calls.a:
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
$(BUILD)/guest/freestanding/$(1).elf: $(addprefix $(4)/,$(addsuffix .o,$(basename $(FREESTANDING_SRC)))) $(4)/libept.a $(4)/calls.a guest/lib/guest.ld
	@mkdir -p $$(@D)
	$$(call show,LD,$$@)
	$$(Q)$(2) -nostdlib -static -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-T,guest/lib/guest.ld -o $$@ \
	    $$(filter %.o,$$^) -Wl,--whole-archive $(4)/libept.a -Wl,--no-whole-archive $(4)/calls.a
endef
$(foreach v,$(FREESTANDING),$(eval $(call freestanding,$(v),$(firstword $(subst -, ,$(v))),-$(lastword $(subst -, ,$(v))),    $(OBJ)/freestanding/$(v))))
$(BUILD)/tests/kvm/freestanding: | $(FREESTANDING_BIN)

# Fuzz targets: built by clang, all of them instrumented, in a folder of their own.
FUZZ_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/fuzz/*.c))
FUZZ_OBJ := $(filter-out %/model_driver.o,$(filter %/ept_segments.o %/snapshot_forge.o $(OBJ)/tests/support/model_%,$(SUPPORT_OBJ)))
$(FUZZ_BIN): $(BUILD)/tests/%: $(OBJ)/tests/%.o $(FUZZ_OBJ) $(SNAPSHOT_LIB) $(EPT_LIB)
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(SNAPSHOT_LIBS)
fuzz-targets: $(FUZZ_BIN)
fuzz-programs:
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang SAN=address,undefined,fuzzer-no-link OPT="-O1 -g" fuzz-targets

# The tests of the library with its lines counted: likewise. Counters that threads share must be atomic, or gcov reckons
# with too little; others must not be, or the tests take twenty times as long.
COVERAGE ?=
COVERAGE_THREADS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(shell grep -lE 'pthread_|threads_body' tests/unit/ept_*.c))
COVERAGE_SINGLE  := $(filter-out $(COVERAGE_THREADS),$(filter $(BUILD)/tests/unit/ept_%,$(UNIT_BIN)) $(MODEL_BIN))
$(filter $(OBJ)/ept/%,$(call objects,$(EPT_SRC))): CFLAGS += $(if $(COVERAGE),--coverage -fprofile-update=$(COVERAGE))
LDFLAGS += $(if $(COVERAGE),--coverage)
coverage-atomic: $(COVERAGE_THREADS)
coverage-single: $(COVERAGE_SINGLE)
coverage-programs:
	@$(MAKE) --no-print-directory BUILD=build/coverage/atomic CC=gcc SAN= COVERAGE=atomic OPT="-O1 -g" coverage-atomic
	@$(MAKE) --no-print-directory BUILD=build/coverage/single CC=gcc SAN= COVERAGE=single OPT="-O1 -g" coverage-single

# Tests on emulated processors. A ROM is a freestanding program from its reset vector on: tests/hw/rom/ and parts of its
# own. The rest of tests/hw/probe/ belongs to the hosted test programs.
ROM_OBJ   := $(OBJ)/rom
ROM_LIB   := $(patsubst %,$(ROM_OBJ)/%.o,$(basename $(wildcard tests/hw/rom/*.c tests/hw/rom/*.S)))
ROM_PROBE := $(addprefix $(ROM_OBJ)/tests/hw/probe/,rom.o stub.o)
ROM_MICRO := $(patsubst %,$(ROM_OBJ)/%.o,$(basename $(wildcard tests/hw/microvisor/*.c tests/hw/microvisor/*.S) $(EPT_SRC)))
HW_ROMS   := $(addprefix $(BUILD)/tests/hw/,probe.rom microvisor.rom)
HW_BIN    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/hw/*.c))
PROBE_OBJ := $(call objects,$(filter-out %/rom.c,$(wildcard tests/hw/probe/*.c)))

$(ROM_OBJ)/%.o: %.c | $(PACKAGES)
	@mkdir -p $(@D)
	$(call show,CC,$<)
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<
$(ROM_OBJ)/%.o: %.S | $(PACKAGES)
	@mkdir -p $(@D)
	$(call show,AS,$<)
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<
$(ROM_OBJ)/probe.elf: $(ROM_PROBE)
$(ROM_OBJ)/microvisor.elf: $(ROM_MICRO)
$(HW_ROMS:$(BUILD)/tests/hw/%.rom=$(ROM_OBJ)/%.elf): $(ROM_LIB) tests/hw/rom/rom.ld
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) -nostdlib -static -Wl,--build-id=none -Wl,--no-warn-rwx-segments -Wl,-T,tests/hw/rom/rom.ld -o $@ $(filter %.o,$^)
$(HW_ROMS): $(BUILD)/tests/hw/%.rom: $(ROM_OBJ)/%.elf
	@mkdir -p $(@D)
	$(Q)objcopy -O binary --gap-fill 0 $< $@ && chmod -x $@
$(HW_BIN): $(BUILD)/tests/%: $(OBJ)/tests/%.o $(PROBE_OBJ) $(EPT_LIB)
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(TEST_LIBS)

hw-programs: $(HW_BIN) $(HW_ROMS)
unit-programs: $(UNIT_BIN)
test-programs: $(UNIT_BIN) $(MODEL_BIN)
kvm-programs: $(KVM_BIN)
bench-programs: $(BENCH_BIN)

demo: all
	@tools/demo

check:
	@.ci/packages check
	@tests/run

check-nested:
	@.ci/packages check
	@tests/run --nested

check-release:
	@.ci/packages check
	@.ci/packages release
	@tests/release

fuzz coverage:
	@.ci/packages check
	@$(MAKE) --no-print-directory $@-programs
	@tests/$@/check_$@

bench:
	@.ci/packages check
	@$(MAKE) --no-print-directory all bench-programs
	@BUILD=$(BUILD) tests/bench/run

# $(call put,MODE,FILES,FOLDER) and $(call drop,FILES,FOLDER): install and its inverse, file by file.
put  = install -d '$(DESTDIR)$(3)' && install -m $(1) $(2) '$(DESTDIR)$(3)'
drop = rm -f $(patsubst %,'$(DESTDIR)$(2)/%',$(notdir $(1)))

# libept.pc names its folders by way of its prefix, so that pkg-config can move them.
PC := $(DESTDIR)$(libdir)/pkgconfig/libept.pc
pc_path = $(patsubst $(prefix)/%,$${prefix}/%,$(1))

install: all install-lib
	$(call put,755,$(VMM) $(TOOL_BIN),$(bindir))
	$(call put,644,$(PROGRAM_PAGES),$(mandir)/man1)
	$(call put,644,$(wildcard include/cleave/*),$(includedir)/cleave)

# A page under each function's name; those of both formats are the same.
PAGE_FUNCTIONS = $(shell sed -n '/^\.It .*Fn /p' ept/libept.3 | grep -oE 'Fn [a-z0-9_]+' | cut -d' ' -f2 | sort -u)
PAGE_LINKS     = $(addsuffix .3,$(PAGE_FUNCTIONS) $(patsubst ept_%,x86_%,$(filter ept_%,$(PAGE_FUNCTIONS))))

install-lib: $(if $(KERNEL),$(EPT_KERNEL),$(EPT_LIB) $(EPT_SHARED))
	$(call put,644,$(if $(KERNEL),$(EPT_KERNEL),$(EPT_LIB)),$(libdir))
	$(if $(KERNEL),,$(call put,755,$(EPT_SHARED),$(libdir)))
	$(if $(KERNEL),,ln -sf $(notdir $(EPT_SHARED)) '$(DESTDIR)$(libdir)/$(EPT_SONAME)')
	$(if $(KERNEL),,ln -sf $(EPT_SONAME) '$(DESTDIR)$(libdir)/libept.so')
	$(call put,644,$(wildcard include/ept/*.h),$(includedir)/ept)
	$(call put,644,$(LIBRARY_PAGES),$(mandir)/man3)
	@for page in $(PAGE_LINKS); do ln -sf libept.3 '$(DESTDIR)$(mandir)/man3/'$$page; done
	install -d '$(dir $(PC))'
	sed -e 's|@prefix@|$(prefix)|' -e 's|@libdir@|$(call pc_path,$(libdir))|' \
	    -e 's|@includedir@|$(call pc_path,$(includedir))|' -e 's|@version@|$(VERSION)|' ept/libept.pc.in >'$(PC)'
	chmod 644 '$(PC)'

uninstall:
	$(call drop,$(VMM) $(TOOL_BIN),$(bindir))
	$(call drop,$(PROGRAM_PAGES),$(mandir)/man1)
	$(call drop,$(wildcard include/cleave/*),$(includedir)/cleave)
	$(call drop,$(EPT_LIB) $(EPT_SHARED) $(EPT_SONAME) libept.so,$(libdir))
	$(call drop,$(wildcard include/ept/*.h),$(includedir)/ept)
	$(call drop,$(LIBRARY_PAGES) $(PAGE_LINKS),$(mandir)/man3)
	rm -f '$(PC)'
	rmdir '$(DESTDIR)$(includedir)/ept' '$(DESTDIR)$(includedir)/cleave' 2>/dev/null || true

clean:
	rm -rf build

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
