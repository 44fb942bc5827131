#!/bin/bash
# What the kernel says of a worker that serves: nothing is left to it.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/serve.sh"

status_is() { # field, value
    local value

    value=$(sed -n "s/^$1:[[:space:]]*//p" "/proc/$WORKER_PID/status" | tr '\t' ' ')
    [ "$value" = "$2" ] || fail "$1 of the worker is '$value', not '$2'"
}

own_namespace() { # name
    [ "$(readlink "/proc/$WORKER_PID/ns/$1")" != "$(readlink "/proc/self/ns/$1")" ] ||
        fail "the worker is in our $1 namespace"
}

for target in null memory; do
    serve --target $target --size 64M --uid 64001
    status_is Name ublk-oci-worker
    status_is Uid '64001 64001 64001 64001'
    status_is Gid '64001 64001 64001 64001'
    status_is Groups ''
    for set in CapInh CapPrm CapEff CapBnd CapAmb; do
        status_is $set 0000000000000000
    done
    status_is NoNewPrivs 1
    status_is Seccomp 2
    status_is Threads 1
    for namespace in user pid mnt net ipc uts; do
        own_namespace $namespace
    done
    [ "$(ls -A "/proc/$WORKER_PID/root/")" = "" ] || fail "the worker's root is not empty"
    [ "$(wc -l <"/proc/$WORKER_PID/mountinfo")" = 1 ] || fail "the worker sees other mounts"
    [ "$(readlink /proc/"$WORKER_PID"/fd/* | sort -u)" = 'anon_inode:[io_uring]' ] ||
        fail "the worker has plain descriptors: $(readlink /proc/"$WORKER_PID"/fd/*)"
    [ ! -s "/proc/$WORKER_PID/environ" ] || fail "the worker has an environment"
    [ "$(cat "/proc/$WORKER_PID/oom_score_adj")" = -999 ] || fail "wrong OOM score"
    grep -q '^Max file size  *67108864  *67108864' "/proc/$WORKER_PID/limits" ||
        fail "the worker may write more than its device"
    queue=/sys/block/${DEV#/dev/}
    [[ $(cat "$queue/queue/scheduler") == *'[none]'* ]] ||
        fail "an I/O scheduler: $(cat "$queue/queue/scheduler")"
    [ "$(find "$queue/mq" -mindepth 1 -maxdepth 1 | wc -l)" = 2 ] || fail "not two queues"
    dd if="$DEV" of=/dev/null bs=1M iflag=direct status=none
    serve_end
done
