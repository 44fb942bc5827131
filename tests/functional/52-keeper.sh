#!/bin/bash
# The keeper: what the kernel says of it, what it holds through the helper's death, and its own.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires python3 setpriv jq

here=$(cd "$(dirname "$0")" && pwd)
tool=$here/../../build/tests-gcc/tests/functional/keep_tool
[ -x "$tool" ] || fail "it is not built: $tool"
cgroup=/sys/fs/cgroup/ublk-oci/keeper

# keeper_pid: sets $keeper; fails when there is not exactly one.
keeper_is_there() {
    mapfile -t pids <$cgroup/cgroup.procs && [ ${#pids[@]} = 1 ] || return 1
    keeper=${pids[0]}
}
another_keeper() { keeper_is_there && [ "$keeper" != "$before" ] && "$tool" drop 1; }
helper_kill() {
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
}
keeper_kill() {
    echo 1 >$cgroup/cgroup.kill
    wait_for 10 sh -c "! kill -0 $keeper 2>/dev/null"
}
nr_fds() { # once it has hung up on who asked last
    local fds

    "$tool" drop 1
    sleep 0.2
    fds=(/proc/"$keeper"/fd/*)
    echo ${#fds[@]}
}

helper_start
keeper_is_there || fail "there is no keeper: $(cat "$TEST_DIR/helper.log")"
uid=$(id -u ublk-oci-keeper) gid=$(id -g ublk-oci-keeper)
said=$(tr '\t' ' ' <"/proc/$keeper/status")
for line in 'Name: ublk-oci-keeper' "Uid: $uid $uid $uid $uid" "Gid: $gid $gid $gid $gid" \
    'CapInh: 0000000000000000' 'CapPrm: 0000000000000000' 'CapEff: 0000000000000000' \
    'CapBnd: 0000000000000000' 'CapAmb: 0000000000000000' 'NoNewPrivs: 1' 'Seccomp: 2' 'Threads: 1'; do
    grep -q -x "$line" <<<"$said" || fail "not '$line' but: $said"
done
grep -q -x 'Groups: *' <<<"$said" || fail "it has groups"
for name in user pid mnt net ipc uts; do
    [ "$(readlink "/proc/$keeper/ns/$name")" != "$(readlink "/proc/self/ns/$name")" ] ||
        fail "it is in our $name namespace"
done
[ -z "$(ls -A "/proc/$keeper/root/")" ] || fail "its root is not empty"
[ "$(wc -l <"/proc/$keeper/mountinfo")" = 1 ] || fail "it sees other mounts"
[ ! -s "/proc/$keeper/environ" ] || fail "it has an environment"
[ "$(cat "/proc/$keeper/oom_score_adj")" = -999 ] || fail "wrong OOM score"
grep -q '^Max file size  *0  *0 ' "/proc/$keeper/limits" || fail "it may write files"
[ "$(cat $cgroup/memory.max)" = 16777216 ] || fail "its memory: $(cat $cgroup/memory.max)"
ok "keeper: it runs sealed: no capabilities, no file system, ten system calls, limits"

[ "$(stat -c '%A %U:%G' /run/ublk-oci/keeper.sock)" = 'srw------- root:root' ] ||
    fail "its socket: $(stat -c '%A %U:%G' /run/ublk-oci/keeper.sock)"
expect_fail 'Permission denied' setpriv --reuid 65534 --regid 65534 --clear-groups "$tool" get 7
expect_fail 'Permission denied' setpriv --reuid "$uid" --regid "$gid" --clear-groups "$tool" get 7
ok "keeper: nobody but root reaches its socket"

echo 'what was written' >"$TEST_DIR/file"
"$tool" put 7 "$TEST_DIR/file"
rm "$TEST_DIR/file"
[ "$("$tool" get 7)" = 'what was written' ] || fail "another file"
! readlink "/proc/$keeper/fd/"* | grep -v '^socket:' || fail "it has more than sockets"
ok "keeper: it holds a file whose name is gone, and has no descriptor of it"

before=$keeper
helper_kill
[ "$("$tool" get 7)" = 'what was written' ] || fail "it is lost with the helper"
helper_start
{ keeper_is_there && [ "$keeper" = "$before" ]; } || fail "another keeper: $keeper, not $before"
[ "$("$tool" get 7)" = 'what was written' ] || fail "another file"
ok "keeper: it outlives a helper that is killed, and the next one finds it"

count=$(nr_fds)
median=$("$tool" cycle 1000 1000 /dev/zero)
[ "$(nr_fds)" = "$count" ] || fail "$(nr_fds) descriptors after 1000 puts and drops, $count before"
ok "keeper: 1000 puts and drops leave nothing; the median put took $median us"
# Two are there already: this one, and the socket for workers' notices.
[ "$("$tool" fill /dev/zero)" = 4094 ] || fail "it is full too soon, or never"
[ "$(nr_fds)" = "$count" ] || fail "$(nr_fds) descriptors, $count before"
[ "$("$tool" get 7)" = 'what was written' ] || fail "another file"
ok "keeper: with 4096 of them it is full, says so, and loses nothing"

"$here/keep_wire.py" strange || fail "strange packets"
"$here/keep_wire.py" silent || fail "silent connections"
{ keeper_is_there && [ "$keeper" = "$before" ]; } || fail "it ended"
[ "$(nr_fds)" = "$count" ] || fail "$(nr_fds) descriptors, $count before"
[ "$("$tool" get 7)" = 'what was written' ] || fail "another file"
ok "keeper: packets that are no request get no answer; who says nothing makes nobody wait"

# A file system that answers no more: closing a file of it waits for ever.
silent=$here/../../build/tests-gcc/tests/functional/fuse_silent
mkdir "$TEST_DIR/silent"
"$silent" -f -s -o subtype=silent "$TEST_DIR/silent" &
silent_pid=$!
undo umount -l "$TEST_DIR/silent"
undo kill -KILL $silent_pid
wait_for 10 test -e "$TEST_DIR/silent/image"
"$tool" put 8 "$TEST_DIR/silent/image"
kill -STOP $silent_pid
"$tool" drop 8 &
dropper=$!
"$tool" put 9 /dev/zero || fail "it waits for somebody else's file system"
wait_for 10 sh -c "! '$tool' get 8 2>/dev/null" # it is gone, whatever its last close does
"$tool" drop 9 || fail "it waits for somebody else's file system"
kill -CONT $silent_pid
wait $dropper || fail "drop"
ok "keeper: a file system that never answers is nothing to it"

: >"$TEST_DIR/helper.log"
before=$keeper
keeper_kill
wait_for 20 another_keeper
grep -q 'the keeper ended: devices attached until now will be lost' "$TEST_DIR/helper.log" ||
    fail "the log: $(cat "$TEST_DIR/helper.log")"
expect_fail 'No such file' "$tool" get 7
"$tool" put 7 /dev/zero
ok "keeper: when it is killed another one begins, and the log says what that means"

# One that answers no more is ended by the next helper.
helper_kill
before=$keeper
kill -STOP "$keeper"
helper_start
another_keeper || fail "it is the same: $(cat "$TEST_DIR/helper.log")"
grep -q 'the keeper does not answer.*it is ended' "$TEST_DIR/helper.log" ||
    fail "the log: $(cat "$TEST_DIR/helper.log")"
ok "keeper: one that does not answer is replaced when a helper begins"

helper_kill
keeper_kill
"$here/keep_wire.py" other >"$TEST_DIR/other" &
other=$!
wait_for 10 grep -q listens "$TEST_DIR/other"
before=0
helper_start
wait $other || fail "nobody asked it"
another_keeper || fail "there is none: $(cat "$TEST_DIR/helper.log")"
grep -q 'the keeper is of another version' "$TEST_DIR/helper.log" ||
    fail "the log: $(cat "$TEST_DIR/helper.log")"
ok "keeper: one of another version is replaced, and the log says so"

# Who ends the last device and the helper has ended everything.
node=$(ublk-oci attach --host --target memory --size 1M)
helper_stop
before=$keeper
helper_start
{ keeper_is_there && [ "$keeper" = "$before" ]; } || fail "it ended, though there is a device"
ublk-oci detach "$node" >/dev/null
expect_nothing_left
helper_stop
[ ! -e $cgroup ] && [ ! -e "/proc/$keeper" ] || fail "it stays, without a helper and devices"
[ ! -e /run/ublk-oci/keeper.sock ] || fail "its socket stays"
ok "keeper: it stays with a device when the helper ends, and ends with it when there is none"

# One that cannot begin is tried again, and nobody waits for it.
echo 'no program' >"$TEST_DIR/program"
chmod 755 "$TEST_DIR/program"
program=/usr/libexec/ublk-oci/ublk-oci-keeper
mount --bind "$TEST_DIR/program" $program
undo umount -l $program
: >"$TEST_DIR/helper.log"
helper_start
grep -q 'cannot execute the keeper program.*a device whose worker dies will be lost' "$TEST_DIR/helper.log" ||
    fail "the log: $(cat "$TEST_DIR/helper.log")"
expect_fail 'there is no keeper' "$tool" put 7 /dev/zero
node=$(ublk-oci attach --host --target memory --size 1M)
ublk-oci detach "$node" >/dev/null
expect_nothing_left
again() { [ "$(grep -c 'cannot execute the keeper' "$TEST_DIR/helper.log")" -ge 3 ]; }
wait_for 20 again
[ "$(grep -c 'cannot execute the keeper' "$TEST_DIR/helper.log")" -le 4 ] || fail "it is tried without end"
ublk-oci list >/dev/null || fail "the helper does not answer"
ok "keeper: one that cannot begin is tried again, ever more seldom, and nobody waits for it"

# What the helper has open of it is the wrong file: the next one has the right one.
helper_stop
umount $program
helper_start
keeper_is_there || fail "there is none: $(cat "$TEST_DIR/helper.log")"

# Without its user there is none, and that is all.
helper_kill
keeper_kill
grep -v '^ublk-oci-keeper:' /etc/passwd >"$TEST_DIR/passwd"
chmod 644 "$TEST_DIR/passwd"
mount --bind "$TEST_DIR/passwd" /etc/passwd
undo umount /etc/passwd
: >"$TEST_DIR/helper.log"
helper_start
grep -q 'no user.*keeper: a device whose worker dies will be lost' "$TEST_DIR/helper.log" ||
    fail "the log: $(cat "$TEST_DIR/helper.log")"
expect_fail 'there is no keeper' "$tool" put 7 /dev/zero
node=$(ublk-oci attach --host --target memory --size 1M)
dd if="$node" of=/dev/null bs=64k count=1 2>/dev/null
ublk-oci detach "$node" >/dev/null
expect_nothing_left
ok "keeper: without its user nothing is kept; devices are attached as ever"
