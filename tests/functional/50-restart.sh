#!/bin/bash
# The helper goes and comes back: devices go on, and what it left half-made goes.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq fio flock

bundle_make "$TEST_DIR/restart"
container_start crun restart "$TEST_DIR/restart"
helper_start

kill_helper() {
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
}

# A device under verified load does not notice that the helper is killed and started again.
ublk-oci attach --container restart --device /dev/data --target memory --size 64M
node=/dev/$(ublk-oci list --json | jq -r '.[0].device' | sed 's,^/dev/,,')
before=$(ublk-oci list --json | jq -c '.[0]')
fio --name=load --filename="$node" --rw=randwrite --bs=4k --size=32M --verify=crc32c --direct=1 \
    --ioengine=psync --runtime=8 --time_based --output="$TEST_DIR/fio.log" &
load=$!
sleep 1
kill_helper
sleep 0.5
helper_start
[ "$(ublk-oci list --json | jq -c '.[0]')" = "$before" ] || fail "the device changed"
wait $load || fail "I/O failed: $(tail -n 20 "$TEST_DIR/fio.log")"
ok "restart: a helper that is killed disturbs no I/O, the next one adopts the device"

ublk-oci detach --container restart --device /dev/data
expect_nothing_left
ok "restart: an adopted device is detached like any other"

# Killed at any moment of an attach: afterwards the device is there whole, or not at all.
for ms in $(seq 0 20 160); do
    ublk-oci attach --container restart --device /dev/data --target memory --size 1M \
        >/dev/null 2>&1 &
    asked=$!
    sleep "$(printf '0.%03d' "$ms")"
    kill_helper
    wait $asked || true
    helper_start
    case $(nr_devices) in
    0) ;;
    1)
        # Whole, or still listed and on its way out.
        crun exec restart dd if=/dev/data of=/dev/null bs=4k count=1 2>/dev/null ||
            wait_for 10 nothing_left
        ublk-oci detach --container restart --all >/dev/null 2>&1 || wait_for 10 nothing_left
        ;;
    *) fail "more than one device" ;;
    esac
    expect_nothing_left
    ! crun exec restart test -e /dev/data || fail "after $ms ms /dev/data is still in the container"
done
ok "restart: a helper that is killed in the middle of an attach leaves nothing half"

# The same for a detach.
for ms in $(seq 0 20 80); do
    ublk-oci attach --container restart --device /dev/data --target memory --size 1M >/dev/null
    ublk-oci detach --container restart --device /dev/data >/dev/null 2>&1 &
    asked=$!
    sleep "$(printf '0.%03d' "$ms")"
    kill_helper
    wait $asked || true
    helper_start
    wait_for 10 all_live
    ublk-oci detach --container restart --all >/dev/null 2>&1 || true
    expect_nothing_left
done
ok "restart: a helper that is killed in the middle of a detach ends it after all"

# A container that ends while no helper runs.
ublk-oci attach --container restart --device /dev/data --target memory --size 1M >/dev/null
kill_helper
crun delete -f restart
helper_start
expect_nothing_left
ok "restart: what a container left while no helper ran is taken away"

# The same, and its worker is stopped, so that undoing takes its time: ten seconds for a flush.
helper_stop
srv_mount
truncate -s 1M /srv/ublk-oci/slow
bundle_make "$TEST_DIR/slow"
container_start crun slow "$TEST_DIR/slow"
helper_start
ublk-oci attach --container slow --device /dev/data --target file --backing /srv/ublk-oci/slow >/dev/null
worker=$(ublk-oci list --json | jq '.[0].worker.pid')
kill_helper
kill -STOP "$worker"
crun delete -f slow
helper_start
one_device || fail "the first answer came when all was over"
expect_nothing_left
ok "restart: callers do not wait for the end of what is being taken away"

# Or it is dead, and somebody else is in the way: the driver says that nobody serves the device.
bundle_make "$TEST_DIR/slow"
container_start crun slow "$TEST_DIR/slow"
ublk-oci attach --container slow --device /dev/data --target memory --size 1M >/dev/null
worker=$(ublk-oci list --json | jq '.[0].worker.pid')
kill_helper
kill -KILL "$worker"
wait_for 10 sh -c "! kill -0 $worker 2>/dev/null"
crun delete -f slow
: >"$TEST_DIR/helper.log"
exec 7</sys/fs/bpf/ublk-oci
flock 7 # as another child of the helper would
helper_start 7<&-
! grep 'stayed locked' "$TEST_DIR/helper.log" || fail "the first answer came when undoing had given up"
exec 7<&-
expect_nothing_left
ok "restart: callers do not wait for what keeps a dead device from being taken away"

# A worker that dies is another one's predecessor, and its neighbour goes on.
bundle_make "$TEST_DIR/second"
container_start crun second "$TEST_DIR/second"
ublk-oci attach --container second --device /dev/a --target memory --size 1M >/dev/null
ublk-oci attach --container second --device /dev/b --target memory --size 1M >/dev/null
other=$(ublk-oci list --json | jq -r '.[] | select(.path == "/dev/b") | .worker.pid')
kill -KILL "$(ublk-oci list --json | jq '.[] | select(.path == "/dev/a") | .worker.pid')"
crun exec second dd if=/dev/a of=/dev/null bs=4k count=1 2>/dev/null || fail "/dev/a is broken"
crun exec second dd if=/dev/b of=/dev/null bs=4k count=1 2>/dev/null || fail "/dev/b is broken"
[ "$(ublk-oci list --json | jq -r '.[] | select(.path == "/dev/b") | .worker.pid')" = "$other" ] ||
    fail "the neighbour has another worker"
ok "restart: a dead worker's device goes on with another one, its neighbour with its own"

# One that is to be detached has no worker, and gets none: nothing hangs.
kill_helper
kill -KILL "$other"
helper_start --worker /bin/busybox
expect_fail 'its worker died and no other could be started' \
    ublk-oci detach --container second --device /dev/b
ublk-oci detach --container second --device /dev/b --force >/dev/null || fail "it cannot be detached"
one_device || fail "the wrong one went"
ublk-oci detach --container second --device /dev/a >/dev/null
expect_nothing_left
ok "restart: a device that waits for a worker is detached by force, since what was written may be lost"
