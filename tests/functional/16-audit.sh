#!/bin/bash
# Every verdict is on record: one JSON line, in the log and in a file that survives rotation.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires python3 jq crun

here=$(cd "$(dirname "$0")" && pwd)
dir=/var/log/ublk-oci
file=$dir/audit.log
group=$(getent group ublk-oci | cut -d : -f 3)

rm -rf $dir
helper_start
bundle_make "$TEST_DIR/audited"
container_start crun audited "$TEST_DIR/audited"
init=$(crun state audited | jq .pid)

attach() { ublk-oci attach --container audited --device /dev/data --target memory "$@"; }
detach() { ublk-oci detach --container audited --all; }

# last JQ: the newest line is like this.
last() { tail -n 1 $file | jq -e "$1" >/dev/null || fail "not so: $1: $(tail -n 1 $file)"; }

# found JQ: some line is like this.
found() { jq -s -e "any(.[]; $1)" $file >/dev/null || fail "no line with $1: $(tail -n 20 $file)"; }

# --- what is in a line -------------------------------------------------------------

attach --size 1M >/dev/null
cgroup=$(cgroup_of $$)
container_cgroup=$(cgroup_of "$init")
last ".request == \"attach\" and .verdict == \"allowed\" and .rule == \"root-containers\"
    and .principal.uid == 0 and .principal.gid == 0 and .principal.pid > 1
    and .principal.cgroup == \"$cgroup\"
    and .container == { id: \"audited\", pid: $init, cgroup: \"$container_cgroup\", owner: 0 }
    and .device == null and .path == \"/dev/data\" and .target == \"memory\" and .bytes == 1048576
    and .access == \"rw\" and .backing == null
    and (.time | test(\"^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[.][0-9]{3}Z$\"))
    and ((.time[:19] + \"Z\" | fromdate) - now | fabs < 300)"
modes=$(stat -c '%a %U' $dir $file)
[ "$modes" = $'750 root\n640 root' ] || fail "modes: $modes"
ok "audit: a line says when, who, for whom, what, which rule"

generation=$(ublk-oci list --json | jq -r '.[0].generation')
setpriv --reuid 1000 --regid 1000 --groups "$group" python3 - foreign "$generation" \
    <"$here/wire.py" || fail "foreign"
found '.request == "detach" and .verdict == "refused" and .principal.uid == 1000
    and .device == "ublkb0" and .container.id == "audited"'
found '.request == "inspect" and .verdict == "refused" and .principal.uid == 1000'
[ "$(setpriv --reuid 1000 --regid 1000 --groups "$group" python3 - reload <"$here/wire.py")" = \
    "-1 only root may ask for this" ] || fail "a reload by uid 1000"
last ".request == \"reload\" and .verdict == \"refused\" and .rule == null
    and .principal.uid == 1000 and .principal.groups == [$group]"
ok "audit: refusals of what is another user's, or root's alone"

detach >/dev/null
last '.request == "detach" and .verdict == "allowed" and .device == "ublkb0"'
expect_fail 'policy refuses' attach --size 2T
last '.request == "attach" and .verdict == "refused" and .rule == null
    and (.reason | contains("root-containers"))'
for case in own_process not_a_pidfd fields sizes; do
    "$here/wire.py" $case
done
for words in "not in a container" pidfd "no target number 77" "not a request"; do
    found ".verdict == \"refused\" and (.reason | contains(\"$words\"))"
done
attach --size 1M >/dev/null
ublk-oci detach --container audited --all --force >/dev/null
last '.request == "detach" and .verdict == "allowed" and .reason == "by force"'
srv_mount
truncate -s 1M /srv/ublk-oci/image
ublk-oci attach --host --target file --backing /srv/ublk-oci/image --read-only >/dev/null
last '.verdict == "allowed" and .rule == "root-host" and .container == null and .path == null
    and .target == "file" and .access == "ro" and .bytes == 1048576
    and .backing == "/srv/ublk-oci/image"'
ublk-oci detach --host ublkb0 >/dev/null
mkdir "$TEST_DIR/ram"
mount -t ramfs ram "$TEST_DIR/ram"
undo umount "$TEST_DIR/ram"
truncate -s 1M "$TEST_DIR/ram/image"
expect_fail 'ramfs' ublk-oci attach --host --target file --backing "$TEST_DIR/ram/image"
last '.verdict == "refused" and .target == "file" and (.reason | contains("ramfs"))'
ok "audit: what is refused before the policy is asked"

# --- the file ----------------------------------------------------------------------

lines=$(wc -l <$file)
mv $file $file.1
attach --size 1M >/dev/null
detach >/dev/null
[ "$(wc -l <$file.1)" = "$lines" ] || fail "the old file grew"
[ "$(wc -l <$file)" = 2 ] || fail "not two lines in a new file: $(cat $file)"
ok "audit: a file that was moved away is made again"

# kept_out WORDS NAME: no attach, for this reason, and a detach all the same.
kept_out() {
    expect_fail "audit line.*$1" ublk-oci attach --container audited --device /dev/more \
        --target memory --size 1M
    [ "$(nr_devices)" = 1 ] || fail "$2: $(ublk-oci list)"
    detach >/dev/null || fail "$2: detach was refused"
    expect_nothing_left
}

attach --size 1M >/dev/null
mv $dir $dir.away
: >$dir
kept_out 'Not a directory' "a file in the directory's place"
rm $dir
mv $dir.away $dir

undo umount -q $dir
while read -r bytes words what; do
    attach --size 1M >/dev/null
    mount -t tmpfs -o size=4k,mode=750 full $dir
    head -c "$bytes" /dev/zero | tr '\0' '#' >$file
    kept_out "${words//_/ }" "$what"
    umount $dir
done <<'END'
4096 No_space a full disk
4000 no_room_for_a_whole_line a disk with room for half a line
END

attach --size 1M >/dev/null
mount --bind $dir $dir
mount -o remount,bind,ro $dir
kept_out 'Read-only' "a disk that is read-only"
umount $dir

attach --size 1M >/dev/null
chmod 770 $dir
kept_out 'others' "a directory others can write"
chmod 750 $dir
ok "audit: what cannot be put on record is not given, and is taken away all the same"

attach --size 1M >/dev/null || fail "with the directory back an attach is refused"
detach >/dev/null
expect_nothing_left
printf '{"half a line' >>$file
attach --size 1M >/dev/null
last '.verdict == "allowed"'
sed -i '/^{"half a line$/d' $file
detach >/dev/null
expect_nothing_left

# same_keys FILE: every line is JSON with all the keys and no others.
same_keys() {
    jq 'keys == ["access","backing","bytes","container","device","filesystem","path","principal","reason",
            "request","rule","target","time","verdict"] and
        (.principal | keys) == ["cgroup","gid","groups","pid","uid"]' "$1" >"$TEST_DIR/keys" ||
        fail "$1: a line is not JSON: $(cat "$1")"
    ! grep -n -v true "$TEST_DIR/keys" || fail "$1: other keys: $(cat "$1")"
    [ "$(wc -l <"$TEST_DIR/keys")" = "$(wc -l <"$1")" ] || fail "$1: a line is not one object"
}

same_keys $file
same_keys $file.1
sed -n 's/^ublk-ocid: {/{/p' "$TEST_DIR/helper.log" >"$TEST_DIR/log"
same_keys "$TEST_DIR/log"
[ "$(wc -l <"$TEST_DIR/log")" -ge "$(cat $file $file.1 | wc -l)" ] || fail "lines are missing in the log"
ok "audit: every line of this run is JSON with the same keys"
