# shellcheck shell=bash
# Sourced by tests that use podman, behind lib.sh: what it needs in a guest.

# podman_setup: storage in memory, for as long as the test runs.
podman_setup() {
    local dir

    requires podman conmon crun
    [ "$(hostname)" != '(none)' ] || hostname guest
    grep -q -w localhost /etc/hosts 2>/dev/null || echo '127.0.0.1 localhost' >>/etc/hosts
    mkdir -p /run/lock /run/containers /var/tmp /var/lib/containers /etc/containers
    for dir in /var/lib/containers /run/containers; do
        mountpoint -q $dir || { mount -t tmpfs -o mode=755 none $dir && undo umount -l $dir; }
    done
    cat >"$TEST_DIR/containers.conf" <<END
[containers]
netns = "none"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "${1:-crun}"
END
    cat >"$TEST_DIR/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
END
    export CONTAINERS_CONF=$TEST_DIR/containers.conf CONTAINERS_STORAGE_CONF=$TEST_DIR/storage.conf
    undo podman_end
}

podman_end() { timeout 120 podman rm --all --force --time 0 >/dev/null 2>&1 || true; }

# podman_run NAME OPTION... -- COMMAND...: in the background, with a root of busybox of its own.
podman_run() {
    local name=$1 options=()

    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    [ -d $bundle_template ] || bundle_template_make
    rm -rf "$TEST_DIR/root-$name"
    cp -a $bundle_template/rootfs "$TEST_DIR/root-$name"
    timeout 300 podman run --detach --name "$name" "${options[@]}" --rootfs "$TEST_DIR/root-$name" "$@"
}
