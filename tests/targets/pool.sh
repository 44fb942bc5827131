# shellcheck shell=bash
# Sourced by tests of pools of back ends, after lib.sh, containers.sh and store.sh.

here=$(cd "$(dirname "$0")" && pwd)

# recipe NAME: the block of the document, as it is.
recipe() { "$here/../recipe" "$here/../../docs/clusters.md" "$1"; }

# recipe_run NAME: does what it says, one shell for all of it.
recipe_run() { bash -eu -c "$(recipe "$1")"; }

# backend_install NAME: the document's program.
backend_install() {
    mkdir -p /etc/ublk-oci/backends
    recipe "$1" >/etc/ublk-oci/backends/"$1"
    chmod 755 /etc/ublk-oci/backends/"$1"
    undo rm -f /etc/ublk-oci/backends/"$1"
}

# pool_start BACKEND: its service, as systemd would start it.
declare -A pool_pids=()
pool_start() {
    rm -f "/run/ublk-oci-pool/$1.sock" # of one that was killed
    /usr/sbin/ublk-oci-pool "$1" 2>>"$TEST_DIR/pool.log" &
    pool_pids[$1]=$!
    undo pool_stop "$1"
    wait_for 10 test -S "/run/ublk-oci-pool/$1.sock"
}

pool_end() { # BACKEND SIGNAL
    kill "-$2" "${pool_pids[$1]}" 2>/dev/null || true
    wait "${pool_pids[$1]}" 2>/dev/null || true
}
pool_stop() { pool_end "$1" TERM; }

# Where the store keeps records of pool NAME. (The guest's /var is an overlay, which will do for them.)
pool_dir() {
    install -d -m 700 -o ublk-oci-store -g ublk-oci-store "/var/lib/ublk-oci/$1"
    undo rm -rf "/var/lib/ublk-oci/$1"
}

# image_of VOLUME POOL: as the back end calls it.
image_of() { jq -r '.name + "." + .image' "/var/lib/ublk-oci/$2/$1/volume.json"; }
worker_of() { ublk-oci inspect "$1" --json | jq -r .worker.pid; }
