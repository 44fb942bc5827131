#!/bin/bash
# Workers that hang are killed, and who uses their device sees a pause; those that wait for a slow
# disk are left alone.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires jq fio dmsetup losetup

policy=$TEST_DIR/policy.json
# policy_write SECONDS
policy_write() {
    cat >"$policy.new" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "hang_seconds": $1, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["file", "memory"],
      "backing": ["/srv/ublk-oci/", "/dev/"], "max_size": "1G", "discard": true, "zero_copy": true } ] }
END
    mv "$policy.new" "$policy"
}
srv_mount 128M
log=$TEST_DIR/helper.log
worker_of() { ublk-oci inspect --json "$1" | jq .worker.pid; }
cgroup_path_of() { echo "/sys/fs/cgroup$(cgroup_of "$(worker_of "$1")")"; }
has_other_worker() { [ "$(ublk-oci inspect --json "$1" | jq -r '"\(.state) \(.worker.pid)"')" != "live $2" ]; }
serves() { [ "$(ublk-oci inspect --json "$1" | jq -r .state)" = live ]; }
# replaced DEVICE PID WHY: by another one, for that reason
replaced() {
    wait_for 60 has_other_worker "$1" "$2"
    wait_for 60 serves "$1"
    grep -q "no request finished for 2 s, and its worker (pid $2) $3: it is killed" "$log" ||
        fail "$3: the log says: $(tail -n 5 "$log")"
}
policy_write 2
helper_start --policy "$policy"

# Stopped, and frozen, under load.
truncate -s 32M /srv/ublk-oci/disk
dev=$(ublk-oci attach --host --target file --backing /srv/ublk-oci/disk)
fio --direct=1 --filename="$dev" --ioengine=io_uring --iodepth=8 --rw=randrw --bsrange=4k-64k \
    --size=32M --time_based --runtime=300 --verify=crc32c --verify_fatal=1 --verify_backlog=64 \
    --name=all --output="$TEST_DIR/fio.out" &
load=$!
sleep 1
for i in 1 2; do
    pid=$(worker_of "$dev")
    kill -STOP "$pid"
    replaced "$dev" "$pid" 'is stopped'
    sleep 1
done
pid=$(worker_of "$dev")
echo 1 >"$(cgroup_path_of "$dev")/cgroup.freeze"
replaced "$dev" "$pid" 'is frozen'
sleep 1
# The helper dies before it has seen enough.
pid=$(worker_of "$dev")
kill -STOP "$pid"
kill -KILL "$helper_pid"
wait "$helper_pid" 2>/dev/null || true
helper_start --policy "$policy"
replaced "$dev" "$pid" 'is stopped'
sleep 1
kill -0 $load 2>/dev/null || fail "fio ended: $(tail -n 5 "$TEST_DIR/fio.out")"
kill -INT $load # its status is then 128, and the number of jobs with errors
status=0
wait $load || status=$?
[ $status = 128 ] || fail "fio ended with $status: $(grep -E 'err=|verify' "$TEST_DIR/fio.out")"
ok "hang: workers that were stopped or frozen under load, once with the helper dead: replaced, no error, every block verified"

# Who has nothing to do is let be, and so is everybody where the policy says so; until it says other.
pid=$(worker_of "$dev")
kill -STOP "$pid"
sleep 6
[ "$(worker_of "$dev")" = "$pid" ] || fail "an idle worker was killed"
policy_write 0
ublk-oci policy reload >/dev/null
dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &
reader=$!
sleep 6
[ "$(worker_of "$dev")" = "$pid" ] || fail "a worker was killed against the policy"
policy_write 2
ublk-oci policy reload >/dev/null
replaced "$dev" "$pid" 'is stopped'
wait $reader || fail "the reader got an error"
ok "hang: not without requests, nor with hang_seconds 0; a reload changes that"
ublk-oci detach "$dev" >/dev/null

# A disk that does not answer: its worker is as good as any.
truncate -s 16M /srv/ublk-oci/slow
loop=$(losetup -f --show /srv/ublk-oci/slow)
undo losetup -d "$loop"
dmsetup create ublk-oci-slow --table "0 32768 linear $loop 0"
undo dmsetup remove -f ublk-oci-slow
slow_dev=/dev/$(basename "$(readlink -f /dev/mapper/ublk-oci-slow)")
[ -b "$slow_dev" ] || slow_dev=/dev/dm-$(dmsetup info -c --noheadings -o minor ublk-oci-slow)
dev=$(ublk-oci attach --host --target file --backing "$slow_dev")
pid=$(worker_of "$dev")
told() { grep -c 'no request finished for 2 s; its worker waits for the backing file' "$log" || true; }
for i in 1 2; do
    dmsetup suspend --noflush --nolockfs ublk-oci-slow
    dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &
    reader=$!
    wait_for 30 eval "[ \$(told) = $i ]"
    sleep 7 # two more looks
    dmsetup resume ublk-oci-slow
    wait $reader || fail "the reader got an error"
    [ "$(told)" = $i ] || fail "stall $i was told of $(told) times"
done
[ "$(worker_of "$dev")" = "$pid" ] || fail "a worker that waits for its disk was killed"
ok "hang: a worker that waits for a slow disk is left alone, and the log tells once for each time"
ublk-oci detach "$dev" >/dev/null
expect_nothing_left
