# shellcheck shell=bash
# Sourced by tests of volumes, after lib.sh and containers.sh: the installed store, as its user.

volumes=/var/lib/ublk-oci/volumes

# store_start [OPTION...]: on a volume directory of the test's own, empty.
store_start() {
    # The guest's /var is an overlay, on which the helper takes no backing files.
    if ! mountpoint -q $volumes; then
        mkdir -p $volumes /run/ublk-oci-store
        mount -t tmpfs store $volumes
        undo umount -l $volumes # a store that is killed may still copy
        chown ublk-oci-store: $volumes /run/ublk-oci-store
        chmod 700 $volumes
    fi
    setpriv --reuid ublk-oci-store --regid ublk-oci-store --init-groups --inh-caps=-all \
        /usr/sbin/ublk-oci-store "$@" 2>>"$TEST_DIR/store.log" &
    store_pid=$!
    undo store_stop
    wait_for 10 ublk-oci volume list
}

store_stop() {
    kill -TERM "$store_pid" 2>/dev/null || true
    wait "$store_pid" 2>/dev/null || true
}

volume_get() { ublk-oci volume inspect --json "$1" | jq -r ".$2"; }
volume_names() { ublk-oci volume list --json | jq -r '.[].name' | paste -sd ' '; }

# publish_policy UNDER FILESYSTEMS [RULE...]: one by which uid 1000, who is not root, has volumes and puts
# them below a directory of the host, as CSI's node service does. In $TEST_DIR/policy.json.
publish_policy() {
    local rule rules=""

    for rule in "${@:3}"; do rules+=", $rule"; done
    jq --arg under "$1" --argjson filesystems "$2" '.rules = [
        {id: "store", principal: {user: "ublk-oci-store"}, targets: ["file"], may: ["attach", "resize"],
            backing: ["/var/lib/ublk-oci/volumes/"], max_size: "1G", max_devices_per_container: 4, host_claims: true},
        {id: "volumes", principal: {uid: 1000}, may: ["create", "delete", "attach", "resize"], targets: ["file"],
            pools: ["default"], max_size: "1G", max_devices_per_container: 4},
        {id: "publish", principal: {uid: 1000}, host: true, may: ["attach", "mount"], targets: ["file"],
            backing: ["/var/lib/ublk-oci/volumes/"], backing_owner: "any", max_size: "1G",
            mount: {under: [$under], filesystems: $filesystems, trust_raw_writers: true}}'"$rules"']' \
        /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
    chmod 711 "$TEST_DIR"
    chmod 644 "$TEST_DIR/policy.json"
}
