#!/bin/bash
# A volume at several places of the host, mounted or as a device, as CSI's node service wants it.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/caller.sh"
. "$(dirname "$0")/store.sh"
requires crun jq setpriv mkfs.ext4 mkfs.xfs mkfs.btrfs fsck.ext4 blockdev

top=/srv/volume-publish
rm -rf $top
mkdir -p $top/pods/{a,b,c,d} $top/outside
for file in $top/pods/{x,y} $top/outside/x; do : >$file; done
echo full >$top/pods/full
undo rm -rf $top
publish_policy $top/pods/ '["ext4", "xfs", "btrfs"]' '
    {id: "other", principal: {uid: 1001}, host: true, may: ["attach", "mount"], targets: ["file"],
        backing: ["/var/lib/ublk-oci/volumes/"], backing_owner: "any", max_size: "1G",
        mount: {under: [$under], filesystems: ["ext4"], trust_raw_writers: true}}'
start() { helper_start --policy "$TEST_DIR/policy.json"; }
kill_helper() {
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
}
start
store_start --policy "$TEST_DIR/policy.json"
own() { as 1000 ublk-oci "$@"; }
give() { own attach --host --mount "$top/pods/$1" --fs "${fs:-ext4}" --volume data "${@:2}"; }
take() { own detach --host --mount "$top/pods/$1" "${@:2}"; }
put() { own attach --host --block "$1" --volume data "${@:2}"; }
mounted() { grep -qE " $top/pods/$1 ${2:-rw,nosuid,nodev}[^ ]* .*- ${fs:-ext4} /dev/ublkb" /proc/1/mountinfo; }
nr_mounts() { grep -c "$top/pods/" /proc/1/mountinfo || true; }
nothing_there() { [ "$(nr_mounts)" = 0 ] || fail "still there: $(grep $top /proc/1/mountinfo)"; }

own volume create data --size 32M --fs ext4

# --- mounted at several places --------------------------------------------------

give a >/dev/null
give b >/dev/null
give c --read-only >/dev/null
give b >/dev/null || fail "asked twice it fails"
mounted a && mounted b && mounted c ro,nosuid,nodev || fail "process 1 has: $(grep $top /proc/1/mountinfo)"
[ "$(nr_mounts)" = 3 ] || fail "mounted $(nr_mounts) times"
echo hello >$top/pods/a/hello
[ "$(cat $top/pods/c/hello)" = hello ] || fail "what is written in one place is not in the other"
! : 2>/dev/null >$top/pods/c/no || fail "read-only can be written"
expect_fail 'it is mounted at .*/pods/c already, to be read only' give c
expect_fail 'there is no volume data' as 1001 ublk-oci attach --host --mount $top/pods/d --fs ext4 --volume data
expect_fail 'has it' put $top/pods/x
(cd $top/pods/b && exec sleep 1000) &
user=$!
wait_for 20 sh -c "[ \"\$(readlink /proc/$user/cwd)\" = $top/pods/b ] && grep -qx sleep /proc/$user/comm"
take a
! mounted a && mounted b && mounted c ro,nosuid,nodev || fail "one taken: $(grep $top /proc/1/mountinfo)"
expect_fail "in use: cwd of pid $user" take b
kill $user
wait $user || true
kill_helper
umount $top/pods/b
start
wait_for 20 mounted b
[ "$(cat $top/pods/b/hello)" = hello ] || fail "another helper has other data there"
give a >/dev/null
[ "$(cat $top/pods/a/hello)" = hello ] || fail "mounted again it has other data"
take c
take b
mounted a || fail "the last went with another"
take a --force
nothing_there
own volume detach data
expect_nothing_left
fsck.ext4 -fn "$volumes/data/data" >"$TEST_DIR/fsck" 2>&1 || fail "fsck: $(cat "$TEST_DIR/fsck")"
ok "volume publish: three mounts of one file system, one only read; each goes by itself, across helpers"

# --- as a device on files -------------------------------------------------------

put $top/pods/x | found -x "ublkb0 is $top/pods/x" || fail "block: no word of it"
put $top/pods/x >/dev/null || fail "asked twice it fails"
put $top/pods/y >/dev/null
[ -b $top/pods/x ] && [ -b $top/pods/y ] || fail "no device: $(ls -l $top/pods)"
[ "$(stat -c %u:%a $top/pods/x)" = 0:600 ] || fail "whose: $(ls -l $top/pods/x)"
own list | found "(host) *$top/pods/x" || fail "list: $(own list)"
echo "not a file system" | dd of=$top/pods/x bs=4096 seek=100 conv=sync,fsync 2>/dev/null
dd if=$top/pods/y bs=4096 skip=100 count=1 iflag=direct 2>/dev/null | found "not a file system" || fail "other data"
expect_fail "it is the host's at $top/pods/" put $top/pods/y --read-only
expect_fail 'has it' give a
expect_fail 'no empty file' put $top/pods/full
expect_fail "$top/outside/x is not in its list" put $top/outside/x
expect_fail 'no regular file' put $top/pods/a
kill_helper
umount $top/pods/y
start
wait_for 20 test -b $top/pods/y
[ "$(ublk-oci repair)" = 'nothing is there that belongs to nobody' ] || fail "$(ublk-oci repair)"
own detach --host --block $top/pods/x
[ -b $top/pods/y ] && [ -f $top/pods/x ] && [ ! -s $top/pods/x ] || fail "one taken: $(ls -l $top/pods)"
exec 8<$top/pods/y
expect_fail 'is in use: open in pid' own detach --host --block $top/pods/y
exec 8<&-
own detach --host --block $top/pods/y
[ -f $top/pods/y ] || fail "the other: $(ls -l $top/pods/y)"
nothing_there
own volume detach data
put $top/pods/x --read-only >/dev/null
[ "$(blockdev --getro $top/pods/x)" = 1 ] || fail "read-only can be written"
# With the device go its places.
ublk-oci device remove data --force 2>/dev/null
nothing_there
expect_nothing_left
ok "volume publish: a device on two files; what is in use, not empty or elsewhere is refused; by force all go"

# --- it grows where it is mounted -----------------------------------------------

own volume delete data
for fs in ext4 xfs btrfs; do
    own volume create data --size 320M
    mkfs.$fs -q "$volumes/data/data" >/dev/null
    give a >/dev/null
    give b --read-only >/dev/null
    before=$(stat -f -c '%b * %S' $top/pods/a)
    if own volume resize data --size 400M 2>"$TEST_DIR/said" && ! grep -q 'keeps its size' "$TEST_DIR/said"; then
        [ $(($(stat -f -c '%b * %S' $top/pods/a))) -gt $((before + (60 << 20))) ] ||
            fail "$fs: $((before)), then $(($(stat -f -c '%b * %S' $top/pods/a))): $(cat "$TEST_DIR/said")"
        own volume resize data --size 400M || fail "$fs: asked twice it fails"
    fi
    take a
    take b
    nothing_there
    own volume detach data
    own volume delete data
done
expect_nothing_left
ok "volume publish: a file system that is mounted grows with its device"
