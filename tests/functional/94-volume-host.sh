#!/bin/bash
# A volume mounted on the host: claimed there as a container would, and nobody else's meanwhile.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/store.sh"
requires crun jq setpriv mkfs.ext4 fsck.ext4 debugfs

dir=/srv/volume-host/pods/a
mkdir -p $dir /srv/volume-host/outside
undo rm -rf /srv/volume-host
jq '.rules += [{id: "host-mounts", principal: {uid: 0}, host: true, may: ["mount"], targets: ["file"],
        backing: ["/var/lib/ublk-oci/volumes/"], max_size: "1G",
        mount: {under: ["/srv/volume-host/pods/"], filesystems: ["ext4"], trust_raw_writers: true}}]' \
    /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
start() { helper_start --policy "$TEST_DIR/policy.json"; }
start
store_start --policy "$TEST_DIR/policy.json"

give() { ublk-oci attach --host --mount "${1:-$dir}" --fs ext4 --volume data "${@:2}"; }
mounted() { grep -qE " $dir ${1:-rw,nosuid,nodev}[^ ]* .*- ext4 /dev/ublkb" /proc/1/mountinfo; }
nothing_mounted() { ! grep -q /dev/ublkb /proc/1/mountinfo; }
is_clean() { fsck.ext4 -fn "$volumes/data/data" >"$TEST_DIR/fsck" 2>&1 || fail "fsck: $(cat "$TEST_DIR/fsck")"; }

ublk-oci volume create data --size 16M --fs ext4
give >/dev/null
mounted || fail "process 1 has: $(grep -F $dir /proc/1/mountinfo)"
echo hello >$dir/hello
give >/dev/null || fail "asked twice it fails"
[ "$(nr_devices)" = 2 ] || fail "asked twice made more: $(ublk-oci list)"
ublk-oci device list | found "$dir\$" || fail "device list: $(ublk-oci device list)"
ublk-oci list --json | jq -e --arg dir $dir '[.[] | select(.claim)] | .[0].host and .[0].path == $dir and
    .[0].filesystem == "ext4" and .[0].container == null' >/dev/null || fail "$(ublk-oci list --json)"
ok "volume host: it is mounted, and asked twice is one"

bundle_make "$TEST_DIR/one"
container_start crun one "$TEST_DIR/one"
expect_fail 'has it' ublk-oci attach --container one --volume data
mkdir /srv/volume-host/pods/b
give /srv/volume-host/pods/b >/dev/null
[ "$(cat /srv/volume-host/pods/b/hello)" = hello ] || fail "a second mount has other data"
ublk-oci detach --host --mount /srv/volume-host/pods/b
expect_fail "it is mounted at $dir" ublk-oci volume detach data
expect_fail 'volume data is attached' ublk-oci volume delete data
(cd $dir && exec sleep 1000) &
user=$!
wait_for 20 sh -c "[ \"\$(readlink /proc/$user/cwd)\" = $dir ] && grep -qx sleep /proc/$user/comm"
expect_fail "in use: cwd of pid $user" ublk-oci detach --host --mount $dir
kill $user
wait $user || true
mounted || fail "a detach that was refused took it"
ok "volume host: nobody else gets it, and who uses it keeps it"

kill -KILL "$helper_pid"
wait "$helper_pid" 2>/dev/null || true
start
mounted && [ "$(cat $dir/hello)" = hello ] || fail "it went with the helper"
ublk-oci detach --host --mount $dir
nothing_mounted || fail "still mounted: $(grep /dev/ublkb /proc/1/mountinfo)"
[ "$(volume_get data attached)" = true ] || fail "the volume is no longer attached"
ublk-oci attach --container one --volume data
ublk-oci detach --container one --device /dev/data
ublk-oci volume detach data
expect_nothing_left
is_clean
ok "volume host: another helper goes on with it; then it is free again, and clean"

expect_fail 'mount path /srv/volume-host/outside is not in its list' give /srv/volume-host/outside
expect_nothing_left
expect_fail 'is mounted on the host' \
    ublk-oci attach --container one --mount /data --fs ext4 --volume data
give $dir --read-only >/dev/null
mounted ro,nosuid,nodev || fail "it is not read-only"
[ "$(cat $dir/hello)" = hello ] || fail "other data"
ublk-oci detach --host --mount $dir
ublk-oci volume detach data
expect_nothing_left
give >/dev/null
echo forced >$dir/forced
ublk-oci detach --all
nothing_mounted || fail "still mounted: $(grep /dev/ublkb /proc/1/mountinfo)"
give >/dev/null
echo removed >$dir/removed
! ublk-oci volume detach data 2>/dev/null || fail "the volume is detached while it is mounted"
name=$(ublk-oci device list --json | jq -r '.[0].name')
ublk-oci device remove "$name" --force 2>"$TEST_DIR/said"
expect_nothing_left
nothing_mounted || fail "still mounted: $(grep /dev/ublkb /proc/1/mountinfo)"
is_clean
for word in forced removed; do
    [ "$(debugfs -R "cat $word" "$volumes/data/data" 2>/dev/null)" = $word ] || fail "$word is lost"
done
ublk-oci volume delete data
ok "volume host: what no rule names leaves nothing; read-only; by force it is unmounted before it ends"
