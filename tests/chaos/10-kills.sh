#!/bin/bash
# Who serves a container is killed, or stopped, at moments nobody chose, again and again. fio in the
# container writes, trims and flushes meanwhile, and reads back every block it wrote.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq fio losetup mkfs.ext4 python3

kills=3
[ -z "${CHAOS_MINUTES:-}" ] || kills=50
kills=${CHAOS_KILLS:-$kills}
tools=$(cd "$(dirname "$0")" && pwd)
policy=$TEST_DIR/policy.json
cat >"$policy" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "containers", "principal": { "uid": 0 }, "targets": ["file"], "backing": ["/srv/ublk-oci/"],
      "max_size": "1G", "max_devices_per_container": 1, "discard": true, "zero_copy": true } ] }
END

# A disk that takes its time: what a worker asked of it is under way when it dies.
modprobe loop
truncate -s 256M "$TEST_DIR/disk"
loop=$(losetup --find --show --direct-io=off "$TEST_DIR/disk")
undo losetup --detach "$loop"
mkfs.ext4 -q "$loop"
mkdir -p /srv/ublk-oci
mount "$loop" /srv/ublk-oci
undo umount -l /srv/ublk-oci
truncate -s 96M /srv/ublk-oci/disk

# With this machine's fio in it.
bundle=$TEST_DIR/kills
bundle_make "$bundle" '.mounts += [{"destination":"/usr","type":"bind","source":"/usr",
    "options":["rbind","ro"]}] | .process.env=["PATH=/bin:/usr/bin"]'
for dir in lib lib64; do
    [ ! -L /$dir ] || cp -P /$dir "$bundle/rootfs/"
done
cp /etc/ld.so.cache "$bundle/rootfs/etc/"
# Until it is told to stop, in runs of as many rounds as it is told; what it wrote in a run it has
# read back at its end.
cat >"$bundle/rootfs/load" <<'END'
#!/bin/sh
run=0
while [ ! -e /stop ]; do
    fio --direct=1 --ioengine=libaio --filename=/dev/data --allow_file_create=0 --randseed=$run \
        --output-format=json --output=/out/$run \
        --name=verify --rw=randwrite --bsrange=4k-128k --iodepth=16 --size=32M --loops=$1 \
        --verify=crc32c --verify_fatal=1 --fsync=32 \
        --name=trims --rw=randtrimwrite --bs=64k --iodepth=4 --offset=32M --size=32M --loops=$(($1 * 2)) \
        >/out/log 2>&1 || exit 1
    run=$((run + 1))
done
END
chmod +x "$bundle/rootfs/load"

attach() {
    ublk-oci attach --container kills --device /dev/data --target file --backing /srv/ublk-oci/disk >/dev/null
    dev=$(ublk-oci list --json | jq -r '.[0].device')
    dev=${dev#/dev/}
}

# More than a few requests since the load was started.
written() { [ $(($(writes) - before)) -gt 20 ]; }

writes() { awk '{ print $5 }' "/sys/block/$dev/stat"; }

load_start() { # rounds of a run
    before=$(writes)
    rm -rf "$bundle/rootfs/stop" "$bundle/rootfs/out"
    mkdir "$bundle/rootfs/out"
    crun exec kills /load "$1" &
    load=$!
    python3 "$tools/pauses.py" watch "/dev/$dev" "$TEST_DIR/reads" 2>"$TEST_DIR/watch.log" &
    watch=$!
    wait_for 60 written
    : >"$TEST_DIR/moments"
}

load_goes_on() {
    kill -0 $load 2>/dev/null || fail "fio ended: $(tail -n 5 "$bundle/rootfs/out/log")"
    kill -0 $watch 2>/dev/null || fail "the reader: $(cat "$TEST_DIR/watch.log")"
}

# The load ends by itself, without an error; sets $verified.
load_end() {
    load_goes_on
    : >"$bundle/rootfs/stop"
    wait $load || fail "fio: $(tail -n 5 "$bundle/rootfs/out/log")"
    kill -TERM $watch
    wait $watch || fail "the reader: $(cat "$TEST_DIR/watch.log")"
    verified=$(cat "$bundle"/rootfs/out/[0-9]* |
        jq -s '[.[].jobs[] | select(.jobname == "verify") | .read.io_bytes] | add / 1048576 | floor')
    [ "$verified" -ge 64 ] || fail "only $verified MiB were verified"
}

a_while() { sleep "$((1 + RANDOM % 2)).$((RANDOM % 10))"; }

# Without asking the helper, which takes an emulated machine very long.
worker_now() { cat /sys/fs/cgroup/ublk-oci/workers/*/cgroup.procs; }
# What is not the one that was killed.
other_serves() {
    local pid

    pid=$(worker_now)
    [ -n "$pid" ] && [ "$pid" != "$1" ] && [[ $(<"$TEST_DIR/helper.log") == *": worker $pid serves it"* ]]
}

kill_them() { # pid...
    echo "$EPOCHREALTIME" >>"$TEST_DIR/moments"
    kill -KILL "$@"
}

helper_again() {
    wait "$helper_pid" 2>/dev/null || true
    helper_start --policy "$policy"
}

helper_says() { # what it has measured since the log was emptied
    sed -n 's/.*serves it after \([0-9]*\) ms.*/\1/p' "$TEST_DIR/helper.log" | sort -n |
        awk '{ ms[NR] = $1 } END { if (NR) printf "median %d ms, longest %d ms of %d",
            ms[int(NR / 2) + 1], ms[NR], NR }'
}

kill_worker() {
    local pid

    pid=$(worker_now)
    kill_them "$pid"
    wait_for 60 other_serves "$pid"
}

kill_helper() { # the worker, which stays
    kill_them "$helper_pid"
    helper_again
    [ "$(worker_now)" = "$1" ] || fail "the device has another worker"
}

kill_both() {
    local pid

    pid=$(worker_now)
    kill_them "$helper_pid" "$pid"
    helper_again
    wait_for 60 other_serves "$pid"
}

# times HOW [ARGUMENT]: under load; sets $seen, the pauses as the reader saw them.
times() {
    local i

    load_start 2
    for ((i = 0; i < kills; i++)); do
        a_while
        load_goes_on
        "$@"
    done
    a_while
    load_end
    seen=$(python3 "$tools/pauses.py" report "$TEST_DIR/reads" "$TEST_DIR/moments")
}

helper_start --policy "$policy"
container_start crun kills "$bundle"
attach
ublk-oci inspect --json "$dev" | jq -c '{data_path, queues, depth}'

times kill_worker
ok "kills: $kills workers killed, no error, $verified MiB read back as written; pause $seen; for the helper $(helper_says)"

times kill_helper "$(worker_now)"
ok "kills: $kills helpers killed, no error, the same worker, $verified MiB read back as written; longest read $seen"

: >"$TEST_DIR/helper.log"
times kill_both
ok "kills: $kills times both killed at once, no error, $verified MiB read back as written; pause with the helper's start $seen; for the helper $(helper_says)"

# A worker that no longer answers, and a container that waits for it.
longest=0
for ((i = 0; i < kills; i++)); do
    load_start 1000 # it does not open the device again
    a_while
    load_goes_on
    kill -STOP "$(worker_now)"
    begun=${EPOCHREALTIME/./}
    timeout 60 ublk-oci detach --container kills --device /dev/data --force >/dev/null ||
        fail "round $i: a stopped worker's device was not detached"
    took=$(((${EPOCHREALTIME/./} - begun) / 1000))
    [ $took -lt 30000 ] || fail "round $i: it took $took ms"
    [ $took -le $longest ] || longest=$took
    ! timeout 60 tail --pid=$load -f /dev/null || true
    ! kill -0 $load 2>/dev/null || fail "round $i: fio hangs"
    ! wait $load || fail "round $i: fio did not see an error"
    # Of a flush it says so in its output only.
    grep -rqE 'Input/output error|"error" : 5,' "$bundle/rootfs/out" ||
        fail "round $i: fio: $(tail -n 5 "$bundle"/rootfs/out/*)"
    ! wait $watch || fail "round $i: the reader did not see an error"
    expect_nothing_left
    attach
done
load_start 2
load_end
ok "kills: $kills workers stopped and detached by force, within $longest ms: fio gets EIO, nothing is left, the next one serves"
ublk-oci detach --container kills --device /dev/data >/dev/null
expect_nothing_left
