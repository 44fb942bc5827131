#!/bin/bash
# A device grows while it is used, where the kernel's driver can; where it cannot it says so.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/steps.sh"
requires crun jq fio setpriv mkfs.ext4 resize2fs blockdev

srv_mount 300M
policy=$TEST_DIR/policy.json
cat >"$policy" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "own", "principal": { "uid": 4711 }, "may": ["attach", "resize"], "host": true,
      "targets": ["file"], "backing": ["/srv/ublk-oci/own/"], "max_size": "8M" },
    { "id": "host", "principal": { "uid": 0 }, "may": ["attach"], "host": true,
      "targets": ["file", "memory"], "backing": ["/srv/ublk-oci/fixed/"], "max_size": "1G" },
    { "id": "grows", "principal": { "uid": 0 }, "may": ["attach", "resize"], "host": true,
      "targets": ["file"], "backing": ["/srv/ublk-oci/"], "max_size": "64M", "max_bytes": "120M",
      "zero_copy": true },
    { "id": "containers", "principal": { "uid": 0 }, "may": ["attach", "resize"],
      "targets": ["file"], "backing": ["/srv/ublk-oci/"], "max_size": "64M",
      "max_devices_per_container": 2, "max_bytes_per_container": "48M" } ] }
END
helper_start --policy "$policy"
bytes() { blockdev --getsize64 "$1"; }
listed() { ublk-oci list --json | jq ".[] | select(.device == \"${1#/dev/}\") | .size_bytes"; }
again() { # helper
    kill -KILL "$helper_pid" 2>/dev/null || true
    wait "$helper_pid" 2>/dev/null || true
    : >"$TEST_DIR/helper.log"
    "$@" --policy "$policy" 2>>"$TEST_DIR/helper.log" &
    helper_pid=$!
    helper_answers || fail "the helper does not answer"
}

truncate -s 32M /srv/ublk-oci/disk
dev=$(ublk-oci attach --host --target file --backing /srv/ublk-oci/disk)
if ! ublk-oci doctor --json | jq -e '.. | strings | select(test("UPDATE_SIZE"))' >/dev/null; then
    truncate -s 48M /srv/ublk-oci/disk
    expect_fail 'cannot change the size of a device \(UPDATE_SIZE, Linux 6.16\): detach it, and attach it again' \
        ublk-oci resize "$dev"
    [ "$(bytes "$dev")" = $((32 << 20)) ] && [ "$(listed "$dev")" = $((32 << 20)) ] || fail "it has another size"
    ublk-oci detach "$dev"
    dev=$(ublk-oci attach --host --target file --backing /srv/ublk-oci/disk)
    [ "$(bytes "$dev")" = $((48 << 20)) ] || fail "attached again it is not larger"
    ublk-oci detach "$dev"
    expect_nothing_left
    ok "resize: this kernel cannot, and that is said; attached again the device is larger"
    exit 0
fi

# --- what is refused, and changes nothing ---
worker=$(ublk-oci list --json | jq '.[0].worker.pid')
[ "$(ublk-oci resize "$dev")" = "${dev#/dev/}: 32M, as before" ] || fail "asked for what it is: $(ublk-oci resize "$dev")"
expect_fail 'has 33554432 bytes: make that larger first' ublk-oci resize "$dev" --size 33M
truncate -s 100M /srv/ublk-oci/disk
expect_fail 'cannot become smaller' ublk-oci resize "$dev" --size 16M
expect_fail 'not a multiple of its blocks' ublk-oci resize "$dev" --size 40000001
expect_fail 'is over its 64M' ublk-oci resize "$dev"
expect_fail 'size 0 is none' ublk-oci resize "$dev" --size 0
expect_fail 'no device' ublk-oci resize ublkb77
expect_fail 'no device' setpriv --reuid 4711 --regid "$(getent group ublk-oci | cut -d : -f 3)" --clear-groups \
    ublk-oci resize "$dev"
memory=$(ublk-oci attach --host --target memory --size 1M)
expect_fail 'target memory has its size for ever' ublk-oci resize "$memory" --size 2M
ublk-oci detach "$memory"
mkdir /srv/ublk-oci/fixed
truncate -s 1M /srv/ublk-oci/fixed/a
fixed=$(ublk-oci attach --host --target file --backing /srv/ublk-oci/fixed/a)
truncate -s 80M /srv/ublk-oci/fixed/a
expect_fail 'the policy refuses it' ublk-oci resize "$fixed"
[ "$(listed "$fixed")" = $((1 << 20)) ] || fail "it is listed with what was refused"
truncate -s 3M /srv/ublk-oci/fixed/a
ublk-oci resize "$fixed" >/dev/null # by the rule behind the one that gave it
ublk-oci detach "$fixed"
[ "$(bytes "$dev")" = $((32 << 20)) ] && [ "$(listed "$dev")" = $((32 << 20)) ] || fail "it has another size"
[ "$(ublk-oci list --json | jq '.[0].worker.pid')" = "$worker" ] || fail "it has another worker"
ok "resize: smaller, more than there is behind it, more than a rule gives, others' devices are refused"

# --- under load ---
fio --direct=1 --filename="$dev" --ioengine=io_uring --iodepth=8 --rw=randrw --bsrange=4k-64k --size=32M \
    --time_based --runtime=120 --verify=crc32c --verify_fatal=1 --verify_backlog=64 --name=all \
    --output="$TEST_DIR/fio.out" &
load=$!
sleep 1
for size in 40 48 64; do
    ublk-oci resize --json --size ${size}M "$dev" >"$TEST_DIR/said" || fail "resize to $size"
    jq -e ".size_bytes == $((size << 20)) and .pause_us > 0 and .error == \"\"" "$TEST_DIR/said" >/dev/null ||
        fail "it says $(cat "$TEST_DIR/said")"
    [ "$(bytes "$dev")" = $((size << 20)) ] || fail "the disk has $(bytes "$dev")"
    [ "$(listed "$dev")" = $((size << 20)) ] || fail "it is listed with $(listed "$dev")"
    # To its very end, and not a block further.
    head -c 64k /dev/urandom >"$TEST_DIR/end"
    dd if="$TEST_DIR/end" of="$dev" bs=64k seek=$((size * 16 - 1)) oflag=direct status=none
    cmp "$TEST_DIR/end" <(dd if=/srv/ublk-oci/disk bs=64k skip=$((size * 16 - 1)) count=1 status=none) ||
        fail "the end is not where it was written"
    kill -0 $load 2>/dev/null || fail "fio ended: $(tail -n 5 "$TEST_DIR/fio.out")"
done
kill -INT $load
status=0
wait $load || status=$?
[ $status = 128 ] || fail "fio ended with $status: $(grep -E 'err=|verify' "$TEST_DIR/fio.out")"
# The worker that serves it may write so much, and no more.
worker=$(ublk-oci list --json | jq '.[0].worker.pid')
grep -q "^Max file size  *$((64 << 20))  *$((64 << 20)) " "/proc/$worker/limits" ||
    fail "the worker's limit: $(grep 'file size' "/proc/$worker/limits")"
ok "resize: a device that is used grows three times, every block verified, the end written each time"

# --- what is kept for one is not another's: of the 120M there are 56 left ---
truncate -s 100M /srv/ublk-oci/other
other=$(ublk-oci attach --host --target file --backing /srv/ublk-oci/other --size 50M)
expect_fail 'over its 120M|are over' ublk-oci resize "$other" --size 60M
ublk-oci resize "$other" --size 56M >/dev/null
ublk-oci detach "$other"
ok "resize: what all devices of a rule have counts"

# --- who is not root, in a container, with a file system ---
mkdir -m 755 /srv/ublk-oci/own
truncate -s 4M /srv/ublk-oci/own/a
chown -R 4711 /srv/ublk-oci/own
as_owner() { setpriv --reuid 4711 --regid "$(getent group ublk-oci | cut -d : -f 3)" --clear-groups "$@"; }
own=$(as_owner ublk-oci attach --host --target file --backing /srv/ublk-oci/own/a)
truncate -s 16M /srv/ublk-oci/own/a
expect_fail 'is over its 8M' as_owner ublk-oci resize "$own"
as_owner ublk-oci resize "$own" --size 8M | found ': 8M, it was 4M; after a pause of' || fail "no word of it"
ublk-oci detach "$own"

bundle_make "$TEST_DIR/grows"
container_start crun grows "$TEST_DIR/grows"
truncate -s 32M /srv/ublk-oci/fs
mkfs.ext4 -q /srv/ublk-oci/fs
ublk-oci attach --container grows --device /dev/data --target file --backing /srv/ublk-oci/fs >/dev/null
truncate -s 64M /srv/ublk-oci/fs
expect_fail 'are over|over its 48M' ublk-oci resize --container grows --device /dev/data
ublk-oci resize --container grows --device /dev/data --size 48M >/dev/null
[ "$(crun exec grows sh -c 'dd if=/dev/data of=/dev/null bs=1M 2>&1 | head -n 1')" = "48+0 records in" ] ||
    fail "the container does not see it"
ublk-oci detach --container grows --device /dev/data
ok "resize: an owner who is not root, within the rule; a container sees the new size at once"

# --- devices made ahead, and what containers have of them ---
truncate -s 8M /srv/ublk-oci/ahead
ublk-oci device create ahead --target file --backing /srv/ublk-oci/ahead --size 4M >/dev/null
ublk-oci resize "$(ublk-oci device list --json | jq -r '.[0].device')" >/dev/null
ublk-oci device list --json | jq -e ".[0].size_bytes == $((8 << 20))" >/dev/null || fail "$(ublk-oci device list)"
grep -rq 8388608 /var/lib/ublk-oci/devices || fail "it would come back smaller: $(cat /var/lib/ublk-oci/devices/*)"
ublk-oci device remove ahead
ok "resize: a device made ahead comes back as large"

# --- a helper that dies at each step ---
for step in spawn_prepare ublk_quiesce ublk_recover_begin ublk_recover_end ublk_resize; do
    truncate -s 8M /srv/ublk-oci/step
    again "$steps"
    victim=$(ublk-oci attach --host --target file --backing /srv/ublk-oci/step)
    head -c 8M /dev/urandom >"$TEST_DIR/data"
    dd if="$TEST_DIR/data" of="$victim" bs=1M oflag=direct status=none
    again env "STEPS_DIE=$step" "$steps"
    truncate -s 12M /srv/ublk-oci/step
    ! ublk-oci resize "$victim" >/dev/null 2>&1 || fail "$step: the helper did not die"
    again ublk-ocid
    live() { ublk-oci list --json | jq -e "all(.[]; .state == \"live\")" >/dev/null; }
    wait_for 30 live
    [ "$(bytes "$victim")" = "$(listed "$victim")" ] ||
        fail "$step: the disk has $(bytes "$victim"), the list says $(listed "$victim")"
    cmp "$TEST_DIR/data" <(dd if="$victim" bs=1M count=8 iflag=direct status=none) || fail "$step: other data"
    ublk-oci resize "$victim" >/dev/null
    [ "$(bytes "$victim")" = $((12 << 20)) ] && [ "$(listed "$victim")" = $((12 << 20)) ] || fail "$step: it does not grow"
    ublk-oci detach "$victim"
done
ok "resize: the helper dies at five steps: the old size or the new one, the same everywhere, and asked again it grows"
ublk-oci detach "$dev"
expect_nothing_left
