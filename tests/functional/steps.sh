# shellcheck shell=bash
# Sourced after lib.sh and containers.sh: a helper that dies, or does something else, before one of its
# steps. $steps is its program.

build=${UBLK_OCI_BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/build/tests-gcc}
steps=$build/tests/functional/ublk-ocid-steps
[ -x "$steps" ] || skip "$steps is not built"

# steps_start VARIABLE=WHERE [OPTION...]: a helper that does that.
steps_start() {
    env "$1" "$steps" "${@:2}" 2>>"$TEST_DIR/helper.log" &
    helper_pid=$!
    helper_answers || fail "the helper does not answer: $(tail -n 5 "$TEST_DIR/helper.log")"
}

# steps_died WHERE: it has, there and not elsewhere.
steps_died() {
    wait_for 20 sh -c "! kill -0 $helper_pid 2>/dev/null"
    wait "$helper_pid" 2>/dev/null || true
    grep -q "dying before ${1%:*}" "$TEST_DIR/helper.log" || fail "it did not come to $1"
    : >"$TEST_DIR/helper.log"
}
