# shellcheck shell=bash
# Sourced after lib.sh: NBD servers, by name, each with a socket in $socks.

socks=/run/ublk-oci-test-nbd
mkdir -p $socks
undo rm -rf $socks

declare -A pids=()

# server NAME COMMAND...: its socket is for everybody: the connector is nobody special.
server() {
    local name=$1

    shift
    rm -f "$socks/$name"
    "$@" >>"$TEST_DIR/$name.log" 2>&1 &
    pids[$name]=$!
    undo server_end "$name"
    wait_for 10 test -S "$socks/$name"
    chmod 666 "$socks/$name"
}
server_end() {
    [ -n "${pids[$1]:-}" ] || return 0
    kill -KILL "${pids[$1]}"
    wait "${pids[$1]}" 2>/dev/null || true
    pids[$1]=
}
