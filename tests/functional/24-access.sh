#!/bin/bash
# What a container's device filter loses is noticed, and given again: our program replaced, another
# one put beside it, all of it detached. What cannot be given again is shown.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq bpftool

tree=/sys/fs/cgroup/ublk-oci-test
pins=/sys/fs/bpf/access-test

cpu_ticks() { # PID: of processor time
    local words
    read -r -a words <"/proc/$1/stat"
    echo $((words[13] + words[14]))
}
sleeps() { sed -n 's/^voluntary_ctxt_switches:\s*//p' "/proc/$1/status"; }
programs() { bpftool -j cgroup list "$tree/box" | jq -c '[.[] | .id]'; }
opens() { cgroup_opens $tree/box "/dev/${1:-ublkb0}"; }
inside() { crun exec box dd if=/dev/zero of="$1" bs=512 count=1 2>/dev/null; }
said() { grep -c -E -e "$1" "$TEST_DIR/helper.log" || true; }
lost() { ublk-oci list --json | jq -e 'all(.no_access)' >/dev/null; }
held() { ublk-oci list --json | jq -e 'all(.no_access | not)' >/dev/null; }
# again WHAT: within seconds it is as it was; measured.
again() {
    local from=${EPOCHREALTIME/./}

    wait_for 20 opens
    from=$(((${EPOCHREALTIME/./} - from) / 1000))
    wait_for 5 opens ublkb1
    inside /dev/data && inside /dev/more || fail "$1: not from inside"
    ok "access: $1: the container opens its devices again after $from ms"
}

helper_start
before=$(sleeps "$helper_pid")
sleep 5
[ $(($(sleeps "$helper_pid") - before)) -le 1 ] || fail "without a container it wakes up"
ok "access: a helper without containers does not look"

bundle_make "$TEST_DIR/box"
container_start crun box "$TEST_DIR/box"
runtimes=$(programs)
for name in data more; do
    ublk-oci attach --container box --device /dev/$name --target memory --size 1M >/dev/null
done
opens && opens ublkb1 && inside /dev/data || fail "it does not open"
ours=$(programs)
ticks=$(cpu_ticks "$helper_pid")
sleep 7
[ "$(programs)" = "$ours" ] || fail "it was changed: $ours, $(programs)"
[ "$(said 'could not open|cannot open')" = 0 ] || fail "$(cat "$TEST_DIR/helper.log")"
ok "access: what is as it should be is left alone ($(($(cpu_ticks "$helper_pid") - ticks)) ticks in 7 s)"

# The runtime makes its filter anew, as it does for an update with devices.
echo '{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":5,"access":"rw"},
    {"allow":true,"type":"c","major":1,"minor":3,"access":"rw"}]}' >"$TEST_DIR/update.json"
crun update --resources "$TEST_DIR/update.json" box
! opens || fail "the update took nothing"
again "the runtime replaced the filter"
[ "$(said 'its device filter was replaced')" = 1 ] || fail "$(cat "$TEST_DIR/helper.log")"
wait_for 10 held

# A program that refuses everything: crun's own, without devices, of another container.
bundle_make "$TEST_DIR/closed" '.linux.resources.devices=[{allow:false,access:"rwm"}]'
container_start crun closed "$TEST_DIR/closed"
closed=$(bpftool -j cgroup list "$tree/closed" | jq '.[0].id')
mkdir $pins
undo rm -rf $pins
bpftool prog pin id "$closed" $pins/closed
sleep 3
bpftool cgroup attach "$tree/box" device pinned $pins/closed multi
! opens || fail "the second program takes nothing"
again "another filter was put beside it"
sleep 5
[ "$(programs | jq length)" = 2 ] || fail "programs: $(programs)"
ok "access: both are there, and nothing is done over and over"

# Nobody is told twice of the same device within a minute.
[ "$(said 'could not open')" = 1 ] || fail "$(cat "$TEST_DIR/helper.log")"
ok "access: the log is told once, with the cause, and not again for a while"

# All of it: then nothing keeps the container from anything, and that is not for us to change.
for id in $(programs | jq '.[]'); do bpftool cgroup detach "$tree/box" device id "$id"; done
opens || fail "what is not filtered does not open"
sleep 5
[ -z "$(programs)" ] || fail "programs: $(programs)"
held || fail "$(ublk-oci list)"
ok "access: where there is no filter any more nothing is done"
crun update --resources "$TEST_DIR/update.json" box
again "a filter where there was none"

# At once, by hand.
ublk-oci repair --container box --json | jq -e 'length == 2 and all(.outcome == "open")' >/dev/null ||
    fail "$(ublk-oci repair --container box)"
crun update --resources "$TEST_DIR/update.json" box
kill -STOP "$helper_pid" # it has not looked yet
answer() { ublk-oci repair --container box --json "$@" >"$TEST_DIR/answer" 2>&1; }
answer &
asking=$!
sleep 0.5
kill -CONT "$helper_pid"
wait $asking || fail "$(cat "$TEST_DIR/answer")"
jq -e 'map(.path) == ["/dev/data", "/dev/more"] and all(.outcome == "repaired" or .outcome == "open")' \
    "$TEST_DIR/answer" >/dev/null || fail "$(cat "$TEST_DIR/answer")"
opens && opens ublkb1 || fail "repaired, and it does not open"
ok "access: repair --container gives it at once, and says so"
expect_fail 'no device of yours' setpriv --reuid 65534 --regid "$(getent group ublk-oci | cut -d : -f 3)" \
    --clear-groups ublk-oci repair --container box
expect_fail 'no device' ublk-oci repair --container nobody

# It cannot be given: a filter above the container's cgroup, which is not the container's.
mkdir -p "$tree"
bpftool cgroup attach "$tree" device pinned $pins/closed multi
undo bpftool cgroup detach $tree device pinned $pins/closed
crun update --resources "$TEST_DIR/update.json" box
wait_for 20 lost
ublk-oci list | found 'no access' || fail "$(ublk-oci list)"
ublk-oci inspect ublkb0 | found '^no_access  *yes' || fail "$(ublk-oci inspect ublkb0)"
if answer; then fail "repair succeeded: $(cat "$TEST_DIR/answer")"; fi
jq -e 'all(.outcome == "lost")' "$TEST_DIR/answer" >/dev/null || fail "$(cat "$TEST_DIR/answer")"
ok "access: what cannot be given again is shown, and repair fails"
bpftool cgroup detach "$tree" device pinned $pins/closed
undo_list=("${undo_list[@]:0:${#undo_list[@]}-1}")
answer || fail "$(cat "$TEST_DIR/answer")"
held && opens || fail "$(ublk-oci list)"
ok "access: and can be asked for again when the cause is gone"

# Detached between two looks, or while one is under way, it stays closed.
crun update --resources "$TEST_DIR/update.json" box
ublk-oci detach --container box --device /dev/more >/dev/null
sleep 4
wait_for 10 opens
ublk-oci detach --container box --all >/dev/null
expect_nothing_left
[ "$(programs | jq length)" = "$(jq length <<<"$runtimes")" ] || fail "programs: $(programs)"
ok "access: detached, nothing is given again"
