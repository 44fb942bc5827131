#!/bin/bash
# A backing file on a FUSE filesystem that never answers.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires python3 jq

here=$(cd "$(dirname "$0")" && pwd)
server=$here/../../build/tests-gcc/tests/functional/fuse_silent
[ -x "$server" ] || fail "it is not built: $server"

# silent_start: a fresh filesystem at $TEST_DIR/silent.
silent_start() {
    mkdir -p "$TEST_DIR/silent"
    "$server" -f -s -o subtype=silent "$TEST_DIR/silent" &
    silent_pid=$!
    wait_for 10 test -e "$TEST_DIR/silent/image"
}

silent_stop() {
    kill -KILL $silent_pid
    wait $silent_pid 2>/dev/null || true
    umount "$TEST_DIR/silent"
}

# The policy does not list it: it is refused without being touched.
helper_start
silent_start
"$here/wire.py" hangs "$TEST_DIR/silent/image" $silent_pid 2 'fuse.silent' || fail "not listed"
silent_stop
expect_nothing_left
ok "silent file: a filesystem the policy does not list is not even asked"

# Nor is it waited for when the helper ends and another one begins.
silent_start
kill -STOP $silent_pid
"$here/wire.py" stuck "$TEST_DIR/silent/image" &
client=$!
wait_for 10 grep -q 'fuse.silent' "$TEST_DIR/helper.log"
begin=$SECONDS
helper_stop
[ $((SECONDS - begin)) -lt 10 ] || fail "the helper did not end"
helper_start
ok "silent file: a child that cannot end keeps no helper from ending or beginning"
kill -CONT $silent_pid
wait $client || fail "stuck"
silent_stop
helper_stop

# The policy lists it: the deadline answers.
jq '.filesystems=["fuse.silent"] | .rules[].backing? |= (if . then ["/"] else empty end)' \
    /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
chmod 644 "$TEST_DIR/policy.json"
helper_start --policy "$TEST_DIR/policy.json"
silent_start
"$here/wire.py" hangs "$TEST_DIR/silent/image" $silent_pid 8 'took too long' || fail "listed"
silent_stop
expect_nothing_left
ok "silent file: one that is listed and hangs costs its caller's time, nobody else's"
