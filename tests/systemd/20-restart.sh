#!/bin/bash
# What an administrator does to the service does nothing to the devices.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/service.sh"
requires systemctl jq fio

service_start
node=$(ublk-oci attach --host --target memory --size 64M) || fail "$(service_log)"
undo ublk-oci detach "$node" --force
undo systemctl start ublk-ocid.socket

# One half keeps its bytes; the other is written, and read again, all the time.
dd if=/dev/urandom of="$node" bs=1M count=16 oflag=direct 2>/dev/null
bytes() { dd if="$node" bs=1M count=16 iflag=direct 2>/dev/null | sha256sum; }
before=$(bytes)
device=$(device_now)
limit=/sys/fs/cgroup$(cgroup_of "$(ublk-oci list --json | jq '.[0].worker.pid')")/memory.max
[ "$(<"$limit")" = $((144 << 20)) ] || fail "its memory is limited to $(<"$limit")"
ok "restart: a worker's memory is limited, with room for what it keeps"
load() {
    fio --name=load --filename="$node" --rw=randwrite --bs=4k --offset=32M --size=32M \
        --verify=crc32c --verify_backlog=64 --verify_fatal=1 --direct=1 --ioengine=psync \
        --runtime=120 --time_based --output="$TEST_DIR/fio.log" &
    load=$!
    written=$(written)
    wait_for 20 more_written
}
written() { awk '{ print $7 }' "/sys/block/${node#/dev/}/stat"; }
more_written() { [ "$(written)" -gt $((written + 2048)) ]; }

# Goes on with the same load, the same worker and the same bytes.
unharmed() {
    written=$(written)
    wait_for 20 more_written
    kill -0 $load || fail "the load ended: $(tail -n 20 "$TEST_DIR/fio.log")"
    [ "$(bytes)" = "$before" ] || fail "the bytes changed"
}
same_device() {
    [ "$(device_now)" = "$device" ] || fail "was $device, is $(device_now): $(service_log)"
    [ "$(<"$limit")" = $((144 << 20)) ] || fail "its memory is limited to $(<"$limit")"
}

load
helper=$(helper_pid)
systemctl restart ublk-ocid.service || fail "$(service_log)"
[ "$(helper_pid)" != "$helper" ] || fail "it was not restarted"
unharmed
same_device
ok "restart: systemctl restart disturbs no I/O, and the device is adopted"

helper=$(helper_pid)
restarted() {
    local now

    now=$(helper_pid)
    [ "$now" != 0 ] && [ "$now" != "$helper" ] && systemctl -q is-active ublk-ocid.service
}
systemctl kill -s KILL ublk-ocid.service --kill-who=main
wait_for 20 restarted
unharmed
same_device
ok "restart: a helper that is killed is started again, the device goes on"

# Both, so that nothing can start it again.
systemctl stop ublk-ocid.service ublk-ocid.socket || fail "$(service_log)"
[ "$(helper_pid)" = 0 ] || fail "the helper still runs"
unharmed
kill -INT $load
wait $load || true # it was interrupted
grep -q 'err= 0' "$TEST_DIR/fio.log" && grep -q -E ' rwts: total=[1-9]' "$TEST_DIR/fio.log" ||
    fail "I/O failed: $(cat "$TEST_DIR/fio.log")"
ok "restart: a device is served while service and socket are stopped"

systemctl start ublk-ocid.socket
same_device
other=$(ublk-oci attach --host --target memory --size 1M) || fail "$(service_log)"
ublk-oci detach "$other" >/dev/null
ublk-oci detach "$node" >/dev/null
undo_list=()
expect_nothing_left
ok "restart: started again it adopts the device, makes others and takes it away"

systemctl stop ublk-ocid.service 2>/dev/null
[ ! -e /sys/fs/cgroup$unit_cgroup ] || fail "the unit's cgroup stays"
said=$(service_log 1000 | grep -i -E 'fail|error|warn' | grep -v "Failed with result 'signal'") || true
[ -z "$said" ] || fail "the service complained: $said"
ok "restart: stopped without devices the unit leaves no cgroup"
