#!/bin/bash
# Many devices at once: the last is attached as fast as the first, nobody wakes up while nothing
# is to do, and all go together. The large one, with numbers that are worth reading:
#
#   tests/vm/run --kernel 7.3 --icount --smp 2 --memory 4 --timeout 1800 -- \
#       env DEVICES=500 FLAT=20 TEST_DIR=/run sh -c \
#       'tests/guest/setup && tests/functional/33-many.sh'
#
# DEVICES: how many; FLAT: percent the last may take longer than the first, to be given with
# --icount. By a clock that other work on the machine slows down, only the fastest of the
# last is compared, roughly, and again when that was a bad moment. OPTIONS: of each attach.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires jq

devices=${DEVICES:-60}
flat=${FLAT:-}
rough=100   # percent, without FLAT
tries=5
options=${OPTIONS:---depth 1}
sample=15  # a median of so many
warm_up=5  # whoever comes first pays for what is made once
idle_s=10
buffers_kib=512 # with --depth 1: two tags
worker_kib=150  # and a share of what all workers have in common

cat >"$TEST_DIR/policy.json" <<END
{"version": 1, "worker_ids": {"first": 2100000000, "count": 1000}, "rules": [{"id": "many",
    "principal": {"uid": 0}, "host": true, "targets": ["null"], "max_size": "1G", "max_devices": 1000}]}
END
helper_start --policy "$TEST_DIR/policy.json"

# attach_some N: their times, in microseconds, one per line.
attach_some() {
    local i

    for ((i = 0; i < $1; i++)); do
        # shellcheck disable=SC2086 # words
        ublk-oci attach --host --target null --size 1M $options --timing --json
    done | jq .timing.helper_us
}

# taken FILE: what stands for all times in it.
taken() { sort -n "$1" | sed -n "$([ -n "$flat" ] && echo $(((sample + 1) / 2)) || echo 1)p"; }

newest() { ublk-oci list --json | jq -r "sort_by(.device | ltrimstr(\"ublkb\") | tonumber) | .[-$1:][].device"; }

is_flat() {
    first=$(taken "$TEST_DIR/first") last=$(taken "$TEST_DIR/last")
    [ $((last * 100)) -le $((first * (100 + ${flat:-$rough}))) ]
}

# memory_kib: what the kernel keeps beside pages of files and processes.
memory_kib() { awk '/^(Slab|PageTables|KernelStack|Percpu):/ { sum += $2 } END { print sum }' /proc/meminfo; }

workers() {
    local file name

    for file in /proc/[0-9]*/comm; do
        { read -r name <"$file"; } 2>/dev/null || continue
        [ "$name" != ublk-oci-worker ] || echo "${file//[!0-9]/}"
    done
}

# switches PID...: how often their threads were switched to and from.
switches() {
    local pid file key n sum=0

    for pid in "$@"; do
        for file in /proc/"$pid"/task/*/status; do
            while read -r key n; do
                case $key in
                *ctxt_switches:) sum=$((sum + n)) ;;
                esac
            done <"$file"
        done
    done
    echo $sum
}

before=$(memory_kib)
attach_some $warm_up >/dev/null
attach_some $sample >"$TEST_DIR/first"
attach_some $((devices - warm_up - 2 * sample)) >"$TEST_DIR/between"
attach_some $sample >"$TEST_DIR/last"
after=$(memory_kib)
mapfile -t pids < <(workers)
[ "${#pids[@]} $(nr_devices)" = "$devices $devices" ] ||
    fail "${#pids[@]} workers and $(nr_devices) devices of $devices"
until is_flat; do
    [ -z "$flat" ] && [ $((tries -= 1)) -gt 0 ] || fail "the first take $first us, the last $last us"
    mapfile -t again < <(newest $sample)
    ublk-oci detach --host "${again[@]}"
    attach_some $sample >"$TEST_DIR/last"
done
mapfile -t pids < <(workers)
pss=$(sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/${pids[$((devices / 2))]}/smaps_rollup")
echo "one of the first: $first us, one of the last: $last us; of $devices, each with a worker of" \
    "$pss KiB (Pss) and $(((after - before) / devices)) KiB of the kernel's"
ok "many: of $devices the last is attached as fast as the first"
[ "$options" != "--depth 1" ] || [ "$pss" -le $((buffers_kib + worker_kib)) ] ||
    fail "a worker has $pss KiB"
ok "many: a worker is its buffers, and at most $worker_kib KiB"

sleep 1 # what was attached last comes to rest
worker_switches=$(switches "${pids[@]}")
helper_switches=$(switches "$helper_pid")
sleep $idle_s
worker_switches=$(($(switches "${pids[@]}") - worker_switches))
helper_switches=$(($(switches "$helper_pid") - helper_switches))
echo "in $idle_s s: $worker_switches switches of workers, $helper_switches of the helper"
[ $worker_switches = 0 ] || fail "$worker_switches switches of workers with nothing to do"
[ $helper_switches -le $idle_s ] || fail "$helper_switches switches of the helper with nothing to do"
ok "many: $devices idle devices wake nobody up"

# Several by name, in any order; one that is not there leaves them all.
expect_fail 'no device ublkb9999' ublk-oci detach --host ublkb1 ublkb9999
expect_fail 'named twice' ublk-oci detach ublkb1 /dev/ublkb1
expect_fail 'is needed' ublk-oci detach --all ublkb1
[ "$(nr_devices)" = "$devices" ] || fail "a wrong name took devices away"
ublk-oci detach --host --json ublkb2 0 /dev/ublkb1 >"$TEST_DIR/three"
jq -e 'map(.device) == ["ublkb2", "ublkb0", "ublkb1"] and all(.error == "")' "$TEST_DIR/three" >/dev/null ||
    fail "not three: $(cat "$TEST_DIR/three")"
[ "$(nr_devices)" = $((devices - 3)) ] || fail "not three went"
ok "many: several are detached by name"

# One that is in use stays, and keeps no other.
exec 7</dev/ublkb5
start=${EPOCHREALTIME/./}
expect_fail 'ublkb5.* in use' ublk-oci detach --all
took_ms=$(((${EPOCHREALTIME/./} - start) / 1000))
exec 7<&-
[ "$(nr_devices)" = 1 ] || fail "$(nr_devices) devices stay"
[ $took_ms -le 10000 ] || fail "$devices devices took $took_ms ms to go"
echo "$devices devices went in $took_ms ms"
ok "many: all that are not in use go together"
ublk-oci detach --host --all
ublk-oci detach --all
expect_nothing_left
ok "many: nothing is left"
