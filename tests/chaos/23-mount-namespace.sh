#!/bin/bash
# Somebody mounts a file system of their device in a mount namespace of their own, writes, and is
# killed with all they have; in the same moment so is the worker, or the helper, or the device is
# taken away. Whoever ends last in that namespace unmounts, which writes to the device: were that
# the worker, it would wait for itself for ever. CHAOS_MINUTES=10: all orders, again and again.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq mkfs.ext4 debugfs dumpe2fs unshare
modprobe ext4 2>/dev/null || true

minutes=${CHAOS_MINUTES:-0}
bound_s=60 # of one end; a few seconds on an idle machine

cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["memory", "file"],
      "backing": ["/srv/ublk-oci/"], "max_size": "64M" },
    { "id": "boxes", "principal": { "uid": 0 }, "targets": ["file"], "backing": ["/srv/ublk-oci/"],
      "max_size": "64M", "max_devices_per_container": 1 } ] }
END
srv_mount 96M
truncate -s 48M /srv/ublk-oci/template
mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0,nodiscard /srv/ublk-oci/template
helper_start --policy "$TEST_DIR/policy.json"
# It mounts the device when it is there, and leaves a word.
cat >"$TEST_DIR/live" <<'END'
until mount -t ext4 /dev/data /mnt 2>/dev/null; do sleep 0.1; done
cat /tmp/data /tmp/data >/mnt/dirty
: >/tmp/mounted
exec sleep 1000
END
bundle_make "$TEST_DIR/box" '.process.capabilities[] |= . + ["CAP_SYS_ADMIN"]
    | .process.args=["sh", "/tmp/live"]'
head -c 8M /dev/urandom >"$TEST_DIR/data"
cp "$TEST_DIR/live" "$TEST_DIR/data" "$TEST_DIR/box/rootfs/tmp/"

# --- what is true of a worker -----------------------------------------------------------

worker_of() { ublk-oci inspect --json "$1" | jq .worker.pid; }
mount_ns() { readlink "/proc/$1/ns/mnt"; }
# apart DEVICE PID: the worker is not where its user is, and sees no mount of theirs.
apart() {
    local worker numbers line

    worker=$(worker_of "$1")
    [ "$(mount_ns "$worker")" != "$(mount_ns "$2")" ] || fail "the worker is in its user's namespace"
    [ "$(mount_ns "$worker")" != "$(mount_ns $$)" ] || fail "the worker is in the host's namespace"
    numbers=$(cat "/sys/block/$1/dev")
    grep -q " $numbers / " "/proc/$2/mountinfo" || fail "its user has not mounted it"
    mapfile -t line <"/proc/$worker/mountinfo"
    [ ${#line[@]} = 1 ] && [[ ${line[0]} == *" - tmpfs ublk-oci ro,"* ]] || fail "the worker's mounts: ${line[*]}"
}

# --- ends ------------------------------------------------------------------------------------

# What died with the helper is for the next one to see.
helper_back() {
    wait "$helper_pid" 2>/dev/null || true
    helper_start --policy "$TEST_DIR/policy.json"
}
kill_group() { echo 1 >"/sys/fs/cgroup$1/cgroup.kill"; } # everything in it at once
# end_ORDER GROUP DEVICE WORKER: the user's processes and others die, in that order.
end_user() { kill_group "$1"; }
end_user_worker() { kill_group "$1"; kill -KILL "$3"; }
end_worker_user() { kill -KILL "$3"; kill_group "$1"; }
end_user_helper() { kill_group "$1"; kill -KILL "$helper_pid"; helper_back; }
end_helper_worker_user() { kill -KILL "$helper_pid" "$3"; kill_group "$1"; helper_back; }
end_stopped_worker_user() { kill -STOP "$3"; kill_group "$1"; sleep 0.5; kill -KILL "$3"; }
end_detach_user() {
    ublk-oci detach --force "$2" >/dev/null 2>&1 &
    kill_group "$1"
    wait $! || true # it may be gone by then
}
orders="user user_worker worker_user user_helper helper_worker_user stopped_worker_user detach_user"

# Nobody waits in the kernel for a disk, but for its own threads, which have nothing else to do.
stuck() {
    local file line

    for file in /proc/[0-9]*/stat; do
        { read -r line <"$file"; } 2>/dev/null || continue
        [[ ${line##*) } != "D "* ]] || echo "${line%%)*})"
    done
}
all_gone() { [ -z "$(stuck)" ] && nothing_left; }
# ends KIND ORDER GROUP DEVICE
ends() {
    local start=${EPOCHREALTIME/./} worker

    worker=$(worker_of "$4")
    "end_$2" "$3" "$4" "$worker"
    wait_for $bound_s all_gone
    took_ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    ! grep -q . "/sys/fs/cgroup$3/cgroup.procs" 2>/dev/null || fail "$1, $2: processes are left"
    [ ! -e "/proc/$worker" ] || fail "$1, $2: the worker is left"
    [ "$took_ms" -le "$most_ms" ] || most_ms=$took_ms
    echo "$1: $2: $took_ms ms"
}
most_ms=0

# kept KIND ORDER: what was dirty then is on the disk, and the file system was unmounted.
kept() {
    debugfs -R "dump /dirty $TEST_DIR/dirty" /srv/ublk-oci/disk 2>/dev/null
    cat "$TEST_DIR/data" "$TEST_DIR/data" | cmp - "$TEST_DIR/dirty" || fail "$1, $2: what was dirty is lost"
    ! dumpe2fs -h /srv/ublk-oci/disk 2>/dev/null | grep '^Filesystem features:.*needs_recovery' ||
        fail "$1, $2: it was not unmounted"
    rm "$TEST_DIR/dirty"
}

# --- who mounts it ----------------------------------------------------------------------------------

# A container with its own device.
in_container() { # ORDER
    local pid device

    cp --sparse=always /srv/ublk-oci/template /srv/ublk-oci/disk
    rm -f "$TEST_DIR/box/rootfs/tmp/mounted"
    container_start crun box "$TEST_DIR/box"
    pid=$(crun state box | jq .pid)
    device=$(ublk-oci attach --container box --engine crun --device /dev/data \
        --target file --backing /srv/ublk-oci/disk --json | jq -r .device)
    wait_for 60 test -e "$TEST_DIR/box/rootfs/tmp/mounted"
    apart "$device" "$pid"
    ends container "$1" "$(cgroup_of "$pid")" "$device"
    crun delete -f box
    [ "$1" = detach_user ] || kept container "$1"
}

# Somebody on the host, in a namespace of their own; theirs goes when the device is taken.
group=/ublk-oci-mounts
mkdir -p /sys/fs/cgroup$group
undo rmdir /sys/fs/cgroup$group
on_host() { # ORDER
    local pid device

    cp --sparse=always /srv/ublk-oci/template /srv/ublk-oci/disk
    device=$(ublk-oci attach --host --target file --backing /srv/ublk-oci/disk --json | jq -r .device)
    rm -f "$TEST_DIR/mounted"
    (
        echo "$BASHPID" >/sys/fs/cgroup$group/cgroup.procs
        exec unshare --mount sh -c "mount -t ext4 /dev/$device /mnt &&
            cat '$TEST_DIR/data' '$TEST_DIR/data' >/mnt/dirty && : >'$TEST_DIR/mounted'; exec sleep 1000"
    ) &
    pid=$!
    wait_for 30 test -e "$TEST_DIR/mounted"
    apart "$device" "$pid"
    ends_on_host "$1" "$device"
    kept host "$1"
    wait "$pid" 2>/dev/null || true
}
ends_on_host() { # ORDER DEVICE
    local start=${EPOCHREALTIME/./} worker

    worker=$(worker_of "$2")
    "end_$1" $group "$2" "$worker"
    wait_for $bound_s detached "$2"
    wait_for $bound_s all_gone
    took_ms=$(((${EPOCHREALTIME/./} - start) / 1000))
    [ ! -s /sys/fs/cgroup$group/cgroup.procs ] || fail "host, $1: processes are left"
    [ "$took_ms" -le "$most_ms" ] || most_ms=$took_ms
    echo "host: $1: $took_ms ms"
}
# Only when it is mounted nowhere any more.
detached() { nothing_left || ublk-oci detach "$1"; }

start=$SECONDS
n=0
while [ $n = 0 ] || [ $((SECONDS - start)) -lt $((minutes * 60)) ]; do
    for order in $orders; do
        in_container "$order"
        n=$((n + 1))
    done
    for order in user worker_user user_helper; do
        on_host "$order"
        n=$((n + 1))
    done
done
ok "mounts: the worker is in no namespace of a user's, and sees no mount of its device"
ok "mounts: $n users died with a mounted, dirty file system, with their worker and helper in every order:" \
    "each was over within $most_ms ms, and nobody waits"
ok "mounts: what they had written is on the disk, but where the device was taken by force"
expect_nothing_left
