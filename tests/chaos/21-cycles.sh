#!/bin/bash
# Devices come and go, eight at a time, in containers and for the host: what there was before is
# what there is afterwards. The long one: CHAOS_MINUTES=10.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/caller.sh"
requires crun jq bpftool python3

minutes=${CHAOS_MINUTES:-0}
cycles=200
nr_callers=8
file_bytes=$((4 << 20))
rss_kib=1024       # of the helper: pages its memory comes to touch only with time
kernel_kib=8192    # beside pages of files and processes; 40 KiB of each device would be seen
machine_kib=$((48 << 10)) # noise of all that is free; half a MiB of each memory device would be seen

cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 40 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["memory", "file"],
      "backing": ["/srv/ublk-oci/"], "max_size": "64M", "zero_copy": true, "discard": true },
    { "id": "boxes", "principal": { "uid": 0 }, "targets": ["memory", "file"],
      "backing": ["/srv/ublk-oci/"], "max_size": "64M", "max_devices_per_container": 1 } ] }
END
srv_mount 64M
helper_start --policy "$TEST_DIR/policy.json"

# Half of the callers have a container, and half of these a file; so have those for the host.
for ((i = 0; i < nr_callers; i++)); do
    caller_start "c$i" env
    words[i]=""
    if [ $((i % 2)) = 0 ]; then
        bundle_make "$TEST_DIR/box$i"
        container_start crun "box$i" "$TEST_DIR/box$i"
        can "c$i" pin box "$(crun state "box$i" | jq .pid)"
        words[i]+=" pin=box"
    fi
    if [ $((i % 4)) -ge 2 ]; then
        truncate -s $file_bytes "/srv/ublk-oci/$i"
        can "c$i" open file rw "/srv/ublk-oci/$i"
        words[i]+=" fd=file"
    fi
done

# Each of them attaches and detaches once, all at the same time.
round() {
    local i generations=()

    for ((i = 0; i < nr_callers; i++)); do
        echo "attach ${words[i]}" >&"${caller_in[c$i]}"
    done
    for ((i = 0; i < nr_callers; i++)); do
        read -r -t 60 status generation <&"${caller_out[c$i]}" || fail "c$i: no answer"
        [ "$status" = 0 ] || fail "c$i: attach ${words[i]}: $status $generation"
        generations[i]=$generation
        echo "detach $generation" >&"${caller_in[c$i]}"
    done
    for ((i = 0; i < nr_callers; i++)); do
        read -r -t 60 status answer <&"${caller_out[c$i]}" || fail "c$i: no answer"
        [ "$status" = 0 ] || fail "c$i: detach ${generations[i]}: $status $answer"
    done
}

nr() { echo $#; }
shopt -s nullglob
kib_of() { awk "/^$2:/ { print \$2 }" "$1"; }
keeper_pid() {
    local file name

    for file in /proc/[0-9]*/comm; do
        { read -r name <"$file"; } 2>/dev/null || continue
        [ "$name" != ublk-oci-keeper ] || echo "${file//[!0-9]/}"
    done
}
# But the kernel's own, which come and go.
processes() {
    local file line n=0

    for file in /proc/[0-9]*/stat; do
        { read -r line <"$file"; } 2>/dev/null || continue
        line=${line##*) }
        [[ $line == ?" 2 "* ]] || n=$((n + 1))
    done
    echo $n
}
programs() { bpftool -j prog list | jq length; }
maps() { bpftool -j map list | jq length; }
# Lines of what must be the same, and of what may differ a little.
count() {
    local keeper

    keeper=$(keeper_pid)
    echo "descriptors of the helper: $(nr /proc/"$helper_pid"/fd/*)"
    echo "descriptors of the keeper $keeper: $(nr /proc/"$keeper"/fd/*)"
    echo "processes: $(processes)"
    echo "cgroups: $(find /sys/fs/cgroup -type d | wc -l)"
    echo "programs and maps of BPF: $(programs) $(maps), pins: $(find /sys/fs/bpf | wc -l)"
    echo "devices: $(nr /dev/ublk*) $(nr /sys/class/ublk-char/*) $(nr /sys/block/ublkb*)"
    echo "files: $(find /run/ublk-oci | wc -l)"
    echo "mounts: $(wc -l </proc/self/mountinfo)"
}
# memory: what the kernel keeps for itself, and what is free, in KiB.
memory() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
    awk '/^(Slab|PageTables|KernelStack|Percpu|VmallocUsed):/ { sum += $2 } /^MemAvailable:/ { free = $2 }
        END { print sum, free }' /proc/meminfo
}
settled() { count >"$TEST_DIR/after" && cmp -s "$TEST_DIR/before" "$TEST_DIR/after"; }

for ((i = 0; i < 3; i++)); do round; done # what is made once is made
wait_for 30 nothing_left
count >"$TEST_DIR/before"
rss=$(kib_of "/proc/$helper_pid/status" VmRSS)
read -r kernel free < <(memory)
cat /proc/meminfo >"$TEST_DIR/meminfo"

start=$SECONDS
for ((n = 0; n < cycles || SECONDS - start < minutes * 60; n += nr_callers)); do
    round
done
took=$((SECONDS - start))
wait_for 30 nothing_left
end=$((SECONDS + 20))
until settled; do # cgroups and programs go a moment later
    [ $SECONDS -lt $end ] || fail "not as before: $(diff "$TEST_DIR/before" "$TEST_DIR/after")"
    sleep 0.5
done
cat "$TEST_DIR/after"
ok "cycles: $n times attached and detached, $nr_callers at once, in $took s: nothing is left or held"

grown=$(($(kib_of "/proc/$helper_pid/status" VmRSS) - rss))
[ $grown -le $rss_kib ] || fail "the helper has $grown KiB more than before"
# The kernel gives some of it back a moment later.
has_memory() {
    read -r kernel_now free_now < <(memory)
    [ $((kernel_now - kernel)) -le $kernel_kib ] && [ $((free - free_now)) -le $machine_kib ]
}
end=$((SECONDS + 20))
until has_memory; do
    [ $SECONDS -lt $end ] || fail "the machine has less memory than before: $((kernel_now - kernel)) KiB" \
        "of the kernel's, $((free - free_now)) in all: $(diff "$TEST_DIR/meminfo" /proc/meminfo)"
    sleep 1
done
echo "after $n cycles: $grown KiB more in the helper, $((kernel_now - kernel)) in the kernel," \
    "$((free - free_now)) less are free"
ok "cycles: no memory is lost"
expect_nothing_left
