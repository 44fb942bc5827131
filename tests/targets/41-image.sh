#!/bin/bash
# Target image, and programs of a rule: a confined back end that lives and dies with its device.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/connector.sh"
. "$(dirname "$0")/../functional/serve.sh"
requires jq crun fio qemu-img qemu-storage-daemon nbdkit mkfs.ext4 e2fsck

program=/usr/libexec/ublk-oci-test-disk
cat >$program <<'END'
#!/bin/sh
exec /usr/bin/nbdkit --foreground memory 16M
END
chmod 755 $program
undo rm -f $program $program-link
ln -s $program $program-link
dir=/srv/ublk-oci-images
mkdir -p $dir
mount -t tmpfs -o size=300M none $dir
undo umount $dir
mkdir $dir/vm $dir/bases
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "may": ["attach", "resize"],
      "targets": ["nbd", "image"], "max_size": "1G", "backing": ["$dir/vm/"], "formats": ["qcow2", "raw", "vdi", "vmdk", "vhdx"],
      "image_chain": ["$dir/bases/"], "nbd": ["exec:$program", "exec:$program-link"] },
    { "id": "containers", "principal": { "uid": 0 }, "targets": ["nbd"], "max_size": "1G",
      "max_devices_per_container": 1, "nbd": ["exec:$program-sh"] } ] }
END
connector_start
helper_start --policy "$TEST_DIR/policy.json"
state_is() { [ "$(ublk-oci inspect "$dev" --json | jq -r .state)" = "$1" ]; }
verify() {
    fio --name=v --filename="$1" --ioengine=libaio --direct=1 --iodepth=8 --rw=randwrite --offset=32M \
        --bsrange=4k-256k --size=6M --verify=crc32c --verify_fatal=1 --minimal "${@:2}" >fio.out 2>&1
}

image=$dir/vm/a.qcow2
qemu-img create -q -f qcow2 $image 64M
chmod 600 $image
of_image=(--target image --format qcow2 --backing $image --size 64M)
dev=$(attach_host "${of_image[@]}")
ublk-oci inspect "$dev" --sandbox >sandbox.out || fail "not sealed: $(cat sandbox.out)"
head -c 64M /dev/zero >zero
"$build/tests/functional/model_device" "$dev" zero 7 300 keeps >model.out || fail "model: $(cat model.out)"
mkfs.ext4 -q "$dev"
verify "$dev" --fsync=32 || fail "fio: $(tail -n 3 fio.out)"
e2fsck -fn "$dev" >fsck.out 2>&1 || fail "$(cat fsck.out)"
pid=$(back_ends)
[ "$(wc -w <<<"$pid")" = 1 ] || fail "back ends: $pid"
[ "$(awk '/^Uid:/ { print $2 }' "/proc/$pid/status")" -ge 2100000000 ] || fail "$(grep Uid "/proc/$pid/status")"
[ "$(ls "/proc/$pid/root/image")" = 0 ] || fail "it sees $(ls "/proc/$pid/root/image")"
ok "image: a file system and verified writes in a qcow2"

# Both die, one after the other; what was written is there.
verify "$dev" --loops=3 &
load=$!
sleep 1.5
kill -KILL "$pid"
wait $load || fail "fio, killed: $(tail -n 3 fio.out)"
wait_for 30 state_is live
after=$(back_ends)
if [ -z "$after" ] || [ "$after" = "$pid" ]; then fail "no other back end: $after"; fi
cp "$dev" "$TEST_DIR/before"
kill -KILL "$(ublk-oci inspect "$dev" --json | jq .worker.pid)"
cmp "$dev" "$TEST_DIR/before" || fail "what was there is not"
[ "$(back_ends)" != "$after" ] || fail "it serves another worker"
ublk-oci upgrade "$dev" >/dev/null
cmp -n 1048576 "$dev" "$TEST_DIR/before" || fail "upgraded: what was there is not"
ok "image: back end and worker killed, one under load: no error, and the data is there"

expect_fail 'attached read-write already' attach_host "${of_image[@]}"
expect_fail 'format qed is not in its list' attach_host --target image --format qed --backing $image --size 1M
pid=$(back_ends)
helper_stop
helper_start --policy "$TEST_DIR/policy.json"
cmp -n 1048576 "$dev" "$TEST_DIR/before" || fail "another helper: what was there is not"
[ "$(back_ends)" = "$pid" ] || fail "another helper has another back end"
detach "$dev"
no_back_end || fail "a back end is left"
qemu-img check -q $image || fail "the image is not sound"
qemu-img compare -q -f qcow2 -F raw $image "$TEST_DIR/before" || fail "the image is not the device"
expect_nothing_left
[ "$(stat -c '%u:%g %a' $image)" = '0:0 600' ] || fail "the image is $(stat -c '%u:%g %a' $image) now"
ok "image: the same behind another helper; sound, and equal to the device, when that is gone"

# Larger while it is used, where the driver can; its size is the image's, if the rule allows that.
larger() { ublk-oci resize "$dev" --size "$1" >"$TEST_DIR/resize.out" 2>&1; }
bytes_of() { qemu-img info -U --output=json "$1" | jq '."virtual-size"'; }
qemu-img create -q -f qcow2 $dir/vm/large.qcow2 2G
expect_fail 'size 2G is over' attach_host --target image --format qcow2 --backing $dir/vm/large.qcow2
no_back_end || fail "a back end is left: $(back_ends)"
[ -z "$(ublk-oci list --json | jq -r '.[].device')" ] || fail "a device is left: $(ublk-oci list)"
cp $image $dir/vm/grows.qcow2
dev=$(attach_host --target image --format qcow2 --backing $dir/vm/grows.qcow2)
[ "$(blockdev --getsize64 "$dev")" = $((64 << 20)) ] || fail "its size: $(blockdev --getsize64 "$dev")"
if larger 96M; then
    [ "$(blockdev --getsize64 "$dev")" = $((96 << 20)) ] || fail "grown: $(blockdev --getsize64 "$dev")"
    cmp -n $((64 << 20)) "$dev" "$TEST_DIR/before" || fail "what was there is not, when it is larger"
    dd if=/dev/urandom of="$dev" bs=1M count=2 seek=90 conv=fsync status=none
    cp "$dev" "$TEST_DIR/grown"
    larger 64M && fail "it became smaller"
    larger 4G && fail "it became larger than its rule allows"
    grep -q 'policy' "$TEST_DIR/resize.out" || fail "$(cat "$TEST_DIR/resize.out")"
    expect_fail 'how large' ublk-oci resize "$dev"
    size=$((96 << 20))
else
    grep -q 'UPDATE_SIZE' "$TEST_DIR/resize.out" || fail "$(cat "$TEST_DIR/resize.out")"
    cp "$dev" "$TEST_DIR/grown"
    size=$((64 << 20))
fi
[ "$(bytes_of $dir/vm/grows.qcow2)" = $size ] || fail "the image has $(bytes_of $dir/vm/grows.qcow2)"
cmp "$dev" "$TEST_DIR/grown" || fail "what was there is not"
detach "$dev"
qemu-img check -q $dir/vm/grows.qcow2 || fail "the image that grew is not sound"
qemu-img compare -q -f qcow2 -F raw $dir/vm/grows.qcow2 "$TEST_DIR/grown" || fail "it is not what was written"
expect_nothing_left
ok "image: its size is the device's, within the rule; larger with it where the driver can"

for format in raw vdi vmdk vhdx; do
    qemu-img create -q -f $format $dir/vm/f.$format 16M
    dev=$(attach_host --target image --format $format --backing $dir/vm/f.$format)
    head -c 3M /dev/urandom >some
    dd if=some of="$dev" bs=1M seek=4 conv=fsync status=none
    [ $format = raw ] || { larger 32M && fail "$format grew"; }
    cp "$dev" "$TEST_DIR/grown"
    detach "$dev"
    cmp -n $((3 << 20)) <(tail -c +$(((4 << 20) + 1)) "$TEST_DIR/grown") some || fail "$format: not what was written"
    qemu-img compare -q -f $format -F raw $dir/vm/f.$format "$TEST_DIR/grown" || fail "$format: not the device"
done
expect_nothing_left
ok "image: raw, vdi, vmdk and vhdx"

# Over a base: read only, and where the rule says.
cp $image $dir/bases/base.qcow2
hash=$(sha256sum <$dir/bases/base.qcow2)
qemu-img create -q -f qcow2 -b $dir/bases/base.qcow2 -F qcow2 $dir/vm/top.qcow2
of_top=(--target image --format qcow2 --backing $dir/vm/top.qcow2 --size 64M --base-format qcow2)
dev=$(attach_host "${of_top[@]}" --base $dir/bases/base.qcow2)
cmp "$dev" "$TEST_DIR/before" || fail "it is not over its base"
dd if=/dev/urandom of="$dev" bs=1M count=2 seek=3 conv=fsync status=none
cp "$dev" "$TEST_DIR/before"
detach "$dev"
[ "$(sha256sum <$dir/bases/base.qcow2)" = "$hash" ] || fail "the base was written"
qemu-img check -q $dir/vm/top.qcow2 || fail "the image over a base is not sound"
qemu-img compare -q -f qcow2 -F raw $dir/vm/top.qcow2 "$TEST_DIR/before" || fail "it is not what was written"
expect_fail "base $image is not in its list" attach_host "${of_top[@]}" --base $image
expect_fail 'back end says: .*base.qcow2' attach_host --target image --format qcow2 --backing $dir/vm/top.qcow2 --size 64M
qemu-img rebase -q -u -F raw -b /etc/shadow $image
expect_fail 'back end says: .*shadow' attach_host "${of_image[@]}"
dd if=/dev/urandom of=$image bs=8 count=1 seek=3 conv=notrunc status=none
expect_fail 'back end says: ' attach_host "${of_image[@]}"
no_back_end || fail "a back end is left: $(back_ends)"
expect_nothing_left
ok "image: over a base of the rule's; one that names other files, and a broken one, are refused in words"

of_program=(--target nbd --nbd exec:$program)
dev=$(attach_host "${of_program[@]}")
[ "$(blockdev --getsize64 "$dev")" = $((16 << 20)) ] || fail "its size: $(blockdev --getsize64 "$dev")"
head -c 1M /dev/urandom >some
dd if=some of="$dev" bs=64k oflag=direct status=none
cmp -n $((1 << 20)) some "$dev" || fail "not what was written: $(tail -n 5 "$TEST_DIR/helper.log")"
# Without a record both are nobody's.
helper_stop
rm /run/ublk-oci/devices/*
helper_start --policy "$TEST_DIR/policy.json"
wait_for 20 no_back_end
expect_nothing_left
expect_fail 'not in its list' attach_host --target nbd --nbd exec:/usr/bin/true --size 16M
expect_fail 'is a link' attach_host --target nbd --nbd exec:$program-link --size 16M
chmod 775 $program
expect_fail 'others than root could change' attach_host "${of_program[@]}"
chmod 755 $program
chown 1 $program
expect_fail 'others than root could change' attach_host "${of_program[@]}"
expect_nothing_left
ok "nbd: a program of root's serves a device; one that others could change does not"

# As in the manual: a shell script behind nbdkit's sh plug-in, in a container.
cat >$program-sh <<END
#!/bin/sh
exec /usr/bin/nbdkit --foreground sh $program-sh.plugin
END
cat >$program-sh.plugin <<'END'
#!/bin/sh
case $1 in
get_size) echo 1M ;;
pread) printf "%$3s" "" ;;
*) exit 2 ;;
esac
END
chmod 755 $program-sh $program-sh.plugin
undo rm $program-sh $program-sh.plugin
bundle_make "$TEST_DIR/blanks"
container_start crun blanks "$TEST_DIR/blanks"
ublk-oci attach --container blanks --device /dev/blanks --target nbd --nbd exec:$program-sh --access ro >/dev/null
[ "$(crun exec blanks dd if=/dev/blanks bs=64k 2>/dev/null | tr -d -c ' ' | wc -c)" = $((1 << 20)) ] ||
    fail "not a disk of blanks: $(tail -n 5 "$TEST_DIR/helper.log")"
container_delete crun blanks
wait_for 20 nothing_left
no_back_end || fail "a back end is left"
ok "nbd: a shell script behind nbdkit serves a container's device"
