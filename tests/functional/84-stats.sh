#!/bin/bash
# What ublk-oci stats counts is what was done, whichever way it travelled.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/caller.sh"
requires fio jq python3 setpriv

cat >"$TEST_DIR/policy.json" <<'END'
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 1000 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "max_size": "1G", "max_devices": 10,
      "targets": ["null", "memory", "file"], "backing": ["/srv/ublk-oci/", "/dev/"],
      "zero_copy": true, "max_queues": 16, "max_depth": 256 },
    { "id": "user", "principal": { "uid": 1000 }, "host": true, "max_size": "1M",
      "max_devices": 10, "targets": ["memory"] } ] }
END
helper_start --policy "$TEST_DIR/policy.json"
features=$(ublk-oci doctor || true)
# Where commits are linked, only some of those that come alone are timed.
links=""
[[ $features != *PER_IO_DAEMON* ]] || links=yes

# attached KEY...: sets $dev; its requests are not merged on their way.
attached() {
    dev=$(ublk-oci attach --host "$@" | grep -o '/dev/ublkb[0-9]*' | head -n 1)
    echo 2 >"/sys/block/${dev#/dev/}/queue/nomerges"
}

# does FILE [OPTION...]: fio with more options, its JSON in FILE.
does() {
    fio --name=io --filename="$dev" --direct=1 --norandommap --randseed=3 --output="$1" \
        --output-format=json "${@:2}" || fail "fio: $(tail -n 3 "$1")"
}

stats_of() { ublk-oci stats "$dev" --json >"$1"; }

# holds JQ: of the files before, after, one and many.
holds() {
    jq -n -e --slurpfile before before --slurpfile after after --slurpfile one one \
        --slurpfile many many \
        "\$before[0][0] as \$before | \$after[0][0] as \$after | \$one[0] as \$one
        | \$many[0] as \$many
        | (\$after.read.ios - \$before.read.ios) as \$reads
        | (\$after.write.ios - \$before.write.ios) as \$writes | $1" >/dev/null ||
        fail "$what: not so: $1: $(jq -c '.[0] | del(.queues)' before after; jq -c '.jobs[0] | .read.clat_ns, .write.clat_ns' one many)"
}

counts() { # KEY...: one way, and every request of it
    what=$*
    attached --target memory --size 16M "$@"
    stats_of before
    does one --rw=randwrite --bs=4k --ioengine=psync --number_ios=160
    does many --rw=randread --bs=8k --ioengine=libaio --iodepth=16 --number_ios=512
    blkdiscard --force --offset 8M --length 2M "$dev" 2>/dev/null # without a look first
    stats_of after
    holds '$writes == 160 and $after.write.bytes - $before.write.bytes == 160 * 4096'
    holds '$reads == 512 and $after.read.bytes - $before.read.bytes == 512 * 8192'
    holds '$after.discard.bytes - $before.discard.bytes == 2097152'
    holds '$after | .in_flight == 0 and .refused == 0 and .unregistered == 0
        and ([.read, .write, .flush, .discard] | all(.errors == 0))'
    holds '$after | .read.ios == ([.queues[].read.ios] | add)
        and .write.bytes == ([.queues[].write.bytes] | add)'
    # The worker sees a part of the time that fio waits.
    holds '$after.write.mean_us > 0 and $after.write.mean_us < $one.jobs[0].write.clat_ns.max / 1000'
    holds '$after.read | .mean_us > 0 and .p99_us >= .mean_us
        and .mean_us < $many.jobs[0].read.clat_ns.max / 1000'
    holds '$after.fill > 0 and $after.fill < 1 and $after.seconds > 0'
    case $what in
    *throughput* | *by-hand*)
        holds '$after | .write.timed == .write.ios and .read.timed == .read.ios'
        holds '$after.write.mean_us < $one.jobs[0].write.clat_ns.mean / 1000
            and $after.read.mean_us < $many.jobs[0].read.clat_ns.mean / 1000'
        ;;
    *) [ -z "$links" ] || holds '$after.write.timed >= 10 and $after.write.timed < 160 / 4' ;;
    esac
    case $what in
    *by-hand*) holds '$after.by_hand == $after.read.ios + $after.write.ios' ;;
    *) holds '$after.by_hand == 0' ;;
    esac
    ublk-oci detach "$dev" >/dev/null
    ok "stats: $what: every request and byte, and how long they took"
}

counts --data-path copy
counts --data-path copy --profile throughput
if [[ $features == *AUTO_BUF_REG* ]]; then
    counts --data-path zero-copy
    counts --data-path zero-copy --profile throughput
    counts --data-path by-hand
    counts --data-path by-hand --profile throughput
fi
expect_nothing_left

# --- what it costs ------------------------------------------------------------------

# The worker reads the clock without a system call, and calls nothing but io_uring_enter().
trace=/sys/kernel/tracing
mountpoint -q $trace || mount -t tracefs tracefs $trace
clock=$([ "$(uname -m)" = x86_64 ] && echo 228 || echo 113)
attached --target memory --size 16M --profile throughput
pid=$(ublk-oci inspect "$dev" --json | jq .worker.pid)
echo "common_pid == $pid" >$trace/events/raw_syscalls/sys_enter/filter
echo >$trace/trace
echo 1 >$trace/events/raw_syscalls/sys_enter/enable
undo sh -c "echo 0 >$trace/events/raw_syscalls/sys_enter/enable"
does one --rw=randwrite --bs=4k --ioengine=psync --number_ios=50
echo 0 >$trace/events/raw_syscalls/sys_enter/enable
calls=$(grep -c 'sys_enter: NR 426 ' $trace/trace || true)
[ "$calls" -ge 50 ] || fail "$calls calls of io_uring_enter for 50 requests"
! grep 'sys_enter: NR' $trace/trace | grep -v 'NR 426 ' || fail "NR $clock is clock_gettime"
stats_of after
jq -e '.[0].write | .timed == 50' after >/dev/null || fail "$(jq -c . after)"
ublk-oci detach "$dev" >/dev/null
ok "stats: timing takes no system call"

# --- a backing whose time is known ---------------------------------------------

modprobe null_blk nr_devices=0
null=/sys/kernel/config/nullb/nullstats
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
mkdir "$null"
undo rmdir "$null"
echo 64 >"$null/size"
echo 1 >"$null/memory_backed"
echo 2 >"$null/irqmode"
echo 30000000 >"$null/completion_nsec"
echo 1 >"$null/power"
undo sh -c "echo 0 >$null/power"
attached --target file --backing /dev/nullstats --queues 1 --depth 8
stats_of before
does one --rw=randread --bs=4k --ioengine=psync --number_ios=20
does many --rw=randread --bs=4k --ioengine=libaio --iodepth=8 --runtime=3 --time_based
stats_of after
what=null_blk
holds '$after.read | .timed > 16 and .mean_us >= 30000 and .p99_us >= 30000'
holds '$after.read | .mean_us < $many.jobs[0].read.clat_ns.mean / 1000 * 1.3'
ok "stats: a backing of 30 ms is seen to be one"

# The same by --watch, while it is busy: a table for each second, of that second.
does many --rw=randread --bs=4k --ioengine=libaio --iodepth=8 --runtime=10 --time_based &
load=$!
timeout --signal INT --kill-after 5 5 ublk-oci stats --interval 1 --json >watched || true
timeout --signal INT 2.5 ublk-oci stats "$dev" --watch >table || true
wait $load || fail "fio: $(tail -n 3 many)"
jq -s -e 'all(length == 1) and ([.[1:][][0] | select(.read.ios > 0)] | length >= 2
    and all(.seconds < 2.5 and .read.mean_us >= 30000 and .write.ios == 0
        and .read.ios < 8 * .seconds / 0.030 + 8)
    and any(.fill > 0.5 and .in_flight > 0 and .read.ios > 50))' watched >/dev/null ||
    fail "$(jq -c '.[0] | del(.queues)' watched)"
[ "$(grep -c '^DEVICE .*READ/s .*P99 .*FILL  *ERRORS$' table)" -ge 2 ] || fail "$(cat table)"
grep -q -E "^${dev#/dev/} +[0-9]+ +[0-9.]+ +[0-9.]+ms .* [0-9]+% +0\$" table || fail "$(cat table)"
ok "stats: --watch tells of each second"
ublk-oci detach "$dev" >/dev/null

# --- errors ----------------------------------------------------------------------

# Writes 1024 blocks, and prints how many could not be.
cat >"$TEST_DIR/fill.py" <<'END'
import mmap
import os
import sys

errors, block = 0, mmap.mmap(-1, 4096)
block.write(b"x" * 4096)
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_DIRECT)
for i in range(1024):
    try:
        os.pwrite(fd, block, i * 4096)
    except OSError:
        errors += 1
print(errors)
END

mkdir -p /srv/ublk-oci
mountpoint -q /srv/ublk-oci && umount /srv/ublk-oci
mount -t tmpfs -o size=1M srv /srv/ublk-oci
undo umount /srv/ublk-oci
for profile in latency throughput; do
    truncate -s 8M /srv/ublk-oci/full.img
    attached --target file --backing /srv/ublk-oci/full.img --profile $profile --data-path copy
    stats_of before
    errors=$(python3 "$TEST_DIR/fill.py" "$dev")
    stats_of after
    what="full tmpfs, $profile, $errors errors"
    [ "$errors" -ge 512 ] && [ "$errors" -lt 1024 ] || fail "$what"
    holds "\$writes == 1024 and \$after.write.errors == $errors"
    holds '$after.write.bytes == (1024 - $after.write.errors) * 4096'
    ublk-oci detach --force "$dev" >/dev/null
    rm /srv/ublk-oci/full.img
    ok "stats: errors are counted, and their bytes are not: $profile"
done

# --- who, and how long --------------------------------------------------------------

attached --target memory --size 1M
dd if=/dev/zero of="$dev" bs=4k count=64 oflag=direct status=none
stats_of before
kill -KILL "$helper_pid"
wait "$helper_pid" 2>/dev/null || true
helper_start --policy "$TEST_DIR/policy.json"
dd if=/dev/zero of="$dev" bs=4k count=36 oflag=direct status=none
stats_of after
what=restart
holds '$writes == 36 and $after.seconds > $before.seconds'
ok "stats: the next helper finds what was counted before"

caller_start user as 1000
generation=$(jq -r '.[0].generation' after)
say user counters stolen "$generation"
[ "$status" = -2 ] || fail "another user was given the counters: $status $answer"
say user counters nothing 75626f6300000000
[ "$status" = -2 ] || fail "counters of nothing: $status $answer"
can user attach
own=$answer
can user counters mine "$own"
can user ask mine
[ "$answer" = 4032 ] || fail "of the descriptor: $answer"
can user detach "$own"
can user ask mine
[ "$answer" = 0 ] || fail "of a device that is gone: $answer"
grep -q '"request":"stats".*another user' /var/log/ublk-oci/audit.log ||
    fail "the refusal is not on record: $(tail -n 3 /var/log/ublk-oci/audit.log)"
ok "stats: who may not see a device gets nothing, who may can only read"

# A worker may write there what it likes.
dd if=/dev/urandom "of=/run/ublk-oci/stats/$generation" bs=64 seek=1 count=62 conv=notrunc status=none
stats_of after
jq -e 'length == 1 and (.[0] | .fill >= 0 and .fill <= 1 and .in_flight <= 64)' after >/dev/null ||
    fail "$(jq -c . after)"
ublk-oci stats >table
grep -q "^${dev#/dev/} " table || fail "$(cat table)"
dd if=/dev/urandom "of=/run/ublk-oci/stats/$generation" bs=64 count=1 conv=notrunc status=none
expect_fail 'another release, or spoilt' ublk-oci stats "$dev"
ublk-oci stats >table 2>why || fail "one device keeps all from being shown: $(cat why)"
grep -q "^ublk-oci: stats: ${dev#/dev/} is left out: .*spoilt" why || fail "$(cat table why)"
ok "stats: numbers that cannot be are no harm"

expect_fail 'there is no device' ublk-oci stats ublkb77
expect_fail 'takes 1 to' ublk-oci stats --interval 0
ublk-oci detach "$dev" >/dev/null
[ "$(ublk-oci stats | wc -l)" = 1 ] || fail "$(ublk-oci stats)"
[ "$(ublk-oci stats --json | jq -c .)" = "[]" ] || fail "not an empty list"
expect_nothing_left
ok "stats: of nothing"
