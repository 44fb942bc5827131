#!/bin/bash
# Everything on at once, for as long as one likes: zero copy and batches where the kernel has them,
# two queues, discard; data are checked all the time. The long one:
#
#   tests/vm/run --kernel 7.3 --smp 2 --timeout 3600 -- \
#       env MINUTES=30 TEST_DIR=/run sh -c 'tests/guest/setup && tests/functional/34-soak.sh'
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires fio jq losetup blkdiscard cmp

seconds=$((${MINUTES:-0} * 60))
[ $seconds -gt 0 ] || seconds=15

modprobe loop
truncate -s 96M "$TEST_DIR/disk"
loop=$(losetup --find --show --direct-io=off "$TEST_DIR/disk")
undo losetup --detach "$loop"
echo 64 >"/sys/block/${loop#/dev/}/queue/max_sectors_kb" # large requests go in pieces
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [ { "id": "host",
    "principal": { "uid": 0 }, "host": true, "targets": ["file"], "backing": ["/dev/"],
    "max_size": "1G", "discard": true, "zero_copy": true } ] }
END
helper_start --policy "$TEST_DIR/policy.json"
dev=$(ublk-oci attach --host --target file --backing "$loop" --profile throughput)
ublk-oci inspect --json "$dev" | jq -c '{data_path, profile, batch, queues, depth}'

# Three parts of the device: all sizes with flushes, single ones, trims among writes.
fio --direct=1 --filename="$dev" --time_based --runtime=$seconds --verify=crc32c --verify_fatal=1 \
    --verify_backlog=256 --output="$TEST_DIR/fio.out" \
    --name=deep --ioengine=io_uring --iodepth=32 --rw=randwrite --bsrange=4k-512k --size=32M --fdatasync=64 \
    --name=one --ioengine=psync --rw=randwrite --bs=4k --offset=32M --size=16M \
    --name=trims --ioengine=libaio --iodepth=8 --rw=randtrimwrite --bs=64k --offset=48M --size=32M \
    --verify=0 || fail "fio: $(tail -n 5 "$TEST_DIR/fio.out")"
grep -E 'issued rwts' "$TEST_DIR/fio.out"
! grep -E 'err= *[1-9]' "$TEST_DIR/fio.out" || fail "fio counted errors"

# What was trimmed and not written again reads as zeroes, and takes no space behind it.
blkdiscard --offset 48M --length 32M "$dev"
cmp -s -n $((32 << 20)) <(dd if="$dev" bs=1M skip=48 count=32 iflag=direct status=none) /dev/zero ||
    fail "a trimmed part is not zeroes"
ok "soak: $seconds s of everything at once, and every byte is what was written"
ublk-oci detach "$dev" >/dev/null
expect_nothing_left
