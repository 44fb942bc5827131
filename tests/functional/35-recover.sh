#!/bin/bash
# A worker dies: its device gets another, and who uses it sees a pause. The long one:
#
#   tests/vm/run --kernel 7.3 --smp 2 --timeout 3600 -- \
#       env KILLS=50 TEST_DIR=/run sh -c 'tests/guest/setup && tests/functional/35-recover.sh'
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq fio

kills=${KILLS:-3}
policy=$TEST_DIR/policy.json
cat >"$policy" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["file", "memory"],
      "backing": ["/srv/ublk-oci/"], "max_size": "1G", "discard": true, "zero_copy": true },
    { "id": "containers", "principal": { "uid": 0 }, "targets": ["memory"], "max_size": "64M",
      "max_devices_per_container": 4 } ] }
END
srv_mount 128M
device_json() { ublk-oci inspect --json "$1"; }
worker_of() { device_json "$1" | jq .worker.pid; }
state_of() { device_json "$1" | jq -r .state; }
# What is not the one that was killed.
has_other_worker() { [ "$(state_of "$1")" = live ] && [ "$(worker_of "$1")" != "$2" ]; }
kill_worker() {
    local pid

    pid=$(worker_of "$1")
    kill -KILL "$pid"
    wait_for 30 has_other_worker "$1" "$pid"
}
helper_killed() {
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
}
helper_start --policy "$policy"

# Under load, at moments nobody chose; twice with the other way data and commands travel.
truncate -s 64M /srv/ublk-oci/disk
for options in "" "--data-path copy --queues 4" "--profile throughput"; do
    # shellcheck disable=SC2086
    dev=$(ublk-oci attach --host --target file --backing /srv/ublk-oci/disk $options)
    fio --direct=1 --filename="$dev" --ioengine=io_uring --iodepth=16 --rw=randrw --bsrange=4k-128k \
        --size=64M --time_based --runtime=$((kills * 2 + 60)) --verify=crc32c --verify_fatal=1 \
        --verify_backlog=64 --fsync=64 --name=all --output="$TEST_DIR/fio.out" &
    load=$!
    for ((i = 0; i < kills; i++)); do
        sleep "$((1 + RANDOM % 2)).$((RANDOM % 10))"
        kill -0 $load 2>/dev/null || fail "fio ended: $(tail -n 5 "$TEST_DIR/fio.out")"
        kill_worker "$dev"
    done
    kill -INT $load # its status is then 128, and the number of jobs with errors
    status=0
    wait $load || status=$?
    [ $status = 128 ] || fail "fio ended with $status: $(grep -E 'err=|verify' "$TEST_DIR/fio.out")"
    [ "$(ublk-oci stats --json "$dev" | jq '[.. | .in_flight? // empty] | add')" = 0 ] ||
        fail "requests of dead workers count as in flight: $(ublk-oci stats --json "$dev")"
    ublk-oci detach "$dev" >/dev/null
    ok "recover: ${options:-as it comes}: $kills workers killed under load, no error, every block verified"
done
grep -c 'serves it after' "$TEST_DIR/helper.log"
expect_nothing_left

# What the device serves from goes on: no name leads there any more.
truncate -s 4M /srv/ublk-oci/unlinked
file=$(ublk-oci attach --host --target file --backing /srv/ublk-oci/unlinked)
memory=$(ublk-oci attach --host --target memory --size 4M)
rm /srv/ublk-oci/unlinked
head -c 4M /dev/urandom >"$TEST_DIR/data"
for dev in "$file" "$memory"; do
    dd if="$TEST_DIR/data" of="$dev" bs=1M oflag=direct status=none
    kill_worker "$dev"
    cmp "$TEST_DIR/data" "$dev" || fail "$dev: other data after its worker died"
done
ok "recover: memory and an unlinked file are what they were"

# Helper and worker at the same moment.
pids="$(worker_of "$file") $(worker_of "$memory")"
# shellcheck disable=SC2086
kill -KILL $helper_pid $pids
wait "$helper_pid" 2>/dev/null || true
helper_start --policy "$policy"
for dev in "$file" "$memory"; do
    # shellcheck disable=SC2086
    wait_for 30 has_other_worker "$dev" ${pids%% *}
    # Not from the page cache.
    dd if="$dev" bs=1M iflag=direct status=none | cmp - "$TEST_DIR/data" ||
        fail "$dev: other data after both died"
    pids=${pids#* }
done
ok "recover: helper and workers killed at once, the next helper goes on with the same files"
ublk-oci detach --all >/dev/null
expect_nothing_left

# In a container: nothing changes there.
bundle_make "$TEST_DIR/inside"
container_start crun inside "$TEST_DIR/inside"
ublk-oci attach --container inside --device /dev/data --target memory --size 4M >/dev/null
dev=$(ublk-oci list --json | jq -r '.[0].device')
crun exec inside dd if=/dev/urandom of=/dev/data bs=1M count=4 2>/dev/null
sum=$(crun exec inside sha256sum /dev/data)
kill_worker "$dev"
[ "$(crun exec inside sha256sum /dev/data)" = "$sum" ] || fail "other data in the container"
ok "recover: a container's device is where and what it was"

# And it ends while the worker's place is empty.
helper_killed
kill -KILL "$(cat /sys/fs/cgroup/ublk-oci/workers/*/cgroup.procs)"
crun delete -f inside
helper_start --policy "$policy"
expect_nothing_left
ok "recover: a container that ended meanwhile leaves nothing"

# A program that ends at once: some are tried, then whoever waits gets errors.
dev=$(ublk-oci attach --host --target memory --size 4M)
helper_killed
: >"$TEST_DIR/helper.log"
helper_start --policy "$policy" --worker /bin/busybox
kill -KILL "$(worker_of "$dev")"
status=0
timeout 60 dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct 2>"$TEST_DIR/dd" || status=$?
[ $status = 1 ] && grep -q 'Input/output error' "$TEST_DIR/dd" || fail "dd: $status: $(cat "$TEST_DIR/dd")"
wait_for 10 sh -c "ublk-oci inspect --json $dev | jq -e '.state == \"failed\"'"
[[ $(device_json "$dev" | jq -r .failure) == "9 workers died one soon after the other"* ]] ||
    fail "it says: $(device_json "$dev" | jq .failure)"
ok "recover: workers that die at once are given up: the device is failed, and says why"
ublk-oci detach "$dev" >/dev/null
expect_nothing_left
