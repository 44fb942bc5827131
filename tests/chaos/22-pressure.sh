#!/bin/bash
# Memory is short: of the container that writes, of the worker that serves it, of the machine. What
# was written gets to the disk all the same, through the device it is written to.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq losetup mkfs.ext4 cmp
modprobe loop

minutes=${CHAOS_MINUTES:-0}
bound_s=120 # for one file; ten times what it takes on an idle machine
MiB=$((1 << 20))

cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["file"],
      "backing": ["/dev/"], "max_size": "1G" } ] }
END
helper_start --policy "$TEST_DIR/policy.json"

# A disk in memory that is there already: writing to it needs none.
mkdir "$TEST_DIR/disk" "$TEST_DIR/mnt" "$TEST_DIR/hog"
mount -t tmpfs -o size=320M disk "$TEST_DIR/disk"
undo umount -l "$TEST_DIR/disk"
head -c 320M /dev/zero >"$TEST_DIR/disk/disk"
loop=$(losetup --find --show "$TEST_DIR/disk/disk")
undo losetup --detach "$loop"
# Copying, and few requests at once: the smallest limit a worker can have.
dev=$(ublk-oci attach --host --target file --backing "$loop" --data-path copy --depth 1 --queues 1 \
    --json | jq -r .device)
worker=$(ublk-oci inspect --json "$dev" | jq .worker.pid)
group=/sys/fs/cgroup$(cgroup_of "$worker")
limit=$(<"$group/memory.max")
[ "$limit" -le $((65 * MiB)) ] || fail "the worker has $limit bytes"

# What the kernel takes for the worker it takes without waiting for a disk; what the worker has stays.
flusher=$((0x80000 | 0x100000)) # PF_MEMALLOC_NOIO, PF_LOCAL_THROTTLE
flags_of() { sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 7; }
[ $(($(flags_of "$worker") & flusher)) = $flusher ] ||
    fail "flags of the worker: $(flags_of "$worker")"
[ $(($(flags_of $$) & flusher)) = 0 ] || fail "whoever runs has these flags"
ok "pressure: the worker is an I/O flusher"
kib_of() { awk "/^$2:/ { print \$2 }" "/proc/$1/status"; }
[ "$(kib_of "$worker" VmLck)" -ge "$(kib_of "$worker" RssAnon)" ] && [ "$(kib_of "$worker" RssAnon)" -gt 0 ] ||
    fail "locked are $(kib_of "$worker" VmLck) KiB"
[ "$(kib_of "$worker" VmSwap)" = 0 ] || fail "it is swapped out"
! grep -B 20 '^Locked: *0 kB' "/proc/$worker/smaps" | found 'rw-p' || fail "not all it writes is locked"
[ "$(<"/proc/$worker/oom_score_adj")" = -999 ] || fail "it may be killed for others' memory"
ok "pressure: its memory is locked, and it is the last to be killed"

mkfs.ext4 -q "/dev/$dev"
mount "/dev/$dev" "$TEST_DIR/mnt"
undo sh -c "! mountpoint -q '$TEST_DIR/mnt' || umount -l '$TEST_DIR/mnt'"
bundle_make "$TEST_DIR/small" ".mounts += [{\"destination\":\"/mnt\",\"type\":\"bind\",
    \"source\":\"$TEST_DIR/mnt\",\"options\":[\"rbind\",\"rw\"]}]
    | .linux.resources.memory.limit=$((48 * MiB))"
container_start crun small "$TEST_DIR/small"
small=/sys/fs/cgroup$(cgroup_of "$(crun state small | jq .pid)")
[ "$(<"$small/memory.max")" = $((48 * MiB)) ] || fail "the container has $(<"$small/memory.max")"
head -c 16M /dev/urandom >"$TEST_DIR/small/rootfs/tmp/data"

# The machine's own memory is taken, but for what programs need to begin.
hog() {
    local available

    mountpoint -q "$TEST_DIR/hog" || {
        mount -t tmpfs -o size=100% hog "$TEST_DIR/hog"
        undo umount -l "$TEST_DIR/hog"
    }
    available=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
    [ "$available" -gt 200 ] || return 0
    head -c $((available - 160))M /dev/zero >>"$TEST_DIR/hog/hog"
}

# write_all NAME: 16 times the data into one file, 256 MiB through 48.
write_all() {
    local start=${EPOCHREALTIME/./}

    timeout $bound_s crun exec small sh -c \
        "for i in 0 1 2 3 4 5 6 7 8 9 a b c d e f; do cat /tmp/data; done >/mnt/$1 && sync" ||
        fail "$1: it did not end within $bound_s s: $?"
    took_ms=$(((${EPOCHREALTIME/./} - start) / 1000))
}
verify() { # NAME
    local i

    echo 3 >/proc/sys/vm/drop_caches
    [ "$(stat -c %s "$TEST_DIR/mnt/$1")" = $((256 * MiB)) ] || fail "$1: not whole"
    for ((i = 0; i < 16; i++)); do
        cmp -n $((16 * MiB)) "$TEST_DIR/small/rootfs/tmp/data" "$TEST_DIR/mnt/$1" 0 $((i * 16 * MiB)) ||
            fail "$1: other data in part $i"
    done
    [ "$(ublk-oci inspect --json "$dev" | jq .worker.pid)" = "$worker" ] || fail "it has another worker"
}

write_all one
full=$(awk '$1 == "max" { print $2 }' "$small/memory.events")
[ "$full" -gt 0 ] || fail "the container never was at its limit"
verify one
echo "256 MiB through 48 in $took_ms ms; at its limit $full times; the worker's peak" \
    "$(cat "$group/memory.peak" 2>/dev/null) of $limit"
ok "pressure: a container writes five times its memory, and every byte is there"
rm "$TEST_DIR/mnt/one"

# And the worker gets no more than it has, and a little.
limit=$((2 * MiB))
echo $limit >"$group/memory.max"
start=$SECONDS
rounds=0
while [ $rounds = 0 ] || [ $((SECONDS - start)) -lt $((minutes * 60)) ]; do
    hog
    write_all "short-$rounds"
    echo "with $(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo) MiB left: $took_ms ms"
    verify "short-$rounds"
    rm "$TEST_DIR/mnt/short-$rounds"
    rounds=$((rounds + 1))
done
ok "pressure: the same while the machine has no memory to spare, and the worker 2 MiB"
rm "$TEST_DIR/hog/hog"

[ "$(awk '$1 == "oom_kill" { print $2 }' "$group/memory.events")" = 0 ] || fail "the worker was over its limit"
crun delete -f small
umount "$TEST_DIR/mnt"
ublk-oci detach "$dev" >/dev/null
expect_nothing_left
