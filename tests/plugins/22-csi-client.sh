#!/bin/bash
# The CSI driver by a client of our own: what it claims, errors, deadlines, and what csi-sanity does not ask.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/store.sh"
. "$(dirname "$0")/csi.sh"
requires jq setpriv mkfs.ext4 protoc
/usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null || skip "python3-grpcio is not installed"

csi_policy '.pools = [{name: "default", path: "/var/lib/ublk-oci/volumes", capacity: "100M"}]'
helper_start --policy "$TEST_DIR/policy.json"
expect_fail 'does not run as root' /usr/sbin/ublk-oci-csi
csi_start
expect_fail 'FAILED_PRECONDITION: cannot reach the store' csi Identity/Probe
store_start --policy "$TEST_DIR/policy.json"
csi Identity/Probe | jq -e .ready.value >/dev/null || fail "it is not ready"
[ "$(stat -c '%a %U' "$csi_socket")" = '700 ublk-oci-csi' ] || fail "$(stat "$csi_socket")"
for row in 'NoNewPrivs:\s*1' 'CapBnd:\s*0*2' "Uid:\s*$(id -u ublk-oci-csi)\s.*"; do
    grep -qxP "$row" "/proc/$csi_pid/status" || fail "$row: $(grep -E '^(Cap|Uid|NoNew)' "/proc/$csi_pid/status")"
done
case $(uname -r) in 6.12*) grows=OFFLINE ;; *) grows=ONLINE ;; esac
csi Identity/GetPluginCapabilities | jq -e --arg grows $grows \
    'any(.capabilities[]; .volume_expansion.type == $grows)' >/dev/null || fail "it does not say $grows"
ok "csi: its user, its socket, and what it claims"

# Everything else in one process: an interpreter takes an emulated guest seconds.
/usr/bin/python3 "$here/csi_client.py" "$csi_socket" || fail "the client's tests"
[ -z "$(volume_names)" ] || fail "volumes are left: $(volume_names)"

# The driver dies, the volumes do not.
csi Controller/CreateVolume '{"name": "pvc-1", "capacity_range": {"required_bytes": 8388608},
    "volume_capabilities": [{"block": {}, "access_mode": {"mode": "SINGLE_NODE_WRITER"}}]}' >/dev/null
kill -9 "$csi_pid"
wait "$csi_pid" || true
csi_start
csi Controller/ControllerGetVolume '{"volume_id": "pvc-1"}' | jq -e '.volume.capacity_bytes == "8388608"' >/dev/null ||
    fail "after it was killed the volume is another"
[ "$(volume_get pvc-1 owner_uid)" = "$(id -u ublk-oci-csi)" ] || fail "it is not the driver's"
csi Controller/DeleteVolume '{"volume_id": "pvc-1"}' >/dev/null
ok "csi: killed and started again, it knows what there is"
csi_stop
expect_nothing_left
