#!/bin/bash
# Volumes on a node: what csi-sanity does not try, by a client of the tests' own.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/store.sh"
. "$(dirname "$0")/csi.sh"
requires jq setpriv mkfs.ext4 python3

top=/var/lib/kubelet/node
rm -rf $top
mkdir -p $top
undo rm -rf --one-file-system $top
csi_policy
helper_start --policy "$TEST_DIR/policy.json"
store_start --policy "$TEST_DIR/policy.json"
csi_start
PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$here/node.py" "$csi_socket" $top >"$TEST_DIR/node" 2>"$TEST_DIR/node.log" ||
    fail "after $(tail -n 1 "$TEST_DIR/node"): $(tail -n 12 "$TEST_DIR/node.log") $(tail -n 3 "$TEST_DIR/csi.log")"
while read -r tried; do ok "csi node: $tried"; done <"$TEST_DIR/node"
[ -z "$(volume_names)" ] || fail "volumes are left: $(volume_names)"
! grep -q "$top" /proc/1/mountinfo || fail "mounted: $(grep "$top" /proc/1/mountinfo)"
csi_stop
expect_nothing_left
