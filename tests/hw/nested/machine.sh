# The machine that tests/hw/nested/run boots: what is in it, and the emulator. To be sourced there, which sets `scratch`,
# `kernel`, the folder of the kernel, `limit`, the seconds for one command, and `tsc_khz`.

# The programs, and the shared libraries that they load at the same paths as here.
lay_out() {
    local root=$1 program library module
    mkdir -p "$root"/{bin,usr/bin,proc,sys,dev,tmp,modules,root/build/tests}
    cp build/vmm build/guest.bin "$root/root/build"
    cp -r build/guest build/tools "$root/root/build"
    cp -r build/tests/kvm "$root/root/build/tests"
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
    for module in irqbypass kvm kvm-amd; do
        # Compressed or not, by the kernel's version.
        find "$kernel" -name "$module.ko.xz" -exec busybox xzcat {} + -o -name "$module.ko" -exec cat {} + \
            >"$root/modules/$module.ko"
    done
    # Check multiplies the tests' own time limits; tests that repeat things do so less often than on a real machine.
    cat >"$root/settings" <<END
command_limit=$limit
export TMPDIR=/tmp CK_TIMEOUT_MULTIPLIER=4 SLOWER=8
END
}

# The files of a folder as an initramfs, in a file.
archive() {
    (cd "$1" && find . | cpio --quiet -o -H newc) >"$2"
}

# emulate FOLDER: the machine, until it powers off. Its first serial port is stdin and stdout, the second one goes to a
# file. No core dumps of the emulator: two GiB. Why the kernel gets these parameters: tests/hw/README.md.
emulate() {
    ulimit -c 0
    exec qemu-system-x86_64 \
        -accel tcg -machine q35 -cpu EPYC,+svm,+npt -smp 1 -m 2G \
        -nodefaults -display none -no-reboot \
        -chardev stdio,id=results,signal=off -serial chardev:results -serial "file:$1/kernel" \
        -kernel "$kernel"/boot/vmlinuz-* -initrd "$scratch/initramfs" \
        -append "console=ttyS1 loglevel=5 panic=-1 nohz=off highres=off tsc=reliable tsc_early_khz=$tsc_khz nosoftlockup" \
        2>"$1/emulator"
}
