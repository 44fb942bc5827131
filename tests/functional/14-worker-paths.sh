#!/bin/bash
# Data keeps its content whichever way it and its commands travel.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/serve.sh"
. "$(dirname "$0")/data.sh"
requires fio losetup blkdiscard cmp

size=$((24 << 20))
modprobe loop
truncate -s $size disk

paths=copy
features=$(ublk-oci doctor || true)
# Before it a linked command is read too late: see driver/privileged/datapath.c.
[[ $features != *PER_IO_DAEMON* ]] || paths+=" link"
if [[ $features == *AUTO_BUF_REG* && $features == *BATCH_IO* ]]; then
    paths+=" batch zero-copy zero-copy+link zero-copy+batch"
    paths+=" zero-copy+link+by-hand zero-copy+batch+by-hand"
fi

# Many at a time with trims between them, and one by one.
brief() {
    fio --name=many --filename="$DEV" --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
        --bsrange=4k-256k --size=4M --verify=crc32c --verify_fatal=1 --fsync=32 \
        --name=trims --filename="$DEV" --direct=1 --ioengine=libaio --iodepth=8 \
        --rw=randtrimwrite --bs=64k --offset=4M --size=4M --io_size=2M \
        --name=one --filename="$DEV" --direct=1 --ioengine=psync --sync=1 --rw=randwrite \
        --bs=4k --offset=8M --size=256k --verify=crc32c --verify_fatal=1 \
        --minimal >fio.out 2>&1 || fail "$1: fio: $(tail -n 3 fio.out)"
    dd if=pattern of="$DEV" bs=1M count=16 oflag=direct status=none
    blkdiscard --offset 4M --length 4M "$DEV"
    zeroes 4 4
    cmp -s -n 4M <(dd if="$DEV" bs=1M count=4 iflag=direct status=none) pattern ||
        fail "$1: the first 4 MiB of $DEV have changed"
}

for path in $paths; do
    loop=$(losetup --find --show --direct-io=off disk)
    serve --target file --backing "$loop" --direct --path "$path"
    brief "$path"
    serve_end
    losetup --detach "$loop"
    ok "$path: a block device, past the page cache"
    serve --target memory --size $size --path "$path" --queues 1 --depth 3
    brief "$path"
    serve_end
    ok "$path: memory, one queue of three"
    # So many pieces that not all of a request go at once.
    serve --target memory --size $size --path "$path" --piece 12k
    brief "$path, in pieces"
    serve_end
    ok "$path: memory, in pieces"
    serve --target null --size $size --path "$path"
    dd if=pattern of="$DEV" bs=1M count=2 oflag=direct status=none
    zeroes 0 2
    serve_end
    ok "$path: null reads as zeroes"
done
