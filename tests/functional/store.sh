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
