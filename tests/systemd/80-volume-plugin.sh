#!/bin/bash
# The volume plug-in as a service: started by its socket, shut in, and able to do its work inside.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/service.sh"
requires systemctl jq curl

[ -x /usr/sbin/ublk-oci-volume ] || skip "the plug-in is not built (libmicrohttpd)"
volumes=/var/lib/ublk-oci/volumes
socket=/run/docker/plugins/ublk-oci.sock
plugin_log() { journalctl -b -o cat -u ublk-oci-volume.service -u ublk-oci-store.service -n 20 --no-pager; }
cp /etc/ublk-oci/policy.json "$TEST_DIR/policy.json"
undo systemctl stop ublk-ocid.service
undo cp "$TEST_DIR/policy.json" /etc/ublk-oci/policy.json
cp /usr/share/doc/ublk-oci/examples/volume-plugins.json /etc/ublk-oci/policy.json
# The guest's /var may be an overlay, on which the helper takes no backing files.
if ! mountpoint -q $volumes; then
    mount -t tmpfs -o mode=700,uid="$(id -u ublk-oci-store)",gid="$(id -g ublk-oci-store)" store $volumes
    undo umount $volumes
fi
service_start
systemctl restart ublk-ocid.service || fail "$(service_log)"
systemctl -q enable --now ublk-oci-store.socket ublk-oci-volume.socket
undo systemctl stop ublk-oci-volume.service ublk-oci-volume.socket ublk-oci-store.service ublk-oci-store.socket
[ "$(stat -c '%a %U' $socket)" = '600 root' ] || fail "the socket: $(stat $socket)"
! systemctl -q is-active ublk-oci-volume.service || fail "it runs before somebody asks"

call() { # CALL BODY
    curl -sf --max-time 20 --unix-socket $socket --data-binary "$2" "http://plugin/VolumeDriver.$1" >"$TEST_DIR/answer" ||
        fail "$1: $(plugin_log)"
}
call Create '{"Name":"data","Opts":{"size":"16M"}}'
pid=$(systemctl show -P MainPID ublk-oci-volume.service)
grep -q "^Uid:.$(id -u ublk-oci-volume).$(id -u ublk-oci-volume)" "/proc/$pid/status" || fail "its uid"
[ "$(grep -c '^Cap[A-Z][a-z]*:.0000000000000000$' "/proc/$pid/status")" = 5 ] ||
    fail "capabilities: $(grep Cap "/proc/$pid/status")"
grep -q '^Seccomp:.2$' "/proc/$pid/status" || fail "no system call filter"
ok "volume plug-in: started by its socket, as its user, without capabilities"

call Mount '{"Name":"data","ID":"a"}'
dir=/run/ublk-oci-volume/data
grep -qE " $dir rw,nosuid,nodev.* - ext4 /dev/ublkb" /proc/1/mountinfo || fail "$(plugin_log; service_log)"
echo hello >$dir/hello
systemctl restart ublk-oci-volume.service ublk-oci-store.service ublk-ocid.service
call Mount '{"Name":"data","ID":"a"}'
[ "$(cat $dir/hello)" = hello ] || fail "other data"
! curl -sf --unix-socket $socket --data-binary '{"Name":"data"}' http://plugin/VolumeDriver.Remove ||
    fail "it is removed while it is used"
call Unmount '{"Name":"data","ID":"a"}'
call Remove '{"Name":"data"}'
[ -z "$(ls -A $volumes)" ] || fail "left: $(ls -A $volumes)"
expect_nothing_left
ok "volume plug-in: a volume stays mounted over a restart of plug-in, store and helper"
