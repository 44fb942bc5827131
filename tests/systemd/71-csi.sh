#!/bin/bash
# The CSI driver as a service: shut in, with one capability, and able to do its work inside.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/service.sh"
requires systemctl jq setpriv protoc mkfs.ext4
/usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null || skip "python3-grpcio is not installed"

volumes=/var/lib/ublk-oci/volumes
here=$(cd "$(dirname "$0")" && pwd)
csi() { /usr/bin/python3 "$here/../plugins/csi.py" /run/ublk-oci-csi/csi.sock "$@"; }
csi_log() { journalctl -b -o cat -u ublk-oci-csi.service -n 20 --no-pager; }

cp /etc/ublk-oci/policy.json "$TEST_DIR/policy.json"
undo systemctl stop ublk-ocid.service
undo cp "$TEST_DIR/policy.json" /etc/ublk-oci/policy.json
jq '.rules += [{ id: "csi", principal: { user: "ublk-oci-csi" }, may: ["create", "delete"], targets: ["file"],
    pools: ["default"], max_size: "2G", max_devices_per_container: 256 }]' \
    "$TEST_DIR/policy.json" >/etc/ublk-oci/policy.json
if ! mountpoint -q $volumes; then
    mount -t tmpfs -o mode=700,uid="$(id -u ublk-oci-store)",gid="$(id -g ublk-oci-store)" store $volumes
    undo umount $volumes
fi
mkdir -p /var/lib/kubelet
service_start
systemctl -q enable --now ublk-oci-store.socket
undo systemctl stop ublk-oci-store.service ublk-oci-store.socket
systemctl -q enable --now ublk-oci-csi.service || fail "$(csi_log)"
undo systemctl disable -q --now ublk-oci-csi.service
wait_for 20 test -S /run/ublk-oci-csi/csi.sock

[ "$(stat -c '%a %U' /run/ublk-oci-csi)" = '700 ublk-oci-csi' ] || fail "$(stat /run/ublk-oci-csi)"
pid=$(systemctl show -P MainPID ublk-oci-csi.service)
for row in "Uid:\s*$(id -u ublk-oci-csi)\s.*" 'Cap(Prm|Eff|Bnd|Amb):\s*0*2' 'Seccomp:\s*2' 'NoNewPrivs:\s*1'; do
    grep -qxP "$row" "/proc/$pid/status" || fail "$row: $(grep -E '^(Cap|Uid|Sec|NoNew)' "/proc/$pid/status")"
done
[ "$(grep -cxP 'Cap(Prm|Eff|Bnd|Amb):\s*0*2' "/proc/$pid/status")" = 4 ] || fail "$(grep Cap "/proc/$pid/status")"
ok "csi: a service of its own user, with one capability"

csi Controller/CreateVolume '{"name": "pvc-1", "capacity_range": {"required_bytes": 8388608}, "volume_capabilities":
    [{"mount": {"fs_type": "ext4"}, "access_mode": {"mode": "SINGLE_NODE_WRITER"}}]}' >/dev/null || fail "$(csi_log)"
inode=$(stat -c %i /run/ublk-oci-csi)
systemctl restart ublk-oci-csi.service
wait_for 20 csi Identity/Probe
[ "$(stat -c %i /run/ublk-oci-csi)" = "$inode" ] || fail "another directory: pods that have it mounted lost it"
csi Node/NodeGetInfo | jq -e --arg host "$(uname -n)" '.node_id == $host' >/dev/null || fail "another node"
csi Controller/DeleteVolume '{"volume_id": "pvc-1"}' >/dev/null || fail "$(csi_log)"
[ -z "$(ls -A $volumes)" ] || fail "left: $(ls -A $volumes)"
ok "csi: volumes are made and removed inside, over a restart"
systemctl disable -q --now ublk-oci-csi.service
expect_nothing_left
