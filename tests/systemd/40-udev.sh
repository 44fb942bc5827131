#!/bin/bash
# The host's udev does not read what containers write on their devices.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/service.sh"
requires systemctl udevadm mkfs.ext4 losetup jq

service_start
uuid=6f63692d-0000-4000-8000-0000000000
links() { find /dev/disk -lname "*/${1#/dev/}"; }
properties() { udevadm info --query=property "$1"; }

# So that the silence below says something: whatever rules come later ask for it,
# and another disk gets its links.
mkdir -p /run/udev/rules.d
echo 'ACTION!="remove", SUBSYSTEM=="block", KERNEL=="loop*|ublkb*", OPTIONS+="watch"' \
    >/run/udev/rules.d/60-test-watch.rules
undo rm /run/udev/rules.d/60-test-watch.rules
udevadm control --reload
modprobe loop
truncate -s 4M "$TEST_DIR/loop"
mkfs.ext4 -q -U ${uuid}01 "$TEST_DIR/loop"
loop=$(losetup --find --show --partscan "$TEST_DIR/loop")
undo losetup -d "$loop"
wait_for 20 test -e /dev/disk/by-uuid/${uuid}01
udevadm settle

node=$(ublk-oci attach --host --target memory --size 8M) || fail "$(service_log)"
udevadm settle
[ "$(stat -c '%a %U:%G' "$node")" = '600 root:root' ] || fail "$(stat -c '%a %U:%G' "$node")"
ok "udev: a device belongs to root alone, not to group disk"

mkfs.ext4 -q -L ublk-oci -U ${uuid}02 "$node"
sync "$node"
udevadm trigger --action=change --settle "/sys/block/${node#/dev/}"
properties "$node" >"$TEST_DIR/properties"
for property in UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG=1 SYSTEMD_READY=0 DM_MULTIPATH_DEVICE_PATH=0; do
    grep -q -x $property "$TEST_DIR/properties" || fail "no $property: $(cat "$TEST_DIR/properties")"
done
! grep -E '^(ID_FS_|ID_PART|DEVLINKS=.*disk)' "$TEST_DIR/properties" || fail "udev looked at it"
[ -z "$(links "$node")" ] || fail "links: $(links "$node")"
[ ! -e /dev/disk/by-uuid/${uuid}02 ] || fail "there is a link by UUID"
properties "$loop" | found '^ID_FS_TYPE=ext4$' || fail "udev looked at nothing at all"
[ -n "$(links "$loop")" ] || fail "udev made no links at all"
ok "udev: it looks for no file system and makes no link, as it does for other disks"

unit=dev-${node#/dev/}.device
[ "$(systemctl is-active "$unit")" = inactive ] || fail "$unit is $(systemctl is-active "$unit")"
[ "$(systemctl is-active "dev-${loop#/dev/}.device")" = active ] || fail "systemd knows no disk"
ok "udev: systemd has no unit that others could hang on the device"

# A partition table, written by whoever has the disk; udev looks when a writer closes one.
udevadm monitor --kernel --subsystem-match=block >"$TEST_DIR/events" &
undo kill $!
wait_for 20 grep -q '^KERNEL - ' "$TEST_DIR/events"
printf '\0\0\2\0\x83\xff\xff\xff\0\x08\0\0\0\x08\0\0' >"$TEST_DIR/table"
head -c 48 /dev/zero >>"$TEST_DIR/table"
printf '\x55\xaa' >>"$TEST_DIR/table"
for disk in "$node" "$loop"; do
    dd if="$TEST_DIR/table" of="$disk" bs=1 seek=446 conv=notrunc,fsync 2>/dev/null
done
# While udev is busy with a disk it does not look again; another writer makes it.
looked() {
    [ ! -e "/sys/block/${loop#/dev/}/${loop#/dev/}p1" ] || return 0
    sleep 1
    : 7<>"$loop" 8<>"$node"
    return 1
}
wait_for 30 looked
udevadm settle
grep -q " change .*/block/${loop#/dev/} " "$TEST_DIR/events" || fail "$(cat "$TEST_DIR/events")"
! grep "/block/${node#/dev/} " "$TEST_DIR/events" || fail "udev looks when it is written"
udevadm trigger --action=change --settle "/sys/block/${node#/dev/}"
! compgen -G "/sys/block/${node#/dev/}/${node#/dev/}p*" || fail "there is a partition"
! grep "${node#/dev/}p" /proc/partitions || fail "there is a partition"
ok "udev: a writer that closes it is no event, and no partition is found, as on other disks"

ublk-oci detach "$node" >/dev/null
expect_nothing_left
ok "udev: nothing is left"
