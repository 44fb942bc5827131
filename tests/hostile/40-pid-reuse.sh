#!/bin/bash
# Numbers of processes are reused: one that has the number of a dead worker or container, while no
# helper runs, is not taken for it. (Pidfds of dead processes are among the callers' attempts.)
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq busybox

last_pid=/proc/sys/kernel/ns_last_pid
[ -w $last_pid ] || skip "this kernel has no $last_pid"

# take_pid PID: a process of ours has this number, $taken.
take_pid() {
    wait_for 10 test ! -e "/proc/$1"
    for _ in {1..50}; do
        echo $(($1 - 1)) >$last_pid
        sleep 1000 &
        taken=$!
        [ $taken != "$1" ] || return 0
        kill $taken
        wait $taken 2>/dev/null || true
    done
    fail "no process got the number $1"
}

# Another one than the dead one, and than who has its number.
another_worker() { [ "$(ublk-oci list --json | jq "map(select(.state == \"live\" and .worker.pid != $1)) | length")" = 1 ]; }

for who in worker container; do
    bundle_make "$TEST_DIR/reuse"
    container_start crun reuse "$TEST_DIR/reuse"
    helper_start
    ublk-oci attach --container reuse --device /dev/data --target memory --size 1M >/dev/null
    worker=$(ublk-oci list --json | jq '.[0].worker.pid')
    container=$(crun state reuse | jq .pid)
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
    if [ $who = worker ]; then
        kill -KILL "$worker"
        take_pid "$worker"
    else
        crun delete -f reuse
        take_pid "$container"
    fi

    helper_start
    if [ $who = worker ]; then
        wait_for 30 another_worker "$worker"
    else
        expect_nothing_left
    fi
    kill -0 $taken || fail "the process with the number of the $who was killed"
    [ "$(readlink "/proc/$taken/ns/mnt")" = "$(readlink /proc/self/ns/mnt)" ] || fail "it was moved"
    [ ! -e /dev/data ] || fail "it got the device's node"
    kill $taken
    wait $taken 2>/dev/null || true
    ok "reuse: a process with the number of a dead $who is left alone"
    ublk-oci detach --all >/dev/null
    expect_nothing_left
    helper_stop
    container_delete crun reuse
done
