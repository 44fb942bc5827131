#!/bin/bash
# The CSI driver against csi-sanity, the specification's own tests, with file systems and with block devices.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/store.sh"
. "$(dirname "$0")/csi.sh"
requires jq setpriv mkfs.ext4

sanity=$here/../../build/go/bin/csi-sanity
[ -x "$sanity" ] || skip "csi-sanity is not built: that needs Go 1.25, see tests/run"
csi_policy
helper_start --policy "$TEST_DIR/policy.json"
store_start --policy "$TEST_DIR/policy.json"
csi_start

# What the driver does not claim is not asked of it: csi-sanity skips that by itself, but for the
# Node service, which it takes every driver to have.
focus=()
csi Node/NodeGetCapabilities | jq -e '.capabilities' >/dev/null || focus=(-ginkgo.skip 'Node Service|Node ')

sanity() { # ACCESS-TYPE [OPTION...]
    local dir=/var/lib/kubelet/csi-sanity

    rm -rf $dir
    mkdir -p $dir
    undo rm -rf --one-file-system $dir
    "$sanity" -csi.endpoint "unix://$csi_socket" -csi.testvolumeaccesstype "$1" \
        -csi.mountdir $dir/mount -csi.stagingdir $dir/staging \
        -csi.testvolumesize 16777216 -csi.testvolumeexpandsize 33554432 \
        -ginkgo.no-color "${@:2}" >"$TEST_DIR/sanity-$1.log" 2>&1 ||
        fail "csi-sanity, $1: $(grep -aE -A 12 '\[FAILED\]|\[FAIL\]|Panic' "$TEST_DIR/sanity-$1.log" | tail -n 80)"
    grep -aqE '^Ran [1-9][0-9]* of .* Specs' "$TEST_DIR/sanity-$1.log" || fail "csi-sanity ran nothing"
    passed=$(grep -aoE '[0-9]+ Passed.*' "$TEST_DIR/sanity-$1.log" | tail -n 1)
    [ -z "$(volume_names)" ] || fail "volumes are left: $(volume_names)"
}

sanity mount "${focus[@]}"
ok "csi: csi-sanity with file systems: $passed"
sanity block "${focus[@]}" -ginkgo.focus 'Node Service|CreateVolume|ExpandVolume|Snapshot'
ok "csi: csi-sanity with block devices: $passed"
csi_stop
expect_nothing_left
