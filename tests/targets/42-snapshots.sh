#!/bin/bash
# The snapshots inside of an image in `inspect`, and what a back end says while it serves.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/connector.sh"
requires jq qemu-img qemu-io qemu-storage-daemon nbdkit

here=$(cd "$(dirname "$0")/../functional" && pwd)
dir=/srv/ublk-oci-images
program=/usr/libexec/ublk-oci-test-tray
mkdir -p $dir
mount -t tmpfs -o size=300M none $dir
undo umount $dir
cat >$program <<END
#!/bin/sh
exec /usr/bin/nbdkit --foreground sh $program.plugin
END
cat >$program.plugin <<'END'
#!/bin/sh
case $1 in
get_size) echo 1M ;;
pread)
    [ "$4" -lt 524288 ] || { printf 'EIO the tray\033[31m is open\n' >&2; exit 1; }
    printf "%$3s" ""
    ;;
*) exit 2 ;;
esac
END
chmod 755 $program $program.plugin
undo rm $program $program.plugin
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["nbd", "image"], "max_size": "1G",
      "backing": ["$dir/"], "formats": ["qcow2", "vdi"], "image_chain": ["$dir/"], "nbd": ["exec:$program"] } ] }
END
connector_start
helper_start --policy "$TEST_DIR/policy.json"
snapshots() { ublk-oci inspect "$dev" --json >inspect.json && jq -c "[.snapshots_error, .snapshots]" inspect.json; }

image=$dir/a.qcow2
qemu-img create -q -f qcow2 $image 8M
qemu-img snapshot -c before $image
qemu-img snapshot -c $'\e[31mx\n' $image
dev=$(attach_host --target image --format qcow2 --backing $image)
dd if=/dev/urandom of="$dev" bs=64k count=4 oflag=direct status=none
pid=$(back_ends)
snapshots >list
jq -e '.snapshots_error == null and [.snapshots[] | .id, .name] == ["1", "before", "2", "\\x1b[31mx\\x0a"] and
    all(.snapshots[]; .created > 1000000000 and .vm_state_bytes == 0)' inspect.json >/dev/null || fail "$(cat list)"
[ "$(back_ends)" = "$pid" ] || fail "a tool is left, or another back end: $(back_ends)"
for left in /sys/fs/cgroup/ublk-oci/workers/backend-*-b; do
    [ ! -e "$left" ] || fail "$left is left"
done
generation=$(jq -r .generation inspect.json)
python3 "$here/wire.py" snapshots "$generation" >says.json || fail "wire: $(cat says.json)"
jq -e '.filename == "/image/0" and (.snapshots | length) == 2' says.json >/dev/null || fail "$(cat says.json)"
setpriv --reuid 1000 --regid 1000 --groups "$(getent group ublk-oci | cut -d : -f 3)" \
    python3 - foreign "$generation" <"$here/wire.py" || fail "another user sees it"
cp "$dev" copy
detach "$dev"
qemu-img check -q $image || fail "the image is not sound"
qemu-img compare -q -f qcow2 -F raw $image copy || fail "the image is not the device"
[ "$(qemu-img snapshot -l $image | grep -c ' before ')" = 1 ] || fail "$(qemu-img snapshot -l $image)"
expect_nothing_left
ok "inspect: the snapshots of an image, to who may see the device, in harmless characters"

# Over a base, of which nothing is said; and what can have none.
qemu-img create -q -f qcow2 -b $image -F qcow2 $dir/top.qcow2
dev=$(attach_host --target image --format qcow2 --backing $dir/top.qcow2 --base $image --base-format qcow2)
[ "$(snapshots)" = '[null,[]]' ] || fail "over a base: $(snapshots)"
detach "$dev"
qemu-img create -q -f vdi $dir/a.vdi 1M
dev=$(attach_host --target image --format vdi --backing $dir/a.vdi)
[ "$(snapshots)" = '[null,null]' ] || fail "vdi: $(snapshots)"
detach "$dev"
expect_nothing_left
ok "inspect: an image without snapshots, and one that can have none"

dev=$(attach_host --target nbd --nbd exec:$program --access ro)
dd if="$dev" bs=4k count=1 skip=200 iflag=direct status=none of=/dev/null 2>dd.out && fail "it was read"
pid=$(back_ends | head -n 1)
[ -n "$pid" ] || fail "there is no back end"
kill -KILL "$pid"
wait_for 30 grep -q 'its back end said: .*the tray.*31m is open' "$TEST_DIR/helper.log"
grep -q $'\e' "$TEST_DIR/helper.log" && fail "$(grep said "$TEST_DIR/helper.log" | cat -v)"
dd if="$dev" bs=4k count=1 iflag=direct status=none of=/dev/null || fail "no other back end serves it"
[ "$(grep -c 'its back end said' "$TEST_DIR/helper.log")" = 1 ] || fail "$(grep said "$TEST_DIR/helper.log")"
detach "$dev"
expect_nothing_left
ok "nbd: what a back end said while it served is in the log when it is lost"

# A file that is many times its disk has room for one more of it.
qemu-img create -q -f qcow2 $dir/full.qcow2 8M
for i in {1..11}; do
    qemu-io -f qcow2 -c "write -P $i 0 8M" $dir/full.qcow2 >/dev/null
    qemu-img snapshot -c "s$i" $dir/full.qcow2
done
[ "$(stat -c %s $dir/full.qcow2)" -gt $((80 << 20)) ] || fail "it has $(stat -c %s $dir/full.qcow2) bytes"
dev=$(attach_host --target image --format qcow2 --backing $dir/full.qcow2)
dd if=/dev/urandom of="$dev" bs=1M count=8 oflag=direct status=none || fail "no room beside its snapshots"
detach "$dev"
qemu-img check -q $dir/full.qcow2 || fail "it is not sound"
expect_nothing_left
ok "snapshots: what they keep does not count against the device"
