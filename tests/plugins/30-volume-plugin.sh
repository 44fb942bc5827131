#!/bin/bash
# The volume plug-in of Docker and podman: its protocol, each call twice and in wrong orders, and podman itself.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../engines.sh"
. "$(dirname "$0")/../functional/store.sh"
requires podman crun jq setpriv curl mkfs.ext4 fsck.ext4 runc busybox

[ -x /usr/sbin/ublk-oci-volume ] || skip "the plug-in is not built (libmicrohttpd)"
dir=/run/ublk-oci-volume
state=/var/lib/ublk-oci-volume
socket=$dir/.sock
install -d -m 711 -o ublk-oci-volume -g ublk-oci-volume $dir
install -d -m 700 -o ublk-oci-volume -g ublk-oci-volume $state
undo rm -rf --one-file-system $dir $state

jq '(.rules[] | select(.id == "volumes")).host_claims = true | .rules += [
    {id: "engine-volumes", principal: {user: "ublk-oci-volume"}, may: ["attach", "create", "snapshot", "delete"],
        targets: ["file"], pools: ["default"], max_size: "1G", max_devices_per_container: 16},
    {id: "engine-mounts", principal: {user: "ublk-oci-volume"}, host: true, may: ["mount"], targets: ["file"],
        backing: ["/var/lib/ublk-oci/volumes/"], backing_owner: "any", max_size: "1G",
        mount: {under: ["/run/ublk-oci-volume/"], filesystems: ["ext4"], trust_raw_writers: true}}]' \
    /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
chmod 755 "$TEST_DIR"
chmod 644 "$TEST_DIR/policy.json"
helper_start --policy "$TEST_DIR/policy.json"
store_start --policy "$TEST_DIR/policy.json"

as_plugin=(setpriv --reuid ublk-oci-volume --regid ublk-oci-volume --init-groups --inh-caps=-all)
plugin_start() {
    "${as_plugin[@]}" /usr/sbin/ublk-oci-volume 2>>"$TEST_DIR/plugin.log" &
    plugin_pid=$!
    wait_for 10 answers
}
plugin_stop() { # [SIGNAL]
    kill "-${1:-TERM}" "$plugin_pid" 2>/dev/null || true
    wait "$plugin_pid" 2>/dev/null || true
}
plugin_again() { # [SIGNAL]
    plugin_stop "$@"
    plugin_start
}
undo plugin_stop KILL

# post CALL BODY: left in $answer, and its status in $code. Of programs only curl: each costs an
# emulated guest a tenth of a second.
post() {
    code=$(curl -s -o "$TEST_DIR/answer" -w '%{http_code}' --max-time 5 --unix-socket $socket \
        --data-binary "$2" "http://plugin/$1") || return 1
    answer=$(<"$TEST_DIR/answer")
    [[ $answer == '{'*'"Err":"'*'"}' ]] || fail "$1: no answer: $answer"
}
answers() { post Plugin.Activate ''; }
# call CALL NAME [MORE]: NAME's volume; MORE is the rest of the object. What a busy machine does not do in
# time is asked for again, as the plug-in says.
call() {
    for _ in {1..8}; do
        post "VolumeDriver.$1" "{\"Name\":\"$2\"${3:+,$3}}"
        [[ $answer == *'ask again'* ]] || break
    done
    [[ $code == 200 && $answer == *'"Err":""}' ]] ||
        fail "$*: $code $answer; $(tail -n 3 "$TEST_DIR/plugin.log")"
}
twice() {
    call "$@"
    call "$@"
}
call_fails() { # PATTERN CALL NAME [MORE]
    post "VolumeDriver.$2" "{\"Name\":\"$3\"${4:+,$4}}"
    [ "$code" = 500 ] || [ "$code" = 400 ] || fail "${*:2}: $code $answer"
    [[ $answer =~ \"Err\":\".*($1) ]] || fail "${*:2}: not '$1': $answer"
}
field() { jq -r ".$1" "$TEST_DIR/answer"; }
id() { printf '"ID":"%s"' "$1"; }
opts() { printf '"Opts":{%s}' "$1"; }

mounted() { # VOLUME [FIELDS]: in process 1's namespace
    grep -qE " $dir/$1 ${2:-rw,nosuid,nodev}[^ ]* .*- ext4 /dev/ublkb" /proc/1/mountinfo
}
unmounted() { # with patience
    local end=$((SECONDS + 30))

    until nothing_mounted; do
        [ $SECONDS -lt $end ] || fail "still mounted: $(ls -l $dir/.uses/*; tail -n 20 "$TEST_DIR/plugin.log")"
        sleep 0.2
    done
}
nothing_mounted() { ! grep -q /dev/ublkb /proc/1/mountinfo; }
gone() {
    expect_nothing_left
    nothing_mounted || fail "still mounted: $(grep /dev/ublkb /proc/1/mountinfo)"
}

# --- what it is ----------------------------------------------------------------

plugin_start
for row in 'CapInh:\s*0*' 'CapPrm:\s*0*' 'CapEff:\s*0*' 'CapAmb:\s*0*' 'NoNewPrivs:\s*1'; do
    grep -qxP "$row" /proc/$plugin_pid/status || fail "$row: $(grep -E '^(Cap|NoNew)' /proc/$plugin_pid/status)"
done
expect_fail 'does not run as root' /usr/sbin/ublk-oci-volume
expect_fail 'cannot open the directory /none' timeout 20 "${as_plugin[@]}" /usr/sbin/ublk-oci-volume --dir /none
expect_fail 'another ublk-oci-volume has the directory' timeout 20 "${as_plugin[@]}" /usr/sbin/ublk-oci-volume --socket "$TEST_DIR/other"
[ "$(stat -c '%a %U' $socket)" = '700 ublk-oci-volume' ] || fail "the socket: $(stat $socket)"
ok "volume plug-in: it is a user of its own, without a capability, and asked by root"

answers
[ "$(field 'Implements[0]')" = VolumeDriver ] || fail "Activate: $answer"
post VolumeDriver.Capabilities '{}'
[ "$(field Capabilities.Scope)" = local ] || fail "Capabilities: $answer"
post VolumeDriver.List 'null'
[ "$(field Volumes)" = '[]' ] || fail "List: $answer"
for body in '' 'x' '{' '[]' '{"Name":7}' '{"Name":"data"}x' "$(printf '{"Name":"\xff"}')" '{"Name":"../etc"}'; do
    post VolumeDriver.Get "$body"
    [[ $code == 400 && $answer != *'"Err":""'* ]] || fail "body '$body': $code $answer"
done
head -c 200000 /dev/zero | tr '\0' ' ' >"$TEST_DIR/large"
post VolumeDriver.Get "@$TEST_DIR/large"
[ "$code" = 413 ] || fail "a large body: $code $answer"
post VolumeDriver.Explode '{}'
[ "$code" = 404 ] || fail "an unknown call: $code $answer"
[ "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket $socket http://plugin/VolumeDriver.List)" = 405 ] ||
    fail "a GET is answered"
answers
ok "volume plug-in: what is no call, or too large, is refused and does no harm"

call_fails 'there is no volume data' Get data
call_fails 'there is no volume data' Path data
call_fails 'there is no volume data: create it first' Mount data "$(id a)"
call_fails 'ID, which says who' Mount data
twice Unmount data "$(id a)"
twice Remove data
call_fails 'the volume needs a size' Create data
call_fails 'is not a size' Create data "$(opts '"size":"much"')"
call_fails 'option colour is not known; known are size' Create data "$(opts '"size":"16M","colour":"red"')"
call_fails 'option fs: .* is none of: ext4' Create data "$(opts '"size":"16M","fs":"ntfs"')"
call_fails 'no pool nowhere' Create data "$(opts '"size":"16M","pool":"nowhere"')"
call_fails 'there is no volume none' Create data "$(opts '"clone":"none"')"
call_fails 'cannot look at the image' Create data "$(opts '"from":"/none"')"
call_fails 'over its 1G' Create data "$(opts '"size":"2G"')"
[ -z "$(volume_names)$(ls -A $state)" ] || fail "there are volumes: $(volume_names)"
gone
ok "volume plug-in: wrong options, and wrong orders, make nothing"

# --- the calls -----------------------------------------------------------------

twice Create data "$(opts '"size":"16M"')"
[ "$(volume_get data size_bytes) $(volume_get data filesystem)" = '16777216 ext4' ] || fail "$(ublk-oci volume list)"
call_fails 'of 16M only' Create data "$(opts '"size":"32M"')"
call_fails 'another access' Create data "$(opts '"size":"16M","access":"ro"')"
ublk-oci volume create roots --size 16M
call_fails 'choose another name' Create roots "$(opts '"size":"16M"')"
call_fails 'there is no volume roots' Get roots
call_fails 'there is no volume roots' Mount roots "$(id a)"
twice Remove roots
[ "$(volume_names)" = 'data roots' ] || fail "volumes: $(volume_names)"
post VolumeDriver.List ''
[ "$(field 'Volumes[].Name')" = data ] || fail "List: $answer"
call Get data
[ "$(field 'Volume.Mountpoint')" = '' ] && [ "$(field 'Volume.Status.size_bytes')" = 16777216 ] || fail "Get: $answer"
ublk-oci volume delete roots
ok "volume plug-in: a volume is made once, and only its own are there"

twice Mount data "$(id a)"
[ "$(field Mountpoint)" = $dir/data ] || fail "Mount: $answer"
mounted data || fail "process 1 has: $(grep -F $dir /proc/1/mountinfo)"
echo hello >$dir/data/hello
chown 1234 $dir/data # as a container may: the next Mount is none of the directory's owner
call Mount data "$(id b)"
[ "$(grep -c /dev/ublkb /proc/1/mountinfo)" = 1 ] || fail "it is mounted twice"
call Get data
[ "$(field 'Volume.Mountpoint')" = $dir/data ] || fail "Get: $answer"
twice Unmount data "$(id c)"
twice Unmount data "$(id a)"
plugin_again
call_fails 'in use, 1 times' Remove data
mounted data || fail "it went with the plug-in, or with another's Unmount"
twice Unmount data "$(id b)"
gone
[ ! -e $dir/data ] || fail "its directory is left"
call Path data
[ "$(field Mountpoint)" = '' ] || fail "Path: $answer"
ok "volume plug-in: mounted for as long as somebody uses it, over another plug-in"

call Mount data "$(id a)"
(cd $dir/data && exec sleep 1000) &
user=$!
wait_for 20 sh -c "[ \"\$(readlink /proc/$user/cwd)\" = $dir/data ] && grep -qx sleep /proc/$user/comm"
call Unmount data "$(id a)" # it has ended, and something has it open
call_fails "in use: cwd of pid $user" Remove data
mounted data || fail "it was taken from who has it open"
plugin_again KILL # which finds it mounted, and used by nobody
kill $user
wait $user || true
unmounted
call Mount data "$(id a)"
ublk-oci detach --host --mount $dir/data # by root; what used it has no mount any more
call Mount data "$(id b)"
[ "$(cat $dir/data/hello)" = hello ] || fail "other data"
umount $dir/data
call Mount data "$(id b)"
mounted data || fail "after an umount it is not mounted again"
call Unmount data "$(id b)"
gone
ok "volume plug-in: who is killed, or unmounts besides it, leaves no use behind"

call Create then "$(opts '"snapshot-of":"data"')"
call Create copy "$(opts '"clone":"then"')"
call Create fixed "$(opts '"clone":"data","access":"ro"')"
for name in then fixed; do
    plugin_again
    call Mount $name "$(id a)"
    mounted $name ro,nosuid,nodev || fail "$name is not read-only"
    [ "$(cat $dir/$name/hello)" = hello ] || fail "other data in $name"
    call Unmount $name "$(id a)"
    twice Remove $name
done
call Mount copy "$(id a)"
echo changed >$dir/copy/hello
call Unmount copy "$(id a)"
install -m 644 $volumes/copy/data /srv/volume-plugin.img
undo rm -f /srv/volume-plugin.img
call Create image "$(opts '"from":"/srv/volume-plugin.img","fs":"ext4"')"
call Mount image "$(id a)"
[ "$(cat $dir/image/hello)" = changed ] || fail "the image has other data"
call Unmount image "$(id a)"
for name in image copy; do twice Remove $name; done
fsck.ext4 -fn $volumes/data/data >"$TEST_DIR/fsck" 2>&1 || fail "fsck: $(cat "$TEST_DIR/fsck")"
[ "$(volume_names)" = data ] && [ -z "$(ls -A $state)" ] || fail "left: $(volume_names), $(ls -A $state)"
gone
call Remove data
ok "volume plug-in: snapshots and copies, read-only ones, and images"

# --- podman ----------------------------------------------------------------------

podman_setup
printf '[engine.volume_plugins]\nublk-oci = "%s"\n' $socket >>"$TEST_DIR/containers.conf"
root_make root
tar -C "$(root_of root)" -cf "$TEST_DIR/root.tar" .
podman import --quiet "$TEST_DIR/root.tar" localhost/busybox:1 >/dev/null
# Of an image: what has only a directory podman 4 never says to use its volumes no more.
run() { timeout 300 podman run --detach --name "$1" -v data:/data localhost/busybox:1 sh -c "$2; exec sleep 1000" >/dev/null; }
expect_fail 'is not known; known are size' podman volume create --driver ublk-oci -o colour=red data
podman volume create --driver ublk-oci -o size=16M data >/dev/null
run one 'echo one >/data/one'
plugin_again
run two 'cat /data/one >/data/two'
wait_for 20 grep -qx one $dir/data/two
mounted data || fail "process 1 has: $(grep -F $dir /proc/1/mountinfo)"
call_fails 'in use, 1 times' Remove data # podman counts its containers itself
expect_fail 'being used by' podman volume rm data
podman rm --force --time 0 one >/dev/null
mounted data || fail "it went with one of two containers"
plugin_again KILL
podman rm --force --time 0 two >/dev/null
unmounted
run three 'cat /data/one /data/two >/data/three'
wait_for 20 test -s $dir/data/three
[ "$(<$dir/data/three)" = $'one\none' ] || fail "the third sees: $(ls $dir/data)"
podman rm --force --time 0 three >/dev/null
podman volume rm data >/dev/null
gone
[ -z "$(volume_names)" ] || fail "volumes: $(volume_names)"
ok "volume plug-in: podman's containers share a volume, over restarts and a kill of the plug-in"
