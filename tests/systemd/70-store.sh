#!/bin/bash
# The store as a service: started by its socket, shut in, and able to do its work inside.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/service.sh"
requires systemctl crun jq busybox setpriv

volumes=/var/lib/ublk-oci/volumes
store_log() { journalctl -b -o cat -u ublk-oci-store.service -n 20 --no-pager; }
cp /etc/ublk-oci/policy.json "$TEST_DIR/policy.json"
undo systemctl stop ublk-ocid.service
undo cp "$TEST_DIR/policy.json" /etc/ublk-oci/policy.json
# The guest's /var may be an overlay, on which the helper takes no backing files.
if ! mountpoint -q $volumes; then
    mount -t tmpfs -o mode=700,uid="$(id -u ublk-oci-store)",gid="$(id -g ublk-oci-store)" store $volumes
    undo umount $volumes
fi
service_start
systemctl restart ublk-ocid.service || fail "$(service_log)"
systemctl -q enable --now ublk-oci-store.socket
undo systemctl stop ublk-oci-store.service ublk-oci-store.socket
[ "$(stat -c '%a %U %G' /run/ublk-oci-store/store.sock)" = '660 ublk-oci-store ublk-oci' ] ||
    fail "the socket: $(stat /run/ublk-oci-store/store.sock)"
! systemctl -q is-active ublk-oci-store.service || fail "it runs before somebody asks"

truncate -s 8M /root/image
echo hello | dd of=/root/image conv=notrunc 2>/dev/null
undo rm -f /root/image /root/out
ublk-oci volume create data --from /root/image --size 16M || fail "$(store_log)"
ublk-oci volume export data /root/out || fail "$(store_log)"
cmp -n 8388608 /root/image /root/out || fail "other bytes"
pid=$(systemctl show -P MainPID ublk-oci-store.service)
grep -q "^Uid:.$(id -u ublk-oci-store).$(id -u ublk-oci-store)" "/proc/$pid/status" || fail "its uid"
[ "$(grep -c '^Cap[A-Z][a-z]*:.0000000000000000$' "/proc/$pid/status")" = 5 ] ||
    fail "capabilities: $(grep Cap "/proc/$pid/status")"
grep -q '^Seccomp:.2$' "/proc/$pid/status" || fail "no system call filter"
grep -q '^NoNewPrivs:.1$' "/proc/$pid/status" || fail "it can get privileges"
ok "store: started by its socket, as its user, without capabilities; images in and out of homes"

# The probe makes a sandbox of its own inside the unit's.
ublk-oci volume create disk --size 16M
ublk-oci volume format disk --fs ext4 || fail "$(store_log)"
[ "$(ublk-oci volume inspect disk --json | jq -r .content)" = ext4 ] || fail "$(store_log)"
[ "$(ublk-oci volume check disk)" = 'disk: ext4, clean' ] || fail "$(store_log)"
ublk-oci volume delete disk
ok "store: looks into volumes, and works on them, from inside its unit"

bundle_make "$TEST_DIR/one"
container_start crun one "$TEST_DIR/one"
ublk-oci attach --container one --volume data || fail "$(store_log; service_log)"
[ "$(crun exec one dd if=/dev/data bs=5 count=1 2>/dev/null)" = hello ] || fail "it is not the image"
systemctl restart ublk-oci-store.service
expect_fail 'volume data is attached' ublk-oci volume delete data
systemctl restart ublk-ocid.service
expect_fail 'volume data is attached' ublk-oci volume clone data copy
[ "$(crun exec one dd if=/dev/data bs=5 count=1 2>/dev/null)" = hello ] || fail "it lost its device"
crun delete -f one
wait_for 20 ublk-oci volume detach data
ublk-oci volume resize data --size 32M
ublk-oci volume snapshot data then
ublk-oci volume delete then
ublk-oci volume delete data --wipe
[ -z "$(ls -A $volumes)" ] || fail "left: $(ls -A $volumes)"
expect_nothing_left
ok "store: a container has a volume, over a restart of store and helper"
