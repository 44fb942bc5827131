#!/bin/bash
# Devices get new workers while they are used, and nobody who uses them sees more than a pause.
# UPGRADES=10 in the environment makes it long.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires jq fio setpriv python3

here=$(cd "$(dirname "$0")" && pwd)
upgrades=${UPGRADES:-4}
policy=$TEST_DIR/policy.json
cat >"$policy" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["file", "memory", "cow"],
      "backing": ["/srv/ublk-oci/"], "max_size": "1G", "discard": true, "zero_copy": true } ] }
END
srv_mount 128M
log=$TEST_DIR/helper.log
workers() { ublk-oci list --json | jq -c '[.[] | .worker.pid]'; }
state_of() { ublk-oci inspect --json "$1" | jq -r .state; }
helper_again() { # [OPTION...]
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
    helper_start --policy "$policy" "$@"
}
helper_start --policy "$policy"

# Under load, each way data and commands travel.
truncate -s 64M /srv/ublk-oci/disk
for options in "" "--data-path copy" "--data-path copy --queues 4" "--profile throughput"; do
    : >"$TEST_DIR/pauses"
    # shellcheck disable=SC2086
    dev=$(ublk-oci attach --host --target file --backing /srv/ublk-oci/disk $options)
    fio --direct=1 --filename="$dev" --ioengine=io_uring --iodepth=16 --rw=randrw --bsrange=4k-128k \
        --size=64M --time_based --runtime=$((upgrades * 2 + 60)) --verify=crc32c --verify_fatal=1 \
        --verify_backlog=64 --fsync=64 --name=all --output="$TEST_DIR/fio.out" &
    load=$!
    sleep 1
    for ((i = 0; i < upgrades; i++)); do
        kill -0 $load 2>/dev/null || fail "fio ended: $(tail -n 5 "$TEST_DIR/fio.out")"
        ublk-oci upgrade --json "$dev" >"$TEST_DIR/upgraded" || fail "not upgraded: $(cat "$TEST_DIR/upgraded")"
        jq -e '.[0].new_pid != .[0].old_pid and .[0].pause_us > 0' "$TEST_DIR/upgraded" >/dev/null ||
            fail "it says: $(cat "$TEST_DIR/upgraded")"
        jq '.[0].pause_us' "$TEST_DIR/upgraded" >>"$TEST_DIR/pauses"
    done
    [ "$(workers)" = "[$(jq '.[0].new_pid' "$TEST_DIR/upgraded")]" ] || fail "another worker serves it"
    kill -INT $load # its status is then 128, and the number of jobs with errors
    status=0
    wait $load || status=$?
    [ $status = 128 ] || fail "fio ended with $status: $(grep -E 'err=|verify' "$TEST_DIR/fio.out")"
    [ "$(ublk-oci stats --json "$dev" | jq '[.. | .in_flight? // empty] | add')" = 0 ] ||
        fail "requests of workers that left count as in flight: $(ublk-oci stats --json "$dev")"
    ublk-oci detach "$dev" >/dev/null
    pause=$(jq -s -r 'sort | map(. / 100 | floor / 10) | "\(.[length / 2 | floor]) ms in the middle, \(max) at most"' \
        "$TEST_DIR/pauses")
    ok "upgrade: ${options:-as it comes}: $upgrades workers replaced under load, every block verified; pause $pause"
done
! grep 'does not leave' "$log" || fail "a worker had to be killed"
expect_nothing_left

# A delta: until it leaves, the old worker changes the map that the new one has read already.
truncate -s 16M /srv/ublk-oci/base
cow=(--target cow --base /srv/ublk-oci/base --backing /srv/ublk-oci/delta --cluster 4K)
delta_io() { # OPTION...: each block once
    fio --direct=1 --filename="$dev" --ioengine=libaio --iodepth=16 --rw=randwrite --bs=4k --size=16M \
        --verify=crc32c --verify_fatal=1 --name=delta --output="$TEST_DIR/fio.out" "$@" ||
        { tail -n 5 "$TEST_DIR/fio.out"; return 1; }
}
dev=$(ublk-oci attach --host "${cow[@]}")
delta_io --do_verify=0 --fsync=32 --rate_iops=$((4096 / (upgrades * 3))) &
load=$!
nr=0
while sleep 0.2; kill -0 $load 2>/dev/null; do
    ublk-oci upgrade "$dev" >/dev/null
    nr=$((nr + 1))
done
wait $load || fail "the load on a delta"
[ $nr -ge "$upgrades" ] || fail "$nr upgrades only"
delta_io --verify_only || fail "a delta, after $nr upgrades"
ublk-oci detach "$dev" >/dev/null
dev=$(ublk-oci attach --host "${cow[@]}")
delta_io --verify_only || fail "a delta, after $nr upgrades, attached again"
ublk-oci detach "$dev" >/dev/null
ok "upgrade: a delta that is written for the first time: $nr workers, and what each has changed is there"
rm /srv/ublk-oci/delta
expect_nothing_left

# All at once; what was in memory stays, and the new ones are as sealed as the first.
truncate -s 4M /srv/ublk-oci/unlinked
head -c 4M /dev/urandom >"$TEST_DIR/data"
ublk-oci attach --host --target file --backing /srv/ublk-oci/unlinked >"$TEST_DIR/devices"
for i in 1 2 3; do ublk-oci attach --host --target memory --size 4M >>"$TEST_DIR/devices"; done
rm /srv/ublk-oci/unlinked
mapfile -t devices <"$TEST_DIR/devices"
same_data() {
    local dev

    # Not from the page cache.
    for dev in "${devices[@]}"; do
        dd if="$dev" bs=1M iflag=direct status=none | cmp - "$TEST_DIR/data" || fail "$dev: other data"
    done
}
for dev in "${devices[@]}"; do dd if="$TEST_DIR/data" of="$dev" bs=1M oflag=direct status=none; done
before=$(workers)
ublk-oci upgrade --all >"$TEST_DIR/all" || fail "not all: $(cat "$TEST_DIR/all")"
[ "$(grep -c 'serves it instead of .*, after a pause of .* ms' "$TEST_DIR/all")" = 4 ] ||
    fail "it says: $(cat "$TEST_DIR/all")"
after=$(workers)
[ "$(jq -n "$before + $after | unique | length")" = 8 ] || fail "workers $before became $after"
same_data
for dev in "${devices[@]}"; do
    ublk-oci inspect "$dev" --sandbox >/dev/null || fail "$dev: its new worker is not sealed"
done
ok "upgrade: --all: four new workers, as sealed as the first; memory and an unlinked file are what they were"

# It may be stopped by somebody: then it is killed.
: >"$log"
kill -STOP "$(ublk-oci inspect --json "${devices[0]}" | jq .worker.pid)"
ublk-oci upgrade "${devices[0]}" >/dev/null || fail "a stopped worker stays"
same_data
ok "upgrade: a worker that was stopped is replaced too"

# The new program is broken, or there is another reason: nothing has happened.
helper_again --worker /bin/busybox
before=$(workers)
expect_fail 'there is no new worker, the old one goes on' ublk-oci upgrade "${devices[1]}"
[ "$(workers)" = "$before" ] || fail "workers $before became $(workers)"
same_data
as_other() { setpriv --reuid 1234 --regid ublk-oci --clear-groups "$@"; }
expect_fail 'or it is not yours' as_other ublk-oci upgrade "${devices[1]}"
generation=$(ublk-oci inspect --json "${devices[1]}" | jq -r .generation)
said=$(as_other python3 - upgrade "$generation" <"$here/wire.py")
[ "$said" = "-1 only root may ask for this" ] || fail "another user is told: $said"
expect_fail 'no device|no such device' ublk-oci upgrade ublkb77
expect_fail 'one of DEVICE and --all is needed' ublk-oci upgrade
[ "$(workers)" = "$before" ] || fail "workers $before became $(workers)"
ok "upgrade: a broken program, other users, devices that are not there: an error, and nothing changes"

# A device without a worker.
kill -KILL "$(ublk-oci inspect --json "${devices[2]}" | jq .worker.pid)"
is_failed() { [ "$(state_of "${devices[2]}")" = failed ]; }
wait_for 60 is_failed
helper_again
expect_fail 'it has failed \(9 workers died' ublk-oci upgrade "${devices[2]}"
ublk-oci upgrade --all >"$TEST_DIR/all" || fail "the failed one counts: $(cat "$TEST_DIR/all")"
[ "$(wc -l <"$TEST_DIR/all")" = 3 ] || fail "it says: $(cat "$TEST_DIR/all")"
ok "upgrade: a failed device is no device to upgrade"
ublk-oci detach --all --force >/dev/null
expect_nothing_left
