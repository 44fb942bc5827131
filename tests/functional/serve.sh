# shellcheck shell=bash
# Sourced after lib.sh: devices without the helper.
#
#   serve --target memory --size 64M     sets $DEV, $WORKER_PID, $SERVE_PID
#   serve_end                            takes it away; the worker must end well

build=${UBLK_OCI_BUILD:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/tests-gcc}
worker_program=$build/driver/worker/ublk-oci-worker
[ -x "$build/tests/functional/serve" ] || skip "tests/functional/serve is not built"

serve() {
    local line

    rm -f serve.in serve.out
    mkfifo serve.in
    "$build/tests/functional/serve" --worker "$worker_program" "$@" <serve.in >serve.out 2>&1 &
    SERVE_PID=$!
    undo serve_forget "$SERVE_PID"
    exec 9>serve.in
    wait_for 20 serve_answered
    line=$(head -n 1 serve.out)
    [[ $line == /dev/ublkb* ]] || fail "no device: $line"
    DEV=${line%% *}
    WORKER_PID=$(sed -n 's/.* pid \([0-9]*\) .*/\1/p' <<<"$line")
}

serve_answered() { [ -s serve.out ] || ! kill -0 "$SERVE_PID"; }

serve_forget() { # pid
    exec 9>&-
    timeout 5 tail --pid="$1" -f /dev/null || kill -KILL "$1"
}

serve_end() {
    exec 9>&-
    wait "$SERVE_PID" || fail "serve failed: $(cat serve.out)"
    grep -q '^worker: status 0$' serve.out || fail "the worker did not end well: $(cat serve.out)"
    [ ! -e "$DEV" ] || fail "$DEV is still there"
}
