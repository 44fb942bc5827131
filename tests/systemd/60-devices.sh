#!/bin/bash
# Devices made ahead under the unit: listed for engines, and back after a start of the machine.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/service.sh"
requires systemctl jq crun busybox

list=/run/cdi/ublk-oci.json
service_start
[ "$(systemctl is-enabled ublk-oci-devices.service)" = enabled ] || fail "not enabled with the socket"
mkdir -p /srv/ublk-oci
mountpoint -q /srv/ublk-oci || { mount -t tmpfs srv /srv/ublk-oci && undo umount /srv/ublk-oci; }
truncate -s 4M /srv/ublk-oci/kept.img
undo rm -f /srv/ublk-oci/kept.img
ublk-oci device create kept --target file --backing /srv/ublk-oci/kept.img || fail "$(service_log)"
jq -e '[.devices[].name] == ["kept"]' "$list" >/dev/null || fail "the list: $(cat "$list")"
[ "$(stat -c %a /var/lib/ublk-oci/devices)" = 700 ] || fail "others look into it"
ok "devices: what is made ahead is listed and written down, under the unit's limits"

hooks() {
    jq -r '.devices[0].containerEdits.hooks[] | ".hooks.\(.hookName) += [\({path, args} | tojson)]"' "$list" |
        paste -sd '|'
}
bundle_make "$TEST_DIR/one" "$(hooks)"
container_start crun one "$TEST_DIR/one" || fail "$(service_log)"
crun exec one sh -c 'echo hello >/tmp/w; dd if=/tmp/w of=/dev/kept bs=512 count=1 conv=sync,fsync 2>/dev/null'
crun delete -f one
ok "devices: a container claims it"

# As after a loss of power: nobody serves, nothing is known, and the units start as they would.
systemctl kill --signal=KILL --kill-whom=all ublk-ocid.service 2>/dev/null || true
for cgroup in "/sys/fs/cgroup$unit_cgroup"/{workers/*,keeper}/; do
    [ ! -e "$cgroup/cgroup.kill" ] || echo 1 >"$cgroup/cgroup.kill"
done
systemctl stop ublk-ocid.service ublk-ocid.socket 2>/dev/null
rm -f /run/ublk-oci/devices/* /run/ublk-oci/stats/* "$list"
systemctl reset-failed ublk-ocid.service 2>/dev/null || true
systemctl start ublk-ocid.socket
systemctl restart ublk-oci-devices.service || fail "$(journalctl -b -o cat -u ublk-oci-devices -n 20)"
wait_for 20 test -e "$list"
[ "$(ublk-oci device list --json | jq -r '.[] | .name + " " + .state')" = 'kept live' ] ||
    fail "$(ublk-oci device list; service_log)"
bundle_make "$TEST_DIR/two" "$(hooks)"
container_start crun two "$TEST_DIR/two" || fail "$(service_log)"
[ "$(crun exec two dd if=/dev/kept bs=5 count=1 2>/dev/null)" = hello ] || fail "not what was written"
crun delete -f two
ok "devices: the unit makes it again, and the next container reads what the first wrote"

wait_for 20 sh -c "ublk-oci device list --json | jq -e '.[0].claims == []'"
ublk-oci device remove kept
expect_nothing_left
[ -z "$(ls -A /var/lib/ublk-oci/devices)" ] || fail "it would come back"
[ ! -e "$list" ] || fail "it is still listed"
ok "devices: what is removed does not come back"
