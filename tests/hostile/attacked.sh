# shellcheck shell=bash
# Sourced after lib.sh: a helper that is attacked, and one that is not.

. "$(dirname "${BASH_SOURCE[0]}")/../containers.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../functional/serve.sh"
requires jq unshare

# attacked_start: both helpers, $helper_pid and $idle_socket. The idle one is the same program on
# the same CPUs at the same time, with a /run/ublk-oci and cgroups of its own: of those there is one
# helper, which ends another one's keeper.
attacked_start() {
    local policy=$TEST_DIR/policy.json

    jq '.rules += [{ id: "users-host", principal: { uid: 1000 }, host: true, targets: ["null"],
        max_size: "1M", max_devices: 8 }]' /etc/ublk-oci/policy.json >"$policy"
    helper_start --policy "$policy"
    undo attacked_clean
    idle_socket=$TEST_DIR/idle.sock
    mkdir -p /sys/fs/cgroup/ublk-oci-idle
    unshare --mount sh -c 'mount -t tmpfs -o mode=755 run /run/ublk-oci &&
        mount --bind /sys/fs/cgroup/ublk-oci-idle /sys/fs/cgroup && exec "$@"' sh \
        /usr/sbin/ublk-ocid --socket "$idle_socket" 2>"$TEST_DIR/idle.log" &
    undo kill $!
    wait_for 10 test -S "$idle_socket"
}

# A group that goes wrong leaves its devices.
attacked_clean() {
    local device

    for device in /dev/ublkb*; do
        [ ! -e "$device" ] || ublk-oci detach --host "${device#/dev/}" --force
    done
}

# attacked_by GROUP...: of hostile-caller; afterwards nothing is left.
attacked_by() {
    "$build/tests/hostile/hostile-caller" "$helper_pid" "$idle_socket" "$@" || fail "see above"
    kill -0 "$helper_pid" || fail "the helper ended"
    expect_nothing_left
    ok "caller: nothing is left"
}
