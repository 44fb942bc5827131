#!/bin/bash
# An image behind the helper as a service: what is read-only for the helper is written by its back end.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/service.sh"
requires systemctl jq qemu-img qemu-storage-daemon

dir=/srv/ublk-oci-images
mkdir -p $dir
mount -t tmpfs -o size=64M none $dir
undo umount $dir
cp /etc/ublk-oci/policy.json "$TEST_DIR/policy.json"
undo systemctl stop ublk-ocid.service
undo cp "$TEST_DIR/policy.json" /etc/ublk-oci/policy.json
cat >/etc/ublk-oci/policy.json <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["image"], "max_size": "1G",
      "backing": ["$dir/", "/home/", "/var/tmp/"], "formats": ["qcow2"] } ] }
END
service_start
systemctl restart ublk-ocid.service || fail "$(service_log)"
systemctl -q enable --now ublk-oci-nbd.socket
undo systemctl stop ublk-oci-nbd.service ublk-oci-nbd.socket

qemu-img create -q -f qcow2 $dir/a.qcow2 16M
dev=$(ublk-oci attach --host --target image --format qcow2 --backing $dir/a.qcow2) || fail "$(service_log)"
dd if=/dev/urandom of="$dev" bs=1M count=4 seek=2 conv=fsync status=none
cp "$dev" "$TEST_DIR/before"
pid=$(cat /sys/fs/cgroup$unit_cgroup/workers/backend-*/cgroup.procs)
systemctl restart ublk-ocid.service || fail "$(service_log)"
[ "$(cat /sys/fs/cgroup$unit_cgroup/workers/backend-*/cgroup.procs)" = "$pid" ] || fail "it is another one"
kill -KILL "$pid"
cmp "$dev" "$TEST_DIR/before" || fail "what was there is not: $(service_log)"
ublk-oci detach "$dev" >/dev/null
qemu-img check -q $dir/a.qcow2 || fail "the image is not sound"
qemu-img compare -q -f qcow2 -F raw $dir/a.qcow2 "$TEST_DIR/before" || fail "the image is not the device"
expect_nothing_left
ok "service: an image is written, outlives a restart of the helper, and the death of its back end"

# What the service does not see can be no image, and the error says what to do.
for place in /home /var/tmp; do
    mkdir -p $place/images
    undo rmdir $place/images
    mount -t tmpfs none $place/images
    undo umount $place/images
    qemu-img create -q -f qcow2 $place/images/a.qcow2 1M
    expect_fail 'as a service it has no /home.*move it elsewhere' \
        ublk-oci attach --host --target image --format qcow2 --backing $place/images/a.qcow2
done
expect_nothing_left
ok "service: an image in a place it does not see is refused, with the remedy"
