#!/bin/bash
# A device's file system mounted on the host, as volume plug-ins need it.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/steps.sh"
. "$(dirname "$0")/caller.sh"
requires jq mkfs.ext4 fsck.ext4 dumpe2fs debugfs setpriv unshare

srv_mount 200M
umask 022
chmod 711 "$TEST_DIR"

# As long as Kubernetes makes them.
pods=/var/lib/kubelet/pods
dir=$pods/6a1c2c2e-1a5f-4b43-9e0e-3b2f1c0d9e8f/volumes/kubernetes.io~csi/pvc-0b9d8a7c-6e5f-4d3c-2b1a-0f9e8d7c6b5a/mount
mine=/srv/host-mount/user
undo rm -rf /var/lib/kubelet /srv/host-mount
mkdir -p "$dir" $mine/own $mine/roots $mine/others /srv/host-mount/outside
chown 1000 $mine $mine/own
chown 1001 $mine/others

cat >"$TEST_DIR/policy.json" <<'END'
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "mounts", "principal": { "uid": 0 }, "host": true, "may": ["mount"], "targets": ["file"],
      "backing": ["/srv/ublk-oci/"], "max_size": "1G",
      "mount": { "under": ["/var/lib/kubelet/pods/"], "filesystems": ["ext4"] } },
    { "id": "inside", "principal": { "uid": 0 }, "may": ["mount"], "targets": ["file"],
      "backing": ["/srv/ublk-oci/"], "max_size": "1G", "max_devices_per_container": 4,
      "mount": { "under": ["/srv/host-mount/"], "filesystems": ["ext4"] } },
    { "id": "devices", "principal": { "uid": 0 }, "host": true, "targets": ["file"],
      "backing": ["/srv/ublk-oci/"], "max_size": "1G" },
    { "id": "user", "principal": { "uid": 1000 }, "host": true, "may": ["mount"], "targets": ["file"],
      "backing": ["/srv/ublk-oci/user/"], "max_size": "1G",
      "mount": { "under": ["/srv/host-mount/user/"], "filesystems": ["ext4"], "trust_raw_writers": true } },
    { "id": "untrusted", "principal": { "uid": 1001 }, "host": true, "may": ["mount"], "targets": ["file"],
      "backing": ["/srv/ublk-oci/"], "backing_owner": "any", "max_size": "1G",
      "mount": { "under": ["/srv/host-mount/user/"], "filesystems": ["ext4"] } } ] }
END
chmod 644 "$TEST_DIR/policy.json"
start() { helper_start --policy "$TEST_DIR/policy.json"; }
kill_helper() {
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
}
start

image=/srv/ublk-oci/host.img
image_make() { # FILE
    rm -f "$1"
    truncate -s 32M "$1"
    mkfs.ext4 -q -F "$1"
}
image_make $image
# give [DIR [OPTION...]]
give() {
    ublk-oci attach --host --mount "${1:-$dir}" --fs ext4 --target file --backing "$image" "${@:2}"
}
take() { ublk-oci detach --host --mount "${1:-$dir}" "${@:2}"; }
# Where process 1 has it; FIELDS (grep -E) are the mount's options and what follows them.
mounted() { # [DIR [FIELDS]]
    grep -qE " ${1:-$dir} ${2:-rw,nosuid,nodev}[^ ]* .*- ext4 /dev/ublkb" /proc/1/mountinfo
}
nothing_mounted() { ! grep -q '/dev/ublkb' /proc/1/mountinfo; }
gone() {
    expect_nothing_left
    nothing_mounted || fail "still mounted: $(grep /dev/ublkb /proc/1/mountinfo)"
}
# What it was unmounted as: everything written, no journal to be read again.
is_clean() {
    fsck.ext4 -fn "$image" >"$TEST_DIR/fsck" 2>&1 || fail "fsck: $(cat "$TEST_DIR/fsck")"
    ! dumpe2fs -h "$image" 2>/dev/null | found needs_recovery || fail "it was not unmounted"
}
refuse() { # PATTERN COMMAND...
    expect_fail "$@"
    nothing_left || fail "${*:2}: left: $(leftovers)"
    nothing_mounted || fail "${*:2}: something is mounted"
}

# --- mounted, used, and unmounted ----------------------------------------------

said=$(give)
[ "$said" = "ublkb0 is mounted at $dir" ] || fail "attach: $said"
mounted || fail "process 1 has: $(grep -F "$dir" /proc/1/mountinfo)"
dd if=/dev/urandom of="$dir/f" bs=64k count=64 2>/dev/null
sync "$dir/f"
sum=$(sha256sum <"$dir/f")
[ "$(stat -c %a /dev/ublkb0)" = 600 ] || fail "the device: $(ls -l /dev/ublkb0)"
ok "host mount: a file system is mounted where process 1 sees it, nosuid and nodev"

ublk-oci list | found "(host) *$dir (ext4)" || fail "list: $(ublk-oci list)"
ublk-oci list --json | jq -e --arg dir "$dir" '.[0] | .host and .container == null and
    .path == $dir and .filesystem == "ext4" and .rule == "mounts"' >/dev/null || fail "$(ublk-oci list --json)"
ublk-oci inspect ublkb0 --json | jq -e --arg dir "$dir" '.path == $dir and .filesystem == "ext4"' >/dev/null ||
    fail "inspect: $(ublk-oci inspect ublkb0)"
[ "$(ublk-oci repair)" = 'nothing is there that belongs to nobody' ] || fail "$(ublk-oci repair)"
ok "host mount: list and inspect show the directory, and repair finds nothing"

generation=$(ublk-oci list --json | jq -r '.[0].generation')
give >/dev/null || fail "asked twice it fails"
ln -s "$dir" "$pods/link"
give "$pods/link" >/dev/null || fail "asked by another name it fails"
[ "$(ublk-oci list --json | jq -r '.[].generation')" = "$generation" ] || fail "asked twice made two"
[ "$(grep -c /dev/ublkb /proc/1/mountinfo)" = 1 ] || fail "it is mounted twice"
mkdir "$pods/second"
expect_fail 'attached read-write already' give "$pods/second"
image=/srv/ublk-oci/second.img
image_make $image
expect_fail 'another device \(ublkb0\) is at' give
image=/srv/ublk-oci/host.img
umount "$dir"
give >/dev/null || fail "asked again after an umount it fails"
[ "$(sha256sum <"$dir/f")" = "$sum" ] || fail "it was not mounted again"
ok "host mount: asked twice is one; one file is mounted once, and one directory has one"

(cd "$dir" && exec sleep 1000) &
user=$!
wait_for 20 is_now $user sleep
expect_fail "in use: cwd of pid $user \(sleep\).*--force" take
[ "$(sha256sum <"$dir/f")" = "$sum" ] || fail "a detach that was refused took it"
mkdir "$TEST_DIR/bound"
kill $user
wait $user || true
mount --bind "$dir" "$TEST_DIR/bound"
expect_fail 'the host has mounted it elsewhere, too' take
umount "$TEST_DIR/bound"
take
gone
[ -d "$dir" ] && [ -z "$(ls -A "$dir")" ] || fail "the directory: $(ls -la "$dir")"
is_clean
ok "host mount: who uses it keeps it, and is named; then it goes, and the disk is clean"

give "$dir" --read-only >/dev/null
mounted "$dir" ro,nosuid,nodev || fail "it is not read-only"
[ "$(sha256sum <"$dir/f")" = "$sum" ] || fail "other data"
ublk-oci detach ublkb0
gone
give >/dev/null
(cd "$dir" && exec sleep 1000) &
user=$!
wait_for 20 is_now $user sleep
echo forced >"$dir/forced"
take "$dir" --force 2>"$TEST_DIR/said"
grep -q 'in use: cwd of pid' "$TEST_DIR/said" || fail "force: $(cat "$TEST_DIR/said")"
gone
kill $user
wait $user || true
fsck.ext4 -fy "$image" >"$TEST_DIR/fsck" 2>&1 || [ $? = 1 ] || fail "fsck: $(cat "$TEST_DIR/fsck")"
[ "$(debugfs -R 'cat forced' "$image" 2>/dev/null)" = forced ] || fail "what was written is lost"
ok "host mount: read-only; detached by its own name; by force from who uses it"

node=$(ublk-oci attach --host --target file --backing "$image")
[ -b "$node" ] || fail "a device for the host: $node"
ublk-oci list | found "(host) *$node " || fail "list: $(ublk-oci list)"
expect_fail 'no device of yours is mounted at' take
ublk-oci detach --host "$node"
gone
ok "host mount: a device for the host is what it was"

# --- what is refused -----------------------------------------------------------

mkdir "$pods/full" "$pods/full/a"
: >"$pods/file"
ln -s /srv/host-mount/outside "$pods/out"
refuse 'rule "mounts": mount path /srv/host-mount/outside is not in its list' give /srv/host-mount/outside
refuse 'mount path /srv/host-mount/outside is not in its list' give "$pods/out"
refuse 'mount path /var/lib/kubelet/pods is not in its list' give $pods
refuse 'no place to mount at' give $pods/second/..
refuse 'no place to mount at' give $pods/../../../../srv/host-mount/outside
refuse "$pods/full on the host is not empty" give "$pods/full"
refuse 'cannot open the directory' give "$pods/file"
refuse 'cannot open the directory' give "$pods/none"
refuse 'others than root could write' sh -c "chmod 666 $image && ublk-oci attach --host --mount $dir --fs ext4 \
    --target file --backing $image"
chmod 644 "$image"
truncate -s 32M /srv/ublk-oci/zeroes.img
expect_fail 'cannot mount it as ext4' ublk-oci attach --host --mount "$dir" --fs ext4 --target file \
    --backing /srv/ublk-oci/zeroes.img
gone
# A mount namespace of their own: what they would have covered is not what the host has.
refuse "open it in the host's mount namespace" unshare -m ublk-oci attach --host --mount "$dir" --fs ext4 \
    --target file --backing "$image"
refuse "open it in the host's mount namespace" unshare -m sh -c "mount -t tmpfs none $dir &&
    ublk-oci attach --host --mount $dir --fs ext4 --target file --backing $image"
[ -z "$(find "$dir" "$pods/second" /srv/host-mount/outside -mindepth 1)" ] || fail "something is there"
ok "host mount: outside of what the rule names, also by links and dots, and what is not empty or no directory"

# --- callers who are not root --------------------------------------------------

mkdir -m 711 /srv/ublk-oci/user
image=/srv/ublk-oci/user/a.img
image_make $image
chown 1000 $image
theirs() { as "$1" ublk-oci attach --host --mount "$2" --fs ext4 --target file --backing "$image"; }
refuse "$mine/others belongs to uid 1001, not to root or uid 1000" theirs 1000 $mine/others
refuse 'mount path /srv/host-mount/outside is not in its list' theirs 1000 /srv/host-mount/outside
refuse 'others than root could write' sh -c "chmod 666 $image; exec setpriv --reuid 1001 --regid 1001 --groups \
    $group_id ublk-oci attach --host --mount $mine/others --fs ext4 --target file --backing $image"
for place in own roots; do
    theirs 1000 $mine/$place >/dev/null || fail "uid 1000 may not: $place"
    mounted "$mine/$place" || fail "$place is not mounted"
    theirs 1000 $mine/$place >/dev/null || fail "$place: asked twice it fails"
    [ "$(nr_devices)" = 1 ] || fail "$place: asked twice made two"
    expect_fail 'no device of yours' as 1001 ublk-oci detach --host --mount $mine/$place
    as 1000 ublk-oci detach --host --mount $mine/$place
    gone
done
ok "host mount: who is not root gets it on a directory of theirs or of root's, and detaches it"

# --- what dies -----------------------------------------------------------------

image=/srv/ublk-oci/host.img
image_make $image
give >/dev/null
worker() { ublk-oci list --json | jq '.[0].worker.pid'; }
has_other_worker() { [ "$(ublk-oci list --json | jq -r '.[0].state')" = live ] && [ "$(worker)" != "$1" ]; }
(
    for ((i = 0; i < 20; i++)); do
        dd if=/dev/urandom of="$dir/$i" bs=16k count=16 conv=fsync 2>/dev/null
        (cd "$dir" && sha256sum $i >>sums)
    done
    : >"$dir/end"
) &
writer=$!
for i in 3 9; do
    wait_for 60 test -e "$dir/$i"
    pid=$(worker)
    kill -KILL "$pid"
    wait_for 60 has_other_worker "$pid"
done
wait_for 60 test -e "$dir/12"
kill_helper
mounted || fail "it went with the helper"
start
wait $writer || fail "somebody who writes got errors"
[ "$(cd "$dir" && sha256sum -c sums 2>&1 | grep -c OK)" = 20 ] || fail "other data"
mounted || fail "the next helper unmounted it"
take
gone
is_clean
ok "host mount: two workers and the helper die under load: every file is whole"

# One that dies when it has unmounted it, and may still be refused, leaves it mounted.
for step in filesystem_insert op_update:3 op_begin_undo filesystem_wait_gone; do
    helper_stop
    case $step in
    filesystem_insert | op_update:3) ;;
    *)
        start
        give >/dev/null
        kill_helper
        ;;
    esac
    : >"$TEST_DIR/helper.log"
    steps_start STEPS_DIE=$step --policy "$TEST_DIR/policy.json"
    case $step in
    filesystem_insert | op_update:3) ! give >/dev/null 2>&1 || fail "$step: the attach went well" ;;
    *) ! take >/dev/null 2>&1 || fail "$step: the detach went well" ;;
    esac
    steps_died $step
    start
    if [ $step = op_begin_undo ]; then
        wait_for 20 mounted
        wait_for 20 all_live
        take
    fi
    gone
    case $step in
    filesystem_insert | op_update:3) image_make $image ;; # nobody had anything in it
    *) is_clean ;;
    esac
done
ok "host mount: a helper that dies in an attach leaves nothing, in a detach a mount or nothing"

# What is on no record is unmounted before its device goes.
give >/dev/null
echo written >"$dir/written"
kill_helper
rm /run/ublk-oci/devices/*
start
gone
is_clean
[ "$(debugfs -R 'cat written' "$image" 2>/dev/null)" = written ] || fail "what was written is lost"
ok "host mount: one that is on no record is unmounted, and then its device goes"
