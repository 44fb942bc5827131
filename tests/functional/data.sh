# shellcheck shell=bash
# Sourced after serve.sh: what must be true of the content of a device, $DEV.

zeroes() { # offset and length, in MiB
    cmp -s -n "$2M" <(dd if="$DEV" bs=1M skip="$1" count="$2" iflag=direct status=none) /dev/zero ||
        fail "$DEV: MiB $1 to $(($1 + $2)) are not zero"
}

# What is written comes back; trims and flushes in between do no harm.
verified() {
    fio --name=verify --filename="$DEV" --direct=1 --ioengine=libaio --iodepth=16 \
        --rw=randwrite --bsrange=4k-256k --size=16M --verify=crc32c --verify_fatal=1 \
        --fsync=32 --randseed=7 --minimal >fio.out 2>&1 || fail "fio: $(tail -n 3 fio.out)"
    fio --name=mixed --filename="$DEV" --direct=1 --ioengine=libaio --iodepth=8 \
        --rw=randtrimwrite --bs=64k --size=16M --io_size=8M --fdatasync=16 --randseed=8 \
        --minimal >fio.out 2>&1 || fail "fio: $(tail -n 3 fio.out)"
    fio --name=again --filename="$DEV" --direct=1 --ioengine=psync --sync=1 --rw=write --bs=16k \
        --size=2M --verify=crc32c --verify_fatal=1 --minimal >fio.out 2>&1 ||
        fail "fio: $(tail -n 3 fio.out)"
}

head -c 16M /dev/zero | tr '\0' x >pattern

# blkdiscard and blkdiscard -z leave zeroes, and only where they should.
discarded() {
    dd if=pattern of="$DEV" bs=1M count=16 oflag=direct status=none
    blkdiscard --offset 4M --length 4M "$DEV"
    zeroes 4 4
    blkdiscard --zeroout --offset 10M --length 2M "$DEV"
    zeroes 10 2
    cmp -s -n 4M <(dd if="$DEV" bs=1M count=4 iflag=direct status=none) pattern ||
        fail "the first 4 MiB of $DEV have changed"
    cmp -s -n 4M <(dd if="$DEV" bs=1M skip=12 count=4 iflag=direct status=none) pattern ||
        fail "MiB 12 to 16 of $DEV have changed"
}

read_only() { # arguments of serve
    serve "$@" --read-only
    [ "$(blockdev --getro "$DEV")" = 1 ] || fail "$DEV is not read-only"
    dd if="$DEV" of=/dev/null bs=1M iflag=direct status=none
    expect_fail 'not permitted|Read-only' dd if=/dev/zero of="$DEV" bs=4k count=1 oflag=direct
    expect_fail 'not permitted|Read-only|not supported' blkdiscard -f "$DEV"
    serve_end
}

all_of() { # arguments of serve
    echo "serve $*"
    serve "$@"
    verified
    discarded
    serve_end
}
