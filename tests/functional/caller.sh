# shellcheck shell=bash
# Sourced by tests that ask the helper as somebody who is not root: callers that live
# through a test and are told what to do, since starting a program costs an emulated guest
# a tenth of a second, and python a second.

caller_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
group_id=$(getent group ublk-oci | cut -d : -f 3)
declare -A caller_in caller_out

# as UID COMMAND...: as a member of group ublk-oci.
as() { setpriv --reuid "$1" --regid "$1" --groups "$group_id" "${@:2}"; }

# caller_start NAME COMMAND...: a caller, run by COMMAND, e.g. as 1000.
caller_start() {
    local name=$1 in out

    # Not from the checkout, which others may not be allowed to read.
    [ -e "$TEST_DIR/caller.py" ] || cp "$caller_here/caller.py" "$TEST_DIR/"
    mkfifo "$TEST_DIR/$name.in" "$TEST_DIR/$name.out"
    "${@:2}" python3 "$TEST_DIR/caller.py" <"$TEST_DIR/$name.in" >"$TEST_DIR/$name.out" &
    undo caller_stop $! "$name"
    exec {in}>"$TEST_DIR/$name.in" {out}<"$TEST_DIR/$name.out"
    caller_in[$name]=$in
    caller_out[$name]=$out
}

caller_stop() {
    eval "exec ${caller_in[$2]}>&- ${caller_out[$2]}<&-"
    kill "$1" 2>/dev/null
    wait "$1" 2>/dev/null || true
}

# say NAME WORDS...: sets $status and $answer.
say() {
    local in=${caller_in[$1]} out=${caller_out[$1]}

    echo "${*:2}" >&"$in"
    read -r -t 60 status answer <&"$out" || fail "$1 does not answer to: ${*:2}"
}

# can NAME WORDS...: it works.
can() {
    say "$@"
    [ "$status" = 0 ] || fail "$*: $status $answer"
}

# cannot NAME PATTERN WORDS...: it is refused, the words fit PATTERN, and nothing is left.
cannot() {
    say "$1" "${@:3}"
    ((status < 0 && status != -1000)) || fail "$1 ${*:3}: not refused: $status $answer"
    [[ $answer =~ $2 ]] || fail "$1 ${*:3}: no '$2' in: $answer"
    nothing_left || fail "$1 ${*:3}: left: $(leftovers)"
}

# gets NAME WORDS...: attach, and detach again.
gets() {
    can "$1" attach "${@:2}"
    can "$1" detach "$answer"
}

# is_now PID NAME: the program that PID runs is called NAME.
is_now() {
    local name

    { read -r name <"/proc/$1/comm"; } 2>/dev/null && [ "$name" = "$2" ]
}

# box UID CGROUP COMMAND...: a process in a cgroup, which is made; $box is its pid once it is
# `sleep`. COMMAND starts what it is given, in namespaces of its own or not.
box() {
    local dir=/sys/fs/cgroup$2

    [ -d "$dir" ] || cgroup_make "$2"
    (
        echo "$BASHPID" >"$dir/cgroup.procs"
        exec setpriv --reuid "$1" --regid "$1" --clear-groups "${@:3}" sleep 1000
    ) &
    box=$!
    undo box_end "$box"
    [ -z "${map:-}" ] || box_map "$box"
    wait_for 20 is_now "$box" sleep
}

# Behind unshare in the COMMAND of a box whose ids root maps, map="0 0 2000": it waits for that.
# shellcheck disable=SC2016,SC2034
mapped=(bash -c 'until read -r _ </proc/self/uid_map; do sleep 0.05; done; exec "$@"' mapped)

own_user_ns() { ! [ "/proc/$1/ns/user" -ef /proc/self/ns/user ]; }

box_map() {
    wait_for 20 own_user_ns "$1"
    echo "$map" >"/proc/$1/gid_map"
    echo "$map" >"/proc/$1/uid_map"
}

box_end() {
    kill -KILL "$1" 2>/dev/null
    wait "$1" 2>/dev/null || true
}

cgroup_make() {
    mkdir "/sys/fs/cgroup$1"
    undo cgroup_remove "$1"
}

# What was killed leaves its cgroup a moment later.
cgroup_remove() {
    local end=$((SECONDS + 5))

    until rmdir "/sys/fs/cgroup$1" 2>/dev/null; do
        [ $SECONDS -lt $end ] || return
        sleep 0.05
    done
}
