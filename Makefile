# Cleave: forks running virtual machines.
#
#   make                everything, under build/
#   make demo           launch a guest, fork it live, show what happened
#   make check          every test, under every sanitizer that applies
#   make check-nested   the KVM tests on emulated machines alone, which are a part of `make check`
#   make check-release  before a release: KVM tests on all emulated machines, longer random runs; an hour and a quarter
#   make fuzz           the page-table library and the reader of snapshots under libFuzzer, for FUZZ_SECONDS=20 each
#   make coverage       which lines of the page-table library its tests reach
#   make bench          the library's and the VMM's figures, as ratios to a baseline of the same run
#   make install        DESTDIR=, prefix=, libdir= and so on as usual
#   make install-lib    the page-table library alone; needs nothing but a C compiler. With KERNEL=1, libept.a is one for kernels
#   make uninstall      takes away what both install; the same variables
#   make packages       only installs the Debian packages that building needs
#   make clean
#   make help           this list
#
# CC=clang chooses the compiler; SAN=address,undefined or SAN=thread builds with sanitizers into a folder of its own;
# WERROR=1 makes warnings errors; V=1 shows whole commands.

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
datadir     ?= $(datarootdir)
mandir      ?= $(datarootdir)/man
kitdir      := $(datadir)/cleave/guest
completionsdir ?= $(datadir)/bash-completion/completions

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
VMM_SRC    := $(wildcard vmm/*.c vmm/control/*.c)
CLEAVE_SRC := $(filter-out vmm/snapshot/% vmm/control/%,$(wildcard vmm/*/*.c))
SNAPSHOT_SRC := $(wildcard vmm/snapshot/*.c)
CLIENT_SRC := $(wildcard tools/client/*.c)
TOOLS      := $(notdir $(patsubst %/,%,$(filter-out tools/client/ tools/completion/,$(wildcard tools/*/))))
TOUR_GUESTS := counter hello
GUESTS     := $(basename $(notdir $(wildcard guest/*.c guest/*.S)))

PROGRAM_PAGES := $(wildcard vmm/*.1 tools/*/*.1)

objects = $(patsubst %,$(OBJ)/%.o,$(basename $(1)))

EPT_LIB := $(BUILD)/libept.a
SNAPSHOT_LIB := $(BUILD)/libsnapshot.a
CLEAVE_LIB := $(BUILD)/libcleave.a
VMM     := $(BUILD)/vmm
TOOL_BIN := $(TOOLS:%=$(BUILD)/tools/%)
GUEST_BIN := $(GUESTS:%=$(BUILD)/guest/%.bin) $(GUESTS:%=$(BUILD)/guest/%.elf) $(BUILD)/guest.bin

.PHONY: all help demo check check-nested check-release bench fuzz coverage install install-lib uninstall clean packages test-programs unit-programs
.PHONY: kvm-programs bench-programs fuzz-programs fuzz-targets coverage-programs coverage-atomic coverage-single hw-programs
.DELETE_ON_ERROR:

all: $(EPT_LIB) $(SNAPSHOT_LIB) $(CLEAVE_LIB) $(VMM) $(TOOL_BIN) $(GUEST_BIN)

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

# $(1): a library for others to link; $(2): its objects. Its own names are in nobody's way there: only those that begin with
# the library's name can be seen.
define library_alone
$(BUILD)/install/lib$(1).a: $(2)
	@mkdir -p $$(@D)
	$$(call show,AR,$$@)
	$$(Q)$$(LD) -r -o $$(@D)/$(1).o $$^ && objcopy --wildcard --keep-global-symbol='$(1)_*' $$(@D)/$(1).o
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$(@D)/$(1).o
endef
LIBS_ALONE := $(BUILD)/install/libcleave.a $(BUILD)/install/libsnapshot.a
$(eval $(call library_alone,snapshot,$(call objects,$(SNAPSHOT_SRC))))
$(eval $(call library_alone,cleave,$(call objects,$(CLEAVE_SRC))))

# Guests as a library: the rooms from the family down. What uses it links the two below it, too.
CLEAVE_LIBS = $(CLEAVE_LIB) $(SNAPSHOT_LIB) $(EPT_LIB)
$(CLEAVE_LIB): $(call objects,$(CLEAVE_SRC))
	@mkdir -p $(@D)
	$(call show,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# Their archives where they are installed: half of what a vmm does before its guest's first byte was to load shared libraries.
archive  = $(filter /%,$(shell $(CC) -print-file-name=$(1).a))
VMM_LIBS = $(or $(call archive,libuv_a),$(call pkg,--libs,libuv)) $(or $(call archive,libjansson),$(call pkg,--libs,jansson)) \
    $(or $(call archive,libxxhash),-lxxhash) $(or $(call archive,libzstd),-lzstd) -ldl -lrt
$(VMM): $(call objects,$(VMM_SRC)) $(CLEAVE_LIBS)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(VMM_LIBS)

# A tool is the files of its folder plus the shared control-protocol client, and what it uses of the libraries.
define tool
$(BUILD)/tools/$(1): $(call objects,$(wildcard tools/$(1)/*.c tools/$(1)/*.S) $(CLIENT_SRC)) $(CLEAVE_LIBS)
	@mkdir -p $$(@D)
	$$(call show,LD,$$@)
	$$(Q)$(CC) $(LDFLAGS) -o $$@ $$^ -Wl,--as-needed $$(call pkg,--libs,jansson) $$(SNAPSHOT_LIBS) -lm
endef
$(foreach t,$(TOOLS),$(eval $(call tool,$(t))))

# ptstat carries its guests inside.
GUEST_IMAGES := $(OBJ)/tools/ptstat/guest_images.o
$(GUEST_IMAGES): $(addprefix $(BUILD)/guest/,workload.bin target.bin hello.bin)
$(GUEST_IMAGES): CPPFLAGS += -DWORKLOAD_BIN='$(BUILD)/guest/workload.bin' -DTARGET_BIN='$(BUILD)/guest/target.bin' \
    -DHELLO_BIN='$(BUILD)/guest/hello.bin'

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
# functions; kvm tests see the built programs through the control protocol, or libcleave through its header.
SUPPORT_OBJ  := $(call objects,$(wildcard tests/support/*.c))
VMM_PARTS    := $(filter-out $(OBJ)/vmm/main.o,$(call objects,$(VMM_SRC) $(CLEAVE_SRC)))
PTSTAT_PURE  := $(call objects,$(addprefix tools/ptstat/,samples.c bytes.c plot_script.c plot_legend.c meanings.c))
PTDUMP_PARTS := $(call objects,$(addprefix tools/ptdump/,decode.c image.c print.c summary.c))
VMCTL_PURE   := $(call objects,tools/vmctl/console_tail.c)
UNIT_BIN     := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/*.c))
MODEL_BIN    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/model/*.c))
KVM_BIN      := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/kvm/*.c))
BENCH_BIN    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/bench/*.c))
TEST_LIBS     = $(call pkg,--libs,check jansson libuv liburcu-memb) $(SNAPSHOT_LIBS) -lm

$(UNIT_BIN): $(BUILD)/tests/%: $(OBJ)/tests/%.o $(SUPPORT_OBJ) $(VMM_PARTS) $(PTSTAT_PURE) $(PTDUMP_PARTS) $(VMCTL_PURE) $(SNAPSHOT_LIB) $(EPT_LIB) $(call objects,$(CLIENT_SRC))
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(TEST_LIBS)
$(BUILD)/tests/unit/snapshot_vmctl $(BUILD)/tests/unit/vmctl_help: | $(BUILD)/tools/vmctl
$(MODEL_BIN): $(BUILD)/tests/%: $(OBJ)/tests/%.o $(SUPPORT_OBJ) $(VMM_PARTS) $(SNAPSHOT_LIB) $(EPT_LIB) $(call objects,$(CLIENT_SRC))
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(TEST_LIBS)
$(KVM_BIN): $(BUILD)/tests/%: $(OBJ)/tests/%.o $(SUPPORT_OBJ) $(CLEAVE_LIBS) $(call objects,$(CLIENT_SRC))
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(TEST_LIBS)
# What is installed, for a test where it cannot be installed: on emulated machines.
$(BUILD)/tests/install/cleave_loop: $(OBJ)/tests/install/cleave_loop.o $(LIBS_ALONE) $(EPT_LIB)
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(SNAPSHOT_LIBS)
$(BUILD)/tests/kvm/cleave_installed: | $(BUILD)/tests/install/cleave_loop
$(BENCH_BIN): $(BUILD)/tests/%: $(OBJ)/tests/%.o $(EPT_LIB)
	@mkdir -p $(@D)
	$(call show,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(call pkg,--libs,liburcu-qsbr)
# These answer in the family's place, and the last one in malloc's.
wrap = $(foreach name,$(1),-Wl,--wrap=$(name))
$(BUILD)/tests/unit/control_answers: LDFLAGS += $(call wrap,cleave_guest_save)
$(BUILD)/tests/unit/control_runs: LDFLAGS += $(call wrap,cleave_guest_begin_run cleave_guest_end_run cleave_family_guests)
$(BUILD)/tests/unit/control_memory: LDFLAGS += $(call wrap,malloc calloc realloc cleave_family_guests \
    $(addprefix cleave_guest_,fork checkpoint reset save restore begin_run pause resume kill write console_write))

# These fail what the library of snapshots calls.
wrap = $(addprefix -Wl$(comma)--wrap=,$(1))
$(BUILD)/tests/unit/snapshot_errors: LDFLAGS += $(call wrap,stat lstat fstat fstatat faccessat open openat realpath pread \
    pwrite lseek ftruncate fchmod fsync linkat renameat flock getrandom)
$(BUILD)/tests/unit/snapshot_memory: LDFLAGS += $(call wrap,malloc calloc realloc aligned_alloc strdup free fdopendir closedir \
    ZSTD_createCCtx ZSTD_freeCCtx ZSTD_compressCCtx ZSTD_createDCtx ZSTD_freeDCtx ZSTD_decompressDCtx XXH3_createState \
    XXH3_freeState fsync)

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

# The comment at the top, as far as it goes.
help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

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

# $(call put,MODE,FILES,FOLDER) and $(call drop,MODE,FILES,FOLDER): install and its inverse, file by file.
put  = install -d '$(DESTDIR)$(3)' && install -m $(1) $(2) '$(DESTDIR)$(3)'
drop = rm -f $(patsubst %,'$(DESTDIR)$(3)/%',$(notdir $(2)))

# The same of files that name folders: NAME is made of NAME.in. Those of pkg-config name theirs by way of its prefix, so that
# it can move them.
fill = sed -e 's|@prefix@|$(prefix)|' -e 's|@libdir@|$(call pc_path,$(libdir))|' -e 's|@version@|$(VERSION)|' \
    -e 's|@includedir@|$(call pc_path,$(includedir))|' -e 's|@headers@|$(includedir)|' -e 's|@kit@|$(kitdir)|' $(1)
pc_path = $(patsubst $(prefix)/%,$${prefix}/%,$(1))
put_filled  = install -d '$(DESTDIR)$(2)' && $(call fill,$(1)) >'$(DESTDIR)$(2)/$(basename $(notdir $(1)))' && \
    chmod 644 '$(DESTDIR)$(2)/$(basename $(notdir $(1)))'
drop_filled = rm -f '$(DESTDIR)$(2)/$(basename $(notdir $(1)))'

# Links to what is installed in the same folder.
put_link  = @for name in $(3); do ln -sf $(1) '$(DESTDIR)$(2)/'$$name; done
drop_link = @for name in $(3); do rm -f '$(DESTDIR)$(2)/'$$name; done

# What is installed where; $(1): put or drop. install-lib: the page-table library.
define library_parts
$(call $(1),644,$(if $(KERNEL),$(EPT_KERNEL),$(EPT_LIB)),$(libdir))
$(if $(KERNEL),,$(call $(1),755,$(EPT_SHARED),$(libdir)))
$(if $(KERNEL),,$(call $(1)_link,$(notdir $(EPT_SHARED)),$(libdir),$(EPT_SONAME)))
$(if $(KERNEL),,$(call $(1)_link,$(EPT_SONAME),$(libdir),libept.so))
$(call $(1),644,$(wildcard include/ept/*.h),$(includedir)/ept)
$(call $(1),644,$(wildcard ept/*.3),$(mandir)/man3)
$(call $(1)_link,libept.3,$(mandir)/man3,$(PAGE_LINKS))
$(call $(1)_filled,ept/libept.pc.in,$(libdir)/pkgconfig)
endef

# install: that, and the programs, the libraries of guests and of snapshot files, and what guests are made with.
define program_parts
$(call $(1),755,$(VMM) $(TOOL_BIN),$(bindir))
$(call $(1),644,$(PROGRAM_PAGES),$(mandir)/man1)
$(call $(1),644,$(addprefix tools/completion/,vmm $(TOOLS)),$(completionsdir))
$(call $(1),644,$(wildcard include/cleave/*.3),$(mandir)/man3)
$(call $(1),644,$(wildcard include/cleave/*.5),$(mandir)/man5)
$(call $(1),644,$(wildcard include/cleave/*.7),$(mandir)/man7)
$(call $(1),644,$(wildcard include/cleave/*.h),$(includedir)/cleave)
$(call $(1),644,$(LIBS_ALONE),$(libdir))
$(call $(1)_filled,include/cleave/cleave.pc.in,$(libdir)/pkgconfig)
$(call $(1)_filled,include/cleave/libsnapshot.pc.in,$(libdir)/pkgconfig)
$(call $(1),644,$(wildcard guest/lib/*),$(kitdir)/lib)
$(call $(1),644,$(wildcard guest/example/*.c),$(kitdir)/example)
$(call $(1)_filled,guest/example/Makefile.in,$(kitdir)/example)
$(call $(1),644,$(TOUR_GUESTS:%=$(BUILD)/guest/%.bin),$(kitdir))
endef

install: all install-lib $(LIBS_ALONE)
	$(call program_parts,put)

# A page under each function's name; those of both formats are the same.
PAGE_FUNCTIONS = $(shell sed -n '/^\.It .*Fn /p' ept/libept.3 | grep -oE 'Fn [a-z0-9_]+' | cut -d' ' -f2 | sort -u)
PAGE_LINKS     = $(addsuffix .3,$(PAGE_FUNCTIONS) $(patsubst ept_%,x86_%,$(filter ept_%,$(PAGE_FUNCTIONS))))

install-lib: $(if $(KERNEL),$(EPT_KERNEL),$(EPT_LIB) $(EPT_SHARED))
	$(call library_parts,put)

# The folders that only we put anything in go with the last file.
uninstall:
	$(call program_parts,drop)
	$(call library_parts,drop)
	rmdir $(patsubst %,'$(DESTDIR)%',$(includedir)/ept $(includedir)/cleave $(kitdir)/lib $(kitdir)/example $(kitdir) \
	    $(datadir)/cleave) 2>/dev/null || true

clean:
	rm -rf build

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
