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

# So that the silence below says something: another disk gets its links.
modprobe loop
truncate -s 4M "$TEST_DIR/loop"
mkfs.ext4 -q -U ${uuid}01 "$TEST_DIR/loop"
loop=$(losetup --find --show "$TEST_DIR/loop")
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
properties "$loop" | grep -q '^ID_FS_TYPE=ext4$' || fail "udev looked at nothing at all"
[ -n "$(links "$loop")" ] || fail "udev made no links at all"
ok "udev: it looks for no file system and makes no link, as it does for other disks"

unit=dev-${node#/dev/}.device
[ "$(systemctl is-active "$unit")" = inactive ] || fail "$unit is $(systemctl is-active "$unit")"
[ "$(systemctl is-active "dev-${loop#/dev/}.device")" = active ] || fail "systemd knows no disk"
ok "udev: systemd has no unit that others could hang on the device"

ublk-oci detach "$node" >/dev/null
expect_nothing_left
ok "udev: nothing is left"
