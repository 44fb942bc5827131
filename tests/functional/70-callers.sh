#!/bin/bash
# Callers who are not root, and the containers they may name: their own, whole, and no others.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/caller.sh"
requires python3 setpriv unshare nsenter

cat >"$TEST_DIR/policy.json" <<'END'
{
    "version": 1,
    "worker_ids": { "first": 2100000000, "count": 100 },
    "rules": [
        { "id": "users", "principal": { "group": "ublk-oci" }, "targets": ["memory"],
          "max_size": "1M", "max_devices_per_container": 1, "max_devices": 8 }
    ]
}
END
helper_start --policy "$TEST_DIR/policy.json"
caller_start user as 1000
caller_start other as 1001
base=/ublk-oci-peer
cgroup_make $base

# In a user and a mount namespace, with a /dev: all that a container needs here.
cat >"$TEST_DIR/with_dev" <<'END'
#!/bin/sh
mount -t tmpfs dev /dev && exec "$@"
END
chmod 755 "$TEST_DIR/with_dev"
in_namespaces=(unshare -U -r -m "$TEST_DIR/with_dev")

# --- what is theirs ------------------------------------------------------------

box 1000 $base/own "${in_namespaces[@]}"
own=$box
can user pin own "$own"
gets user pin=own
ok "callers: a user's own container gets a device"

# What is nested in it is as much theirs.
box 1000 $base/nested unshare -U -r -m "${in_namespaces[@]}"
can user pin nested "$box"
gets user pin=nested
ok "callers: so does one nested in a user namespace of theirs"

# A cgroup below it, and one of threads, with more of their own.
box 1000 $base/own/below
gets user pin=own
cgroup_make $base/nested/threads
echo threaded >/sys/fs/cgroup$base/nested/threads/cgroup.type
box 1000 $base/nested/threads
gets user pin=nested
ok "callers: what else of theirs is in the cgroup does not matter"

# Who attached it sees it and takes it away; others do neither.
can user attach pin=own
generation=$answer
can user list
[ "$answer" = 1 ] || fail "its owner is shown $answer devices"
can other list
[ "$answer" = 0 ] || fail "another user is shown $answer devices"
say other detach "$generation"
[ "$status" != 0 ] || fail "another user detached it"
can user list
[ "$answer" = 1 ] || fail "it is gone"
can user detach "$generation"
expect_nothing_left
ok "callers: another user neither sees it nor takes it away"

# --- what is not ---------------------------------------------------------------

can other pin own "$own"
cannot other 'belongs to uid 1000, not to uid 1001' attach pin=own
ok "callers: refused: another user's container"

box 0 $base/root-mount unshare -m "$TEST_DIR/with_dev"
can user pin root "$box"
cannot user 'belongs to uid 0, not to uid 1000' attach pin=root
box 0 $base/root-user "${in_namespaces[@]}"
can user pin root "$box"
cannot user 'belongs to uid 0' attach pin=root
ok "callers: refused: root's container, with and without a user namespace"

# uid 1000 inside of what root made is not the uid 1000 of the host.
map="0 0 2000" box 0 $base/root-nested unshare -U "${mapped[@]}" \
    setpriv --reuid 1000 --regid 1000 --clear-groups "${in_namespaces[@]}"
can user pin root "$box"
cannot user 'belongs to uid 0' attach pin=root
ok "callers: refused: what the same uid made inside of root's container"

box 1000 $base/no-mount unshare -U -r
can user pin shares "$box"
cannot user "shares the host's mount namespace" attach pin=shares
box 1000 $base/nothing
can user pin shares "$box"
cannot user "shares the host's mount namespace" attach pin=shares
can user pin shares 1
cannot user "shares the host's mount namespace" attach pin=shares
ok "callers: refused: a process without a mount namespace of its own"

# --- a cgroup that is shared -----------------------------------------------------

box 0 $base/own
root=$box
cannot user "process $root of uid 0 is in the container's cgroup $base/own: .*cgroup of its own" \
    attach pin=own
echo "$root" >/sys/fs/cgroup$base/own/below/cgroup.procs
cannot user "process $root of uid 0 is in" attach pin=own
echo "$root" >/sys/fs/cgroup$base/nested/threads/cgroup.procs
cannot user "process $root of uid 0 is in" attach pin=nested
box_end "$root"
gets user pin=own
box 1001 $base/own
theirs=$box
cannot user "process $theirs of uid 1001 is in" attach pin=own
box_end "$theirs"
ok "callers: refused: a cgroup with a process of others in it, or below it"

# A program that root's rights came to on the way.
cp "$(command -v sleep)" "$TEST_DIR/sleep"
chmod 4755 "$TEST_DIR/sleep"
(
    echo "$BASHPID" >/sys/fs/cgroup$base/own/cgroup.procs
    exec setpriv --reuid 1000 --regid 1000 --clear-groups "$TEST_DIR/sleep" 1000
) &
undo box_end $!
wait_for 10 is_now $! sleep
cannot user "process $! of uid 0 is in" attach pin=own
box_end $!
ok "callers: refused: a cgroup with a program in it that runs with root's rights"

# The filter of UNIT.scope is UNIT.scope/container's too.
cgroup_make $base/x.scope
box 1000 $base/x.scope/container "${in_namespaces[@]}"
can user pin scope "$box"
gets user pin=scope
box 0 $base/x.scope
cannot user "process $box of uid 0 is in" attach pin=scope
box_end "$box"
ok "callers: refused: a scope with a process of others in it"

echo "$own" >/sys/fs/cgroup/cgroup.procs
cannot user "root of all cgroups: .*cgroup of its own" attach pin=own
echo "$own" >/sys/fs/cgroup$base/own/cgroup.procs
gets user pin=own
ok "callers: refused: a process in the root of all cgroups"

# root came to visit: what is around it is the user's, what it is, is not.
box 0 $base/visit nsenter -m -t "$own"
can user pin visit "$box"
cannot user "process $box is of uid 0, not of uid 1000" attach pin=visit
ok "callers: refused: root's process in the user's mount namespace"

# --- which process is meant ------------------------------------------------------

box 1000 $base/ends "${in_namespaces[@]}"
can user pin ends "$box"
box_end "$box"
cannot user 'has ended' attach pin=ends
can user thread thread
cannot user 'of a thread' attach pin=thread
can user open file ro /etc/hostname
say user attach pin=file
[[ "$status $answer" =~ ^-22\ .*pidfd ]] || fail "no pidfd: $status $answer"
ok "callers: refused: a pidfd of what has ended, of a thread, and none at all"
expect_nothing_left
