#!/bin/bash
# Store and helper restart while a volume is attached.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/store.sh"
requires crun jq busybox setpriv

written() { "$1" exec "$2" sh -c "echo $4 >/tmp/w; dd if=/tmp/w of=$3 bs=512 count=1 conv=sync,fsync 2>/dev/null"; }
holds() { [ "$("$1" exec "$2" dd "if=$3" bs=${#4} count=1 2>/dev/null)" = "$4" ]; }
unclaimed() { [ -z "$(ublk-oci device list --json | jq -r --arg name "$1" '.[] | select(.name == $name) | .claims[].container.id')" ]; }

helper_start
store_start

# Both restart; what is attached stays, is known, and stays locked.
ublk-oci volume create kept --size 16M
bundle_make "$TEST_DIR/kept"
container_start crun kept "$TEST_DIR/kept"
ublk-oci attach --container kept --volume kept
written crun kept /dev/kept before
kill -KILL "$store_pid"
wait "$store_pid" 2>/dev/null || true
expect_fail 'cannot reach the store' ublk-oci volume list
store_start
expect_fail 'volume kept is attached' ublk-oci volume delete kept
kill -KILL "$helper_pid"
wait "$helper_pid" 2>/dev/null || true
rm -f /run/ublk-oci/helper.sock
expect_fail 'cannot tell whether volume kept is attached' ublk-oci volume delete kept
[ "$(volume_get kept attached)" = null ] || fail "it says it knows"
helper_start
expect_fail 'volume kept is attached' ublk-oci volume clone kept copy
holds crun kept /dev/kept before || fail "the container has lost it"
crun delete -f kept
wait_for 20 unclaimed kept
ublk-oci volume detach kept
ublk-oci volume delete kept
expect_nothing_left
ok "volume attach: store and helper die, and what is attached stays known and locked"
