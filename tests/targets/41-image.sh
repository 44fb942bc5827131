#!/bin/bash
# Target image, and programs of a rule: a confined back end that lives and dies with its device.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/serve.sh"
requires jq fio qemu-img qemu-storage-daemon nbdkit mkfs.ext4 e2fsck

cat >/usr/libexec/ublk-oci-test-disk <<'END'
#!/bin/sh
exec /usr/bin/nbdkit --foreground memory 16M
END
chmod 755 /usr/libexec/ublk-oci-test-disk
undo rm /usr/libexec/ublk-oci-test-disk
dir=/srv/ublk-oci-images
mkdir -p $dir
mount -t tmpfs -o size=300M none $dir
undo umount $dir
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["nbd", "image"], "max_size": "1G",
      "backing": ["$dir/"], "formats": ["qcow2"], "nbd": ["exec:/usr/libexec/ublk-oci-test-disk"] } ] }
END
/usr/sbin/ublk-oci-nbd 2>>"$TEST_DIR/nbd.log" &
connector=$!
undo kill $connector
wait_for 10 test -S /run/ublk-oci/nbd.sock
helper_start --policy "$TEST_DIR/policy.json"
attach() { ublk-oci attach --host "$@"; }
detach() { ublk-oci detach "$1" >/dev/null; }
back_ends() { cat /sys/fs/cgroup/ublk-oci/workers/backend-*/cgroup.procs 2>/dev/null; }

image=$dir/a.qcow2
qemu-img create -q -f qcow2 $image 64M
dev=$(attach --target image --format qcow2 --backing $image --size 64M)
ublk-oci inspect "$dev" --sandbox >/dev/null || fail "not sealed"
mkfs.ext4 -q "$dev"
fio --name=v --filename="$dev" --ioengine=libaio --direct=1 --iodepth=8 --rw=randwrite --offset=32M \
    --bsrange=4k-256k --size=8M --verify=crc32c --verify_fatal=1 --fsync=32 --minimal >fio.out 2>&1 ||
    fail "fio: $(tail -n 3 fio.out)"
e2fsck -fn "$dev" >fsck.out 2>&1 || fail "$(cat fsck.out)"
cp "$dev" "$TEST_DIR/before"
ok "image: a file system and verified writes in a qcow2"

# Both die, one after the other; what was written is there.
before=$(back_ends)
[ "$(wc -w <<<"$before")" = 1 ] || fail "back ends: $before"
fio --name=k --filename="$dev" --ioengine=libaio --direct=1 --iodepth=8 --rw=randwrite --offset=32M \
    --bs=16k --size=8M --verify=crc32c --verify_fatal=1 --minimal >fio.out 2>&1 &
load=$!
sleep 0.5
kill -KILL "$before"
wait $load || fail "fio, killed: $(tail -n 3 fio.out)"
after=$(back_ends)
[ -n "$after" ] && [ "$after" != "$before" ] || fail "no other back end: $after"
kill -KILL "$(ublk-oci inspect "$dev" --json | jq .worker.pid)"
cmp -n $((32 << 20)) "$dev" "$TEST_DIR/before" || fail "what was there is not"
cp "$dev" "$TEST_DIR/before"
ok "image: back end and worker killed, one under load: no error, and the data is there"

expect_fail 'attached' attach --target image --format qcow2 --backing $image --size 64M
expect_fail 'format vmdk' attach --target image --format vmdk --backing $dir/../ublk-oci-images/a.qcow2 --size 1M
helper_stop
helper_start --policy "$TEST_DIR/policy.json"
cmp "$dev" "$TEST_DIR/before" || fail "another helper: what was there is not"
detach "$dev"
[ -z "$(back_ends)" ] || fail "a back end is left"
qemu-img check -q $image || fail "the image is not sound"
qemu-img compare -q -f qcow2 -F raw $image "$TEST_DIR/before" || fail "the image is not the device"
expect_nothing_left
ok "image: the same behind another helper; sound, and equal to the device, when that is gone"

qemu-img rebase -q -u -F raw -b /etc/shadow $image
expect_fail 'back end says: .*shadow' attach --target image --format qcow2 --backing $image --size 64M
[ -z "$(back_ends)" ] || fail "a back end is left"
ok "image: one that names another file is refused, with the back end's words"

dev=$(attach --target nbd --nbd exec:/usr/libexec/ublk-oci-test-disk --size 16M)
head -c 1M /dev/urandom >some
dd if=some of="$dev" bs=64k oflag=direct status=none
cmp -n $((1 << 20)) some "$dev" || fail "not what was written"
detach "$dev"
expect_fail 'not in its list' attach --target nbd --nbd exec:/usr/bin/true --size 16M
expect_nothing_left
ok "nbd: a program of a rule serves a device of its own"
