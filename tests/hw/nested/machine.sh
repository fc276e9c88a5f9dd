# The machine that tests/hw/nested/run boots: what is in it, and the emulator. To be sourced there, which sets `scratch`,
# `kernel`, the folder of the kernel, `limit`, the seconds for one
# command, `kvm`, `slower` and `tsc_khz`.

# The programs, and the shared libraries that they load at the same paths as here.
lay_out() {
    local root=$1 program library module
    mkdir -p "$root"/{bin,usr/bin,proc,sys,dev,tmp,modules,root/build/tests}
    cp build/vmm build/guest.bin "$root/root/build"
    cp -r build/guest build/tools "$root/root/build"
    cp -r build/tests/kvm build/tests/install "$root/root/build/tests"
    cp -r --parents tools/demo tests/demo tests/install/checks.sh "$root/root"
    cp -L "$(command -v bash)" "$(command -v busybox)" "$root/bin"
    for program in build/vmm build/tools/* build/tests/kvm/* "$root/bin/bash"; do
        ldd "$program" | grep -o '/[^ ]*' || true # a static program has none
    done | sort -u | while read -r library; do
        mkdir -p "$root${library%/*}"
        cp -L "$library" "$root$library"
    done
    # Half of it would be debugging symbols.
    find "$root/root/build" "$root/lib"* -type f -size +64k -exec strip -g {} + 2>/dev/null || true
    ln -s busybox "$root/bin/sh"
    ln -s ../../bin/busybox "$root/usr/bin/env"
    cp tests/hw/nested/init "$root/init"
    [[ $kvm == kvm_amd ]] ||
        gcc -std=c11 -D_GNU_SOURCE -O2 -static -o "$root/bin/nmi_timer" tests/hw/nested/nmi_timer.c
    for module in irqbypass kvm "${kvm/_/-}"; do
        # Compressed or not, by the kernel's version.
        find "$kernel" -name "$module.ko.xz" -exec busybox xzcat {} + -o -name "$module.ko" -exec cat {} + \
            >"$root/modules/$module.ko"
    done
    # Check multiplies the tests' own time limits; tests that repeat things do so less often than on a real machine.
    cat >"$root/settings" <<END
command_limit=$limit
export TMPDIR=/tmp CK_TIMEOUT_MULTIPLIER=4 SLOWER=$slower
END
}

# The files of a folder as an initramfs, in a file.
archive() {
    (cd "$1" && find . | cpio --quiet -o -H newc) >"$2"
}

# The emulators, each with its parameters for the kernel. Why it gets these: tests/hw/README.md. No core dumps: they
# would be as large as the machine.

# emulate_qemu FOLDER: the machine, until it powers off. Its first serial port is stdin and stdout, the second one goes to
# a file.
emulate_qemu() {
    ulimit -c 0
    exec qemu-system-x86_64 \
        -accel tcg -machine q35 -cpu EPYC,+svm,+npt -smp 1 -m 2G \
        -nodefaults -display none -no-reboot \
        -chardev stdio,id=results,signal=off -serial chardev:results -serial "file:$1/kernel" \
        -kernel "$kernel"/boot/vmlinuz-* -initrd "$scratch/initramfs" \
        -append "$for_kernel tsc_early_khz=$tsc_khz" 2>"$1/emulator"
}
for_kernel="console=ttyS1 loglevel=5 panic=-1 tsc=reliable nosoftlockup nohz=off highres=off"
# What costs a quarter of the time here and is not what the tests are about.
for_kernel+=" mitigations=off init_on_alloc=0 cgroup_disable=memory"

# What Bochs takes for a second, in thousands of instructions: about what QEMU does in one.
bochs_khz=200000

# make_disk FOLDER: a CD that boots, with the commands of the FOLDER; Bochs loads no kernel by itself.
make_disk() {
    local disk=$1/disk more=$1/more
    rm -rf "$disk" "$more"
    mkdir -p "$disk/isolinux" "$more"
    cp "$1/commands" "$more"
    archive "$more" "$1/initramfs"
    cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$disk/isolinux"
    cp "$kernel"/boot/vmlinuz-* "$disk/vmlinuz"
    cat "$scratch/initramfs" "$1/initramfs" >"$disk/initrd"
    cat >"$disk/isolinux/isolinux.cfg" <<END
default linux
label linux
  kernel /vmlinuz
  append initrd=/initrd $for_kernel tsc_early_khz=$bochs_khz nokaslr hpet=disable iomem=relaxed
END
    xorriso -as mkisofs -quiet -o "$1/iso" -b isolinux/isolinux.bin -c isolinux/boot.cat \
        -no-emul-boot -boot-load-size 4 -boot-info-table "$disk" 2>/dev/null
    rm -rf "$disk" "$more"
}

# emulate_bochs FOLDER: likewise, but that it takes no input, and that the exit status says nothing. The terminal display
# needs neither a terminal nor a port; the debugger's first command makes it go.
emulate_bochs() {
    ulimit -c 0
    make_disk "$1"
    echo c >"$1/go"
    cat >"$1/settings" <<END
cpu: model=corei7_skylake_x, count=1, ips=${bochs_khz}000, reset_on_triple_fault=0
memory: guest=1024, host=1024
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
vga: extension=none
display_library: term
plugin_ctrl: speaker=0
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$1/iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=/proc/self/fd/5
com2: enabled=1, mode=file, dev=$1/kernel
clock: sync=none
panic: action=fatal
log: /dev/null
END
    TERM=dumb exec bochs-bin -q -f "$1/settings" -rc "$1/go" 5>&1 >"$1/emulator" 2>&1
}
