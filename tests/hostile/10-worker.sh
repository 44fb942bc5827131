#!/bin/bash
# A worker that tries to break out of the real sandbox, once per attempt; then with walls left
# out, to see which attempts it is that they stop. How each ended is written to $HOSTILE_ENDS,
# which docs/hostile.md is made of (table.py).
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../functional/serve.sh"

hostile=$build/tests/hostile/hostile-worker

declare -A ends=() expected=()

# attack RUN WORKER PREFIX [OPTION...]: the attempts, how each ended in $ends.
attack() {
    local run=$1 worker=$2 prefix=$3 name end

    shift 3
    ends=()
    "$build/tests/functional/serve" --worker "$worker" --target memory --attacks "$prefix" "$@" \
        </dev/null >ends 2>serve.err || fail "$run: serve failed: $(tail -n 1 serve.err)"
    while read -r name end; do
        ends[${name%:}]=$end
        echo "attack $run $name $end"
    done <ends >>"${HOSTILE_ENDS:-all-ends}"
}

"$build/tests/functional/serve" --list-attacks >attacks
while read -r name end; do
    expected[$name]=$end
done <attacks
[ ${#expected[@]} -ge 60 ] || fail "too few attempts"

# As serve takes a prefix: "^..." is all others.
is_of() { if [[ $1 = ^* ]]; then [[ $2 != "${1#^}"* ]]; else [[ $2 = "$1"* ]]; fi; }

# as_expected WHO PREFIX: these attempts ended before the device started, in the way attacks.inc says.
as_expected() {
    local name failed=0

    for name in "${!expected[@]}"; do
        if ! is_of "$2" "$name"; then
            continue
        elif [[ $name = server_* && $2 != server_ ]]; then
            continue # made with another target
        elif [ "${ends[$name]:-}" = "${expected[$name]}" ]; then
            echo "ok $1: $name"
        else
            echo "not ok $1: $name: ended with '${ends[$name]:-nothing}', not '${expected[$name]}'"
            failed=$((failed + 1))
        fi
    done
    [ $failed = 0 ] || fail "$1: $failed of ${#ends[@]} attempts did not end as they must"
}

attack sealed "$hostile" ''
as_expected worker ''
attack sealed "$hostile" server_ --target nbd
as_expected 'worker with a server' server_
# From a thread that did not seal itself, with a ring it did not make: system calls, and some of
# what a ring is asked.
for prefix in ^ring_ ring_f ring_re ring_w; do
    attack threads "$hostile" "$prefix" --path threads
    [ ${#ends[@]} -ge 4 ] || fail "$prefix: too few attempts"
    as_expected thread "$prefix"
done

# passes RUN NAME...: without this wall these attempts are not refused any more.
passes() {
    local run=$1 name

    shift
    for name; do
        [ "${ends[$name]:-}" = 'status 200' ] || fail "$run: $name ended with ${ends[$name]:-nothing}"
    done
}

attack no-seccomp "$hostile-no-seccomp" '^ring_'
passes no-seccomp socket fork mmap memfd_create prctl_dumpable unshare_user io_uring_setup
[ "${ends[register_files]}" = 'status 13' ] || fail "the ring lets itself be registered with"
ok "walls: without seccomp system calls go through; the ring still refuses registering"

attack no-restrictions "$hostile-no-restrictions" ring_
passes no-restrictions ring_socket ring_nop ring_read ring_write ring_async_flag
[ "${ends[ring_openat]}" = 'status 2' ] || fail "there are files in its mount namespace"
ok "walls: without the ring's restrictions its operations go through; there is no file to open"

attack no-walls "$hostile-no-walls" ''
passes no-walls socket ring_socket register_personality
[ "${ends[mknodat]}" != 'status 200' ] && [ "${ends[mount]}" != 'status 200' ] &&
    [ "${ends[setuid]}" != 'status 200' ] || fail "it has rights: ${ends[*]}"
ok "walls: with none of the worker's own, it is still nobody, nowhere"

attack outside "$hostile-no-walls" open --no-limit --uid 0 --host-namespaces
passes outside open_password openat2
ok "walls: with the host's namespaces and uid 0, files open"
attack outside "$hostile-no-walls" ring_op --no-limit --uid 0 --host-namespaces
passes outside ring_openat
attack outside "$hostile-no-walls" ring_send_to --no-limit --uid 0 --host-namespaces
passes outside ring_send_to_name
ok "walls: with the host's network namespace, names of sockets are reached"
attack outside "$hostile-no-walls" ring_write_ --no-limit --uid 0 --host-namespaces
[ "${ends[ring_write_behind_end]}" = 'status 1' ] || fail "the memory's seals do not hold"
ok "walls: without RLIMIT_FSIZE the memory's own seals hold"
