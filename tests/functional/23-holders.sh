#!/bin/bash
# shellcheck disable=SC2217 # sleep only holds what it has open
# Who keeps a block device busy; and children that hang.
. "$(dirname "$0")/node.sh"
requires mkfs.ext4 fsfreeze

holders() {
    local mnt=$TEST_DIR/mnt holder opener took

    same "nobody holds the device" "0: " "$("$tool" holders "$data")"
    check "it is not busy" "$tool" busy /dev/nodedata
    mkfs.ext4 -q -F /dev/nodedata
    mkdir "$mnt"
    unshare -m sh -c "mount /dev/nodedata $mnt && exec sleep 1000" &
    holder=$!
    wait_for 30 sh -c "grep -q $mnt /proc/$holder/mountinfo && grep -q sleep /proc/$holder/comm"
    same "a mount in another namespace is found" "1: mounted at $mnt by pid $holder (sleep)" \
        "$("$tool" holders "$data")"
    refused "it is busy" EBUSY "$tool" busy /dev/nodedata
    sleep 1000 </dev/nodeother &
    opener=$!
    wait_for 30 grep -q sleep /proc/$opener/comm
    same "an open device is found" "1: open in pid $opener (sleep)" "$("$tool" holders "$other")"
    for _ in 1 2 3 4; do
        sleep 1000 </dev/nodeother &
        undo kill $!
    done
    wait_for 5 sh -c "$tool holders $other | grep -q 'and 2 more'"
    ok "a long list is cut"
    kill $opener

    # A writer to a frozen file system cannot be killed. (It keeps standard output
    # open, so that $(...) would wait for it.)
    nsenter -t $holder -m fsfreeze -f "$mnt"
    nsenter -t $holder -m "$tool" child-write "$mnt/x" >"$TEST_DIR/took" 2>"$TEST_DIR/err" || true
    nsenter -t $holder -m fsfreeze -u "$mnt"
    took=$(cat "$TEST_DIR/took")
    same "a child that cannot die does not hang its caller" "ETIMEDOUT: no answer within 500 ms" \
        "$(cat "$TEST_DIR/err")"
    check "and not for long ($took ms)" test "$took" -lt 2000
    kill $holder
}

holders
verdict
