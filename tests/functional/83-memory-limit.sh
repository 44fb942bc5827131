#!/bin/bash
# What a worker may make the kernel spend is bounded, also after the helper was away.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq

bundle_make "$TEST_DIR/limited"
container_start crun limited "$TEST_DIR/limited"
helper_start

# worker_cgroup DEVICE-PATH
worker_cgroup() {
    echo "/sys/fs/cgroup$(cgroup_of "$(ublk-oci list --json | jq ".[] | select(.path == \"$1\") | .worker.pid")")"
}
MiB=$((1 << 20))

ublk-oci attach --container limited --device /dev/a --target memory --size 8M >/dev/null
ublk-oci attach --container limited --device /dev/b --target null --size 1T >/dev/null
a=$(worker_cgroup /dev/a)
b=$(worker_cgroup /dev/b)
# 2 queues of 32 requests of 256 KiB, and 64 MiB; what is in memory of the backing on top.
[ "$(<"$a/memory.max")" = $(((16 + 64 + 8) * MiB)) ] || fail "memory: $(<"$a/memory.max")"
[ "$(<"$b/memory.max")" = $(((16 + 64) * MiB)) ] || fail "null: $(<"$b/memory.max")"
ok "memory: each worker's cgroup has a limit, with room for its buffers and what it keeps in memory"

for file in "$a" "$b" "${a%/*}"; do
    [ ! -e "$file/cgroup.pressure" ] || [ "$(<"$file/cgroup.pressure")" = 0 ] ||
        fail "$file/cgroup.pressure: the kernel counts at every switch"
done
ok "memory: their cgroups keep no account of who waits"

crun exec limited dd if=/dev/zero of=/dev/a bs=1M count=8 conv=fsync 2>/dev/null || fail "it does not fit"
[ "$(<"$a/memory.current")" -gt $((8 * MiB)) ] || fail "it counts $(<"$a/memory.current") bytes only"
ok "memory: what a device keeps in memory counts there, and fits"

# The service manager takes limits away to start a helper: see the unit's ExecStartPre.
kill -KILL "$helper_pid"
wait "$helper_pid" 2>/dev/null || true
echo max >"$a/memory.max"
helper_start
[ "$(<"$a/memory.max")" = $(((16 + 64 + 8) * MiB)) ] || fail "after a restart: $(<"$a/memory.max")"
ok "memory: the next helper sets the limits again"

# Over its limit it is killed; the next one begins with the limit there ought to be.
worker_of() { ublk-oci list --json | jq ".[] | select(.path == \"$1\") | .worker.pid"; }
first=$(worker_of /dev/a)
second=$(worker_of /dev/b)
echo $MiB >"$a/memory.max"
another_serves() { [ "$(worker_of /dev/a)" != "$first" ] && all_live; }
wait_for 30 another_serves
[ "$(<"$a/memory.max")" = $(((16 + 64 + 8) * MiB)) ] || fail "the next one has $(<"$a/memory.max")"
crun exec limited dd if=/dev/a of=/dev/null bs=1M count=8 2>/dev/null || fail "/dev/a is broken"
[ "$(worker_of /dev/b)" = "$second" ] || fail "the neighbour has another worker"
ok "memory: a worker over its limit is killed, another one takes over, its neighbour stays"

ublk-oci detach --container limited --all >/dev/null
expect_nothing_left
