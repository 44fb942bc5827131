# shellcheck shell=bash
# Sourced after lib.sh and containers.sh: who speaks with NBD servers for a worker that is to come, and
# the programs of rules that serve one device.

# connector_start: $connector is its process.
connector_start() {
    /usr/sbin/ublk-oci-nbd 2>>"$TEST_DIR/nbd.log" &
    connector=$!
    undo kill $connector
    wait_for 10 test -S /run/ublk-oci/nbd.sock
}

attach_host() { ublk-oci attach --host "$@"; }
detach() { ublk-oci detach "$1" >/dev/null; }

# The processes of all back ends.
back_ends() { cat /sys/fs/cgroup/ublk-oci/workers/backend-*/cgroup.procs 2>/dev/null; }
no_back_end() { [ -z "$(back_ends)" ]; }
