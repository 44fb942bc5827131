#!/bin/bash
# The keys profile and data-path: what is given by itself, on demand, and what is refused.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires fio jq losetup

policy() { # whether zero copy is granted
    cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 1000 }, "rules": [ {
    "id": "host", "principal": { "uid": 0 }, "host": true, "max_size": "1G", "max_devices": 10,
    "targets": ["null", "memory", "file"], "backing": ["/run/", "/dev/"], "zero_copy": $1,
    "max_queues": 16, "max_depth": 256 } ] }
END
}

backing=(--target memory --size 32M)

# attached KEY...: sets $dev, and $is from inspect: "zero-copy latency false".
attached() {
    dev=$(ublk-oci attach --host "${backing[@]}" "$@" | grep -o '/dev/ublkb[0-9]*' | head -n 1)
    is=$(ublk-oci inspect --json "$dev" | jq -r '"\(.data_path) \(.profile) \(.batch)"')
}

# What the block layer makes of its requests.
shaped() {
    local queue=/sys/block/${dev#/dev/}/queue kb opt physical most=256

    [[ $is != zero-copy* ]] || most=1024
    read -r kb <"$queue/max_hw_sectors_kb"
    [ "$kb" = $most ] || fail "$is: requests of up to $kb KiB, not $most"
    read -r opt <"$queue/optimal_io_size"
    read -r physical <"$queue/physical_block_size"
    [ "$opt" = "$physical" ] || fail "$is: best in $opt bytes, not in blocks of $physical"
}

# Whatever way it is, what is written comes back; several queues deep, and alone.
serves() {
    fio --name=deep --filename="$dev" --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite \
        --bsrange=4k-1M --size=16M --verify=crc32c --verify_fatal=1 --minimal >fio.out 2>&1 ||
        fail "$is: $(tail -n 3 fio.out)"
    fio --name=alone --filename="$dev" --direct=1 --ioengine=psync --rw=randwrite --bs=4k \
        --size=2M --verify=crc32c --verify_fatal=1 --minimal >fio.out 2>&1 ||
        fail "$is: $(tail -n 3 fio.out)"
    ublk-oci detach "$dev" >/dev/null
}

expect() { # what inspect says, then keys
    local wanted=$1

    shift
    attached "$@"
    [ "$is" = "$wanted" ] || fail "attach $*: $is, not $wanted"
    shaped
    serves
    ok "${*:-nothing asked}: $is"
}

features=$(ublk-oci doctor || true)
new=""
[[ $features != *AUTO_BUF_REG* ]] || new=yes
batch=false
[[ $features != *BATCH_IO* ]] || batch=true

policy false
helper_start --policy "$TEST_DIR/policy.json"
expect "copy latency false"
expect "copy throughput $batch" --profile throughput
expect_fail 'rule "host": zero copy' ublk-oci attach --host --target memory --size 32M --data-path zero-copy
ok "zero copy that is not granted is refused"
policy true
ublk-oci policy reload >/dev/null
if [ "$new" ]; then
    expect "zero-copy latency false"
    expect "zero-copy throughput $batch" --profile throughput
    expect "zero-copy latency false" --data-path zero-copy
    expect "zero-copy throughput $batch" --data-path by-hand --profile throughput
else
    expect "copy latency false"
    expect_fail 'zero copy needs a kernel' \
        ublk-oci attach --host --target memory --size 32M --data-path zero-copy
    ok "zero copy the kernel has not got is refused, with the kernel that has"
fi
expect "copy latency false" --data-path copy --depth 3 --queues 1
# What the backing's disk would split the ring would have to do in threads, one for each request.
modprobe loop
truncate -s 32M "$TEST_DIR/disk"
loop=$(losetup --find --show --direct-io=off "$TEST_DIR/disk")
undo losetup --detach "$loop"
for kb in 64 36; do
    echo $kb >"/sys/block/${loop#/dev/}/queue/max_sectors_kb"
    dev=$(ublk-oci attach --host --target file --backing "$loop")
    pid=$(ublk-oci inspect --json "$dev" | jq .worker.pid)
    fio --name=large --filename="$dev" --direct=1 --ioengine=libaio --iodepth=8 --rw=randrw \
        --bs=256k --size=16M --io_size=32M --verify=crc32c --verify_fatal=1 --minimal >fio.out 2>&1 ||
        fail "pieces of $kb KiB: $(tail -n 3 fio.out)"
    threads=("/proc/$pid/task/"*)
    [ -d "${threads[0]}" ] && [ ${#threads[@]} = 1 ] || fail "pieces of $kb KiB: the worker has ${#threads[@]} threads"
    read -r scheduler <"/sys/block/${dev#/dev/}/queue/scheduler"
    [[ $scheduler = *"[none]"* ]] || fail "two queues: scheduler $scheduler"
    ublk-oci detach "$dev" >/dev/null
done
ok "large requests go in pieces the backing's disk takes at once"
# What the backing's disk says of itself is said of the device.
limits() { # of a device
    local name values=()

    for name in rotational minimum_io_size optimal_io_size physical_block_size logical_block_size; do
        values+=("$name=$(<"/sys/block/${1#/dev/}/queue/$name")")
    done
    echo "${values[*]}"
}
blocks=$(losetup --find --show --sector-size 4096 "$TEST_DIR/disk")
undo losetup --detach "$blocks"
for rotates in 1 0; do
    echo $rotates >"/sys/block/${blocks#/dev/}/queue/rotational"
    wanted=$(limits "$blocks")
    wanted=${wanted/optimal_io_size=0/optimal_io_size=4096}
    dev=$(ublk-oci attach --host --target file --backing "$blocks")
    [ "$(limits "$dev")" = "$wanted" ] || fail "the device has $(limits "$dev"), its backing $wanted"
    ublk-oci detach "$dev" >/dev/null
done
ok "$wanted, like the backing"
# With one queue the block layer's own choice is another; it is changed behind the answer.
unscheduled() { grep -q '\[none\]' "/sys/block/${dev#/dev/}/queue/scheduler"; }
attached --queues 1
wait_for 10 unscheduled || fail "one queue: scheduler $(<"/sys/block/${dev#/dev/}/queue/scheduler")"
serves
ok "no scheduler sorts what the backing's disk sorts once more"

# A backing that answers late, while the ring goes round more than once.
modprobe null_blk nr_devices=0
late=/sys/kernel/config/nullb/nulllate
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
mkdir "$late"
undo rmdir "$late"
for setting in size=64 memory_backed=1 irqmode=2 completion_nsec=30000000 power=1; do
    echo "${setting#*=}" >"$late/${setting%=*}"
done
undo sh -c "echo 0 >$late/power"
backing=(--target file --backing /dev/nulllate)
attached --queues 1 --depth 8
fio --name=alone --filename="$dev" --direct=1 --ioengine=psync --rw=randread --bs=4k \
    --number_ios=3 --name=deep --stonewall --filename="$dev" --direct=1 --ioengine=libaio \
    --iodepth=8 --rw=randwrite --bs=4k --number_ios=640 --size=16M --verify=crc32c \
    --verify_fatal=1 --minimal >fio.out 2>&1 || fail "$is: $(tail -n 3 fio.out)"
ublk-oci detach "$dev" >/dev/null
ok "$is: a backing of 30 ms, eight requests at a time"

expect_fail 'is none of: auto, copy, zero-copy' \
    ublk-oci attach --host --target memory --size 32M --data-path shared
expect_fail 'is none of: latency, throughput' \
    ublk-oci attach --host --target memory --size 32M --profile fast
ok "words that are none are refused with those there are"
expect_nothing_left
