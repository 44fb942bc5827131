#!/bin/bash
# ublk-oci detach --force: it says what is lost before it acts; and whatever its worker does, the
# caller is answered in time, and another container's device goes on.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq fio mkfs.ext4 python3

here=$(cd "$(dirname "$0")" && pwd)
srv=/srv/ublk-oci
mkdir -p $srv
mount -t tmpfs -o size=64M srv $srv
undo umount -l $srv

kill_helper() {
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
}
number_of() { ublk-oci list --json | jq -r ".[] | select(.path == \"$1\") | .device | ltrimstr(\"/dev/\")"; }
worker_of() { ublk-oci list --json | jq ".[] | select(.path == \"$1\") | .worker.pid"; }
state_of() { ublk-oci list --json | jq -r ".[] | select(.path == \"$1\") | .state"; }
is() { [ "$(state_of /dev/data)" = "$1" ]; }
attach() { ublk-oci attach --container forced --device /dev/data --target "$@" >/dev/null; }
attach_file() {
    truncate -s 4M $srv/disk
    attach file --backing $srv/disk
    device=$(number_of /dev/data)
    worker=$(worker_of /dev/data)
}
# force: takes /dev/data away; what it says is in $said, the time it took in $took (ms).
force() {
    local begin=${EPOCHREALTIME/./}

    ublk-oci detach --container forced --device /dev/data --force "$@" >"$TEST_DIR/out" 2>"$TEST_DIR/said" ||
        fail "it failed: $(cat "$TEST_DIR/said" "$TEST_DIR/helper.log")"
    took=$(((${EPOCHREALTIME/./} - begin) / 1000))
    said=$(cat "$TEST_DIR/said")
}
says() { grep -q -E -e "$1" <<<"$said" || fail "it does not say '$1' but: $said"; }
opens() { # a process in the container has it open
    crun exec -d forced sh -c 'exec sleep 1000 </dev/data'
    wait_for 10 sh -c 'ls -l /proc/[0-9]*/fd/0 2>/dev/null | grep -q /dev/data'
}
# waits: a read of the device that its worker does not answer
waits() {
    dd if="/dev/$device" of=/dev/null bs=4k count=1 iflag=direct 2>"$TEST_DIR/dd" &
    reader=$!
    wait_for 10 grep -q -x ' *1 *0' "/sys/block/$device/inflight"
}
reader_ends() {
    ! wait $reader || fail "the read that waited went well"
    grep -q 'Input/output error' "$TEST_DIR/dd" || fail "the read that waited: $(cat "$TEST_DIR/dd")"
}

bundle_make "$TEST_DIR/forced"
container_start crun forced "$TEST_DIR/forced"
bundle_make "$TEST_DIR/other"
container_start crun other "$TEST_DIR/other"
undo helper_stop
helper_start

# --- what it says ------------------------------------------------------------

attach_file
force
[ -z "$said" ] || fail "nothing is lost, and it says: $said"
ok "forced: where nothing is lost nothing is said"

attach_file
opens
expect_fail "/dev/data \($device\) is in use: open in pid [0-9]* \(sleep\); close or unmount it" \
    ublk-oci detach --container forced --device /dev/data
force
says "^ublk-oci: detach: $device: /dev/data \($device\) is in use: open in pid [0-9]* \(sleep\): what has not been written yet is lost$"
[ "$(wc -l <<<"$said")" = 1 ] || fail "it says more: $said"
crun exec forced sh -c 'kill -9 -1' 2>/dev/null || true
ok "forced: open in a container: by whom, in the words of a detach that is refused"

node=$(ublk-oci attach --host --target file --backing $srv/disk)
mkfs.ext4 -q "$node"
mkdir "$TEST_DIR/mnt"
mount "$node" "$TEST_DIR/mnt"
ublk-oci detach --host "$node" --force --json >"$TEST_DIR/out" 2>"$TEST_DIR/said"
said=$(cat "$TEST_DIR/said")
says "${node#/dev/}: $node \(${node#/dev/}\) is in use: mounted at $TEST_DIR/mnt by pid [0-9]* .*: what has not been written yet is lost"
jq -e '.[0].lost | length == 1 and (.[0] | test("mounted at"))' "$TEST_DIR/out" >/dev/null ||
    fail "JSON: $(cat "$TEST_DIR/out")"
umount "$TEST_DIR/mnt"
ok "forced: mounted: where and by whom; with --json too"

attach memory --size 1M
opens
force
says 'is in use: open in pid [0-9]* \(sleep\)'
says 'its content goes with it: target memory keeps nothing'
[ "$(wc -l <<<"$said")" = 2 ] || fail "it says: $said"
crun exec forced sh -c 'kill -9 -1' 2>/dev/null || true
ok "forced: memory: its content goes with it; two losses are two lines"

# --- a worker that does not run ----------------------------------------------

# The other container's device, read all the time.
ublk-oci attach --container other --device /dev/other --target memory --size 4M >/dev/null
other=$(number_of /dev/other)
reads_begin() {
    fio --name=reads --filename="/dev/$other" --rw=randread --bs=4k --direct=1 --ioengine=psync \
        --runtime=90 --time_based --output-format=json --output="$TEST_DIR/reads" &
    reads=$!
    reads_before=$(reads_done)
    wait_for 30 reads_go_on
}
reads_done() { awk '{ print $1 }' "/sys/block/$other/stat"; }
reads_go_on() { [ "$(reads_done)" -gt $((reads_before + 50)) ]; }
reads_end() { # the longest of them took so many ms
    kill -INT $reads
    wait $reads || true
    sed -n '/^{/,$p' "$TEST_DIR/reads" >"$TEST_DIR/reads.json" # it says first that it was interrupted
    read -r longest median count error <<<"$(jq -r '.jobs[0] | [(.read.clat_ns | .max, .percentile["50.000000"])
        / 1000000, .read.total_ios, .error] | map(round) | join(" ")' "$TEST_DIR/reads.json")"
    [ "$error" = 0 ] || fail "a read of the other device failed"
    [ "$count" -gt 50 ] || fail "the other device was read $count times"
    # One that waited for a command's deadline would have waited for five seconds and more.
    [ "$longest" -lt 4000 ] || fail "a read of the other device took $longest ms"
}

for how in stopped frozen; do
    attach_file
    cgroup=/sys/fs/cgroup$(cgroup_of "$worker")
    case $how in
    stopped) kill -STOP "$worker" ;;
    frozen) echo 1 >"$cgroup/cgroup.freeze" && wait_for 10 grep -q 'frozen 1' "$cgroup/cgroup.events" ;;
    esac
    waits
    reads_begin
    force
    reads_end
    says "$device: its worker \(pid $worker\) is $how: it is killed, what waits for it \(requests: 1\) ends with errors"
    reader_ends
    [ $took -lt 10000 ] || fail "$how: it took $took ms"
    ok "forced: a worker that is $how: said so, answered after $took ms, the read that waited got EIO; of another container's $count reads the longest took $longest ms, the median $median"
done

# It looks like one that works: it is given the time of a flush.
if [ "$(uname -m)" = x86_64 ]; then
    attach_file
    "$here/spin.py" "$worker"
    spins() {
        local before after

        before=$(cut -d ' ' -f 14 "/proc/$worker/stat")
        sleep 0.5
        after=$(cut -d ' ' -f 14 "/proc/$worker/stat")
        [ $((after - before)) -gt 10 ]
    }
    wait_for 20 spins
    waits
    reads_begin
    force
    reads_end
    reader_ends
    [ $took -lt 30000 ] || fail "it took $took ms"
    ok "forced: a worker that spins: answered after $took ms, the read that waited got EIO; of another container's $count reads the longest took $longest ms, the median $median"
fi

# --- a worker that never says a word -----------------------------------------

silent=${UBLK_OCI_BUILD:-$here/../../build/tests-gcc}/tests/functional/worker_silent
[ -x "$silent" ] || fail "it is not built: $silent"
kill_helper
helper_start --worker "$silent"
begin=${EPOCHREALTIME/./}
expect_fail 'worker' ublk-oci attach --container forced --device /dev/data --target memory --size 1M
took=$(((${EPOCHREALTIME/./} - begin) / 1000))
[ $took -ge 4500 ] && [ $took -lt 20000 ] || fail "it took $took ms: $output"
[ "$(nr_devices)" = 1 ] || fail "something is left: $(ublk-oci list)"
kill_helper
helper_start
ok "forced: an attach whose worker says nothing is answered after $took ms, and leaves nothing"

# --- a worker that is gone ---------------------------------------------------

attach_file
kill_helper
kill -KILL "$worker"
: >"$TEST_DIR/helper.log"
helper_start --worker /bin/busybox
wait_for 20 is recovering
force
says 'its worker died and no other has taken over: what waits for one, and what has not been written yet, is lost'
ok "forced: between two workers: said so"

helper_stop
helper_start
attach_file
kill_helper
kill -KILL "$worker"
helper_start --worker /bin/busybox
wait_for 60 is failed
force
says 'it has failed: what had not been written then is lost'
ok "forced: a device that failed: said so"

# The other container's device has no worker either, by now: this program starts none.
ublk-oci list --json | jq -e '.[0].path == "/dev/other"' >/dev/null || fail "the other device is gone"
ublk-oci detach --container other --all >/dev/null
expect_nothing_left
