# shellcheck shell=bash
# Sourced by every tests/*/NN-*.sh as its first act:
#
#   . "$(dirname "$0")/../lib.sh"
#   requires crun fio
#   mkdir "$TEST_DIR/mnt"; mount /dev/vda "$TEST_DIR/mnt"; undo umount "$TEST_DIR/mnt"
#   expect_fail 'not allowed' ublk-oci attach ...
#   wait_for 5 test -b /dev/ublkb0
#
# The test runs with set -e, in its own empty directory ($TEST_DIR, on tmpfs). It
# needs no trap of its own.
set -eEuo pipefail

undo_list=()

# undo COMMAND...: run it when the test ends, the last registered first. To be
# called right after what it undoes.
undo() { undo_list+=("$(printf '%q ' "$@")"); }

run_undo() {
    local status=$? i

    trap - EXIT ERR
    set +e
    for ((i = ${#undo_list[@]} - 1; i >= 0; i--)); do
        eval "${undo_list[$i]}" || echo "undo failed: ${undo_list[$i]}"
    done >&2
    # The reason has to be the last line, and undoing may have talked.
    [ -z "${reason:-}" ] || echo "$reason" >&2
    exit $status
}

# The test's own file and line, not this file's.
where() {
    local i=1

    while [ "${BASH_SOURCE[$i]}" = "${BASH_SOURCE[0]}" ]; do i=$((i + 1)); done
    echo "$(basename "${BASH_SOURCE[$i]}"):${BASH_LINENO[$((i - 1))]}"
}

# fail REASON...: ends the test.
fail() {
    reason="$(where): $*"
    exit 1
}

# ok WHAT...: one thing more was shown. A test that never says so counts as one.
ok() { echo "ok $*"; }

# skip REASON...: ends the test, not counted as passed. CI allows none.
skip() {
    reason=$*
    exit 77
}

# requires COMMAND...: skips the test when one is not installed.
requires() {
    local name

    for name in "$@"; do
        command -v "$name" >/dev/null || skip "$name is not installed"
    done
}

# COMMAND... | found PATTERN: is it in the output? All of that is read: who writes to a grep -q that has
# found what it looked for dies of SIGPIPE, which counts.
found() { grep "$@" >/dev/null; }

# expect_fail PATTERN COMMAND...: the command must fail, and say why: PATTERN
# (grep -E) must be in its output, which is left in $output.
expect_fail() {
    local pattern=$1

    shift
    if output=$("$@" 2>&1); then
        fail "this should have failed: $*"
    fi
    grep -q -E -e "$pattern" <<<"$output" ||
        fail "'$*' failed, but without '$pattern': $output"
}

# srv_mount [SIZE]: a file system of the test's own at /srv/ublk-oci, where it is none yet.
srv_mount() {
    mkdir -p /srv/ublk-oci
    mountpoint -q /srv/ublk-oci || mount -t tmpfs ${1:+-o size="$1"} srv /srv/ublk-oci
    undo umount -l /srv/ublk-oci
}

# wait_for SECONDS COMMAND...: until it succeeds; fails the test when it never does.
wait_for() {
    local seconds=$1 end=$((${EPOCHREALTIME/./} + $1 * 1000000))

    shift
    until "$@" >/dev/null 2>&1; do
        [ "${EPOCHREALTIME/./}" -lt $end ] || fail "waited $seconds s in vain for: $*"
        sleep 0.05
    done
}

# cgroup_of PID: its path in the hierarchy of version 2; others may be mounted beside it.
cgroup_of() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }

on_error() { [ -n "${reason:-}" ] || reason="$(basename "${BASH_SOURCE[1]}"):$2: '$3' gave $1"; }

trap run_undo EXIT
trap 'on_error $? $LINENO "$BASH_COMMAND"' ERR
trap 'exit 143' TERM
trap 'exit 130' INT
