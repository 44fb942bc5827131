# shellcheck shell=bash
# Sourced by the tests beside it, after lib.sh and containers.sh: the helper as a
# service, as README.md tells people to start it. It stays, test after test.

unit_cgroup=/system.slice/ublk-ocid.service

service_start() {
    ! systemctl -q is-active ublk-ocid.socket || return 0
    systemctl daemon-reload
    systemctl -q enable --now ublk-ocid.socket
}

helper_pid() { systemctl show -P MainPID ublk-ocid.service; }

# What the service did and said, for when a test fails.
service_log() { journalctl -b -o cat -u ublk-ocid.service -n "${1:-20}" --no-pager; }

# The attributes of the only device that must not change.
device_now() { ublk-oci list --json | jq -c '.[] | [.device, .generation, .state, .worker.pid]'; }
