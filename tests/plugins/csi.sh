# shellcheck shell=bash
# Sourced by tests of the CSI driver, after lib.sh, containers.sh and store.sh: the installed driver, as its user.

# shellcheck disable=SC2034 # for who sources this
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
csi_socket=$TEST_DIR/csi.sock

# A policy by which the driver may have volumes, and the store devices of them; JQ changes it more.
csi_policy() { # [JQ]
    jq '.rules += [
        { id: "csi", principal: { user: "ublk-oci-csi" }, may: ["create", "delete", "resize", "snapshot", "attach"],
          targets: ["file"], pools: ["default"], max_size: "2G", max_devices_per_container: 256, max_devices: 256 },
        { id: "csi-host", principal: { user: "ublk-oci-csi" }, host: true, may: ["attach", "mount"], targets: ["file"],
          backing: ["/var/lib/ublk-oci/volumes/"], backing_owner: "any", max_size: "2G",
          mount: { under: ["/var/lib/kubelet/"], filesystems: ["ext4", "xfs", "btrfs"], trust_raw_writers: true } }]
        | (.rules[] | select(.principal.user == "ublk-oci-store")) |= (.host_claims = true)
        | '"${1:-.}" /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
    chmod 755 "$TEST_DIR"
    chmod 644 "$TEST_DIR/policy.json"
}

csi_start() { # [OPTION...]
    install -d -o ublk-oci-csi "$TEST_DIR/csi"
    mkdir -p /var/lib/kubelet
    csi_socket=$TEST_DIR/csi/csi.sock
    mkdir -p /var/lib/kubelet
    setpriv --reuid ublk-oci-csi --regid ublk-oci-csi --init-groups --inh-caps=-all,+dac_override \
        --ambient-caps=-all,+dac_override --bounding-set=-all,+dac_override \
        /usr/sbin/ublk-oci-csi --endpoint "unix://$csi_socket" --node-id node-1 "$@" 2>>"$TEST_DIR/csi.log" &
    csi_pid=$!
    undo csi_stop
    wait_for 10 test -S "$csi_socket"
}

csi_stop() {
    kill -TERM "$csi_pid" 2>/dev/null || true
    wait "$csi_pid" 2>/dev/null || true
}

# csi METHOD [JSON [SECONDS]]: one call, its answer as JSON.
csi() { /usr/bin/python3 "$here/csi.py" "$csi_socket" "$@"; }
