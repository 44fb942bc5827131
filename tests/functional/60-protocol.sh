#!/bin/bash
# What the helper does with clients that do not keep to the protocol.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires python3 jq

here=$(cd "$(dirname "$0")" && pwd)
helper_start

for case in half_packet sizes version fds not_a_pidfd own_process fields many_silent silence; do
    "$here/wire.py" $case || fail "case $case"
    nothing_left || fail "case $case left: $(leftovers)"
    kill -0 "$helper_pid" || fail "case $case ended the helper"
    ok "protocol: $case"
done

"$here/wire.py" leave
wait_for 10 one_device
ublk-oci detach --host ublkb0
expect_nothing_left
ok "protocol: a client that leaves at once"
