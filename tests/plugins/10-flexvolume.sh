#!/bin/bash
# The FlexVolume driver as kubelet calls it: every call-out twice, in wrong orders, mounting and attaching.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/store.sh"
requires jq setpriv python3 mkfs.ext4 fsck.ext4

# Where kubelet looks for the two drivers, and the directories it makes for them.
program=/usr/libexec/ublk-oci/ublk-oci-flexvolume
mounter=$TEST_DIR/exec/ublk-oci.io~volume/volume
attacher=$TEST_DIR/exec/ublk-oci.io~volume-attach/volume-attach
mkdir -p "$(dirname "$mounter")" "$(dirname "$attacher")"
ln -s $program "$mounter"
ln -s $program "$attacher"
pods=/var/lib/kubelet/pods
dir=$pods/6a1c2c2e-1a5f-4b43-9e0e-3b2f1c0d9e8f/volumes/ublk-oci.io~volume/data
second=$pods/0b9d8a7c-6e5f-4d3c-2b1a-0f9e8d7c6b5a/volumes/ublk-oci.io~volume/data
global=/var/lib/kubelet/plugins/kubernetes.io/flexvolume/ublk-oci.io/volume-attach/mounts/disk
undo rm -rf --one-file-system /var/lib/kubelet /srv/flexvolume
mkdir -p $dir $second $global /srv/flexvolume

jq '.rules += [{id: "pods", principal: {uid: 0}, host: true, may: ["mount"], targets: ["file"],
        backing: ["/var/lib/ublk-oci/volumes/"], max_size: "1G",
        mount: {under: ["/var/lib/kubelet/pods/", "/var/lib/kubelet/plugins/"], filesystems: ["ext4"],
            trust_raw_writers: true}}]' /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
chmod 755 "$TEST_DIR"
chmod 644 "$TEST_DIR/policy.json"
helper_start --policy "$TEST_DIR/policy.json"
store_start --policy "$TEST_DIR/policy.json"

# The options of a volume, with what the driver does not look at; MORE goes over it, as in kubelet.
options() { # NAME [MORE]
    printf '{"kubernetes.io/fsType":"","kubernetes.io/readwrite":"rw","kubernetes.io/pvOrVolumeName":"%s",' "$1"
    printf '"kubernetes.io/pod.name":"p","kubernetes.io/pod.namespace":"default","kubernetes.io/pod.uid":"6a1c",'
    printf '"kubernetes.io/serviceAccount.name":"default","kubernetes.io/mounterArgs.FsGroup":"1000",'
    printf '"kubernetes.io/secret/key":"c2VjcmV0"%s}' "${2:+,$2}"
}
read_only='"kubernetes.io/readwrite":"ro"'

# call STATUS DRIVER CALL-OUT WORD...: both streams are one text, one JSON object of this status, left
# in $answer; the exit status goes with it.
call() {
    local status=$1 code=0

    answer=$("${@:2}" </dev/null 2>&1) || code=$?
    jq -es --arg status "$status" 'length == 1 and (.[0] | type == "object" and .status == $status)' \
        <<<"$answer" >/dev/null || fail "${*:3}: not $status: $answer"
    [ "$code" = "$([ "$status" = Success ] && echo 0 || echo 1)" ] || fail "${*:3}: exit status $code: $answer"
}
twice() { # STATUS DRIVER CALL-OUT WORD...
    call "$@"
    call "$@"
}
call_fails() { # PATTERN DRIVER CALL-OUT WORD...
    call Failure "${@:2}"
    grep -qE -e "$1" <<<"$(field message)" || fail "${*:3}: not '$1': $answer"
}
field() { jq -r ".$1" <<<"$answer"; }

mounted() { # DIR [FIELDS]: in process 1's namespace; FIELDS (grep -E) are its options
    grep -qE " $1 ${2:-rw,nosuid,nodev}[^ ]* .*- ext4 /dev/ublkb" /proc/1/mountinfo
}
nothing_mounted() { ! grep -q /dev/ublkb /proc/1/mountinfo; }
gone() {
    expect_nothing_left
    nothing_mounted || fail "still mounted: $(grep /dev/ublkb /proc/1/mountinfo)"
}
is_clean() { # VOLUME
    fsck.ext4 -fn "$volumes/$1/data" >"$TEST_DIR/fsck" 2>&1 || fail "fsck: $(cat "$TEST_DIR/fsck")"
}

# --- what it is ----------------------------------------------------------------

# A store that never answers is waited for meanwhile, and looked at in the end.
mkdir "$TEST_DIR/silent"
python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(sys.argv[1])
s.listen()
time.sleep(600)' "$TEST_DIR/silent.sock" &
undo kill $!
wait_for 20 test -S "$TEST_DIR/silent.sock"
silent_since=$EPOCHSECONDS
env UBLK_OCI_STORE_SOCKET="$TEST_DIR/silent.sock" "$mounter" mount "$TEST_DIR/silent" "$(options data)" \
    </dev/null >"$TEST_DIR/silent.out" 2>&1 &
silent=$!
undo sh -c "kill $silent 2>/dev/null || true"
wait_for 20 grep -q '^NoNewPrivs:.*1$' /proc/$silent/status
for row in 'CapInh:\s*0*' 'CapPrm:\s*0*' 'CapEff:\s*0*' 'CapBnd:\s*0*' 'CapAmb:\s*0*' 'Uid:\s*0\s.*'; do
    grep -qxP "$row" /proc/$silent/status || fail "$row: $(grep -E '^(Cap|Uid)' /proc/$silent/status)"
done
[ "$(sed -n 's/^Groups:\s*//p' /proc/$silent/status | tr -d ' ')" = "$(getent group ublk-oci | cut -d : -f 3)" ] ||
    fail "its groups: $(grep ^Groups /proc/$silent/status)"
ok "flexvolume: the driver is uid 0 without a capability"

twice Success "$mounter" init
[ "$(field capabilities.attach) $(field capabilities.fsGroup)" = 'false true' ] || fail "init: $answer"
twice Success "$attacher" init
[ "$(field capabilities.attach) $(field capabilities.requiresFSResize)" = 'true false' ] || fail "init: $answer"
call Success "$mounter" getvolumename "$(options data)"
[ "$(field volumeName)" = data ] || fail "getvolumename: $answer"
call 'Not supported' "$mounter"
for verb in bogus expandvolume expandfs '' INIT; do
    call 'Not supported' "$mounter" "$verb" "$(options data)"
done
for verb in attach detach waitforattach isattached mountdevice unmountdevice; do
    call 'Not supported' "$mounter" $verb "$dir" "$(options data)"
done
for verb in mount unmount; do call 'Not supported' "$attacher" $verb "$dir" "$(options data)"; done
ok "flexvolume: each driver says what it can, and of the rest that it is not supported"

call_fails 'words behind it' "$mounter" mount $dir
call_fails 'words behind it' "$mounter" unmount
call_fails 'words behind it' "$mounter" unmount $dir $dir
call_fails 'ends too early' "$mounter" mount $dir '{"volume":'
call_fails 'ends too early' "$mounter" mount $dir ''
call_fails 'is not JSON' "$mounter" mount $dir 'volume=data'
call_fails 'no JSON object' "$mounter" mount $dir '["data"]'
call_fails 'no option says which volume' "$mounter" mount $dir '{"size":"16Mi"}'
call_fails 'option capacity is not known' "$mounter" mount $dir "$(options data '"capacity":"16Mi"')"
call_fails 'option size is no string' "$mounter" mount $dir "$(options data '"size":16777216')"
call_fails 'is not a size' "$mounter" mount $dir "$(options data '"size":"much"')"
call_fails 'is no name for a volume' "$mounter" mount $dir "$(options ../data '"size":"16Mi"')"
call_fails 'is none of: ext4' "$mounter" mount $dir "$(options data '"kubernetes.io/fsType":"ntfs"')"
call_fails 'there is no volume data: make it' "$mounter" mount $dir "$(options data)"
call_fails 'no pool nowhere' "$mounter" mount $dir "$(options data '"size":"16Mi","pool":"nowhere"')"
call_fails 'cannot open the directory' "$mounter" mount $pods/none "$(options data '"size":"16Mi"')"
call_fails 'no place to mount at' "$mounter" mount $dir/.. "$(options data '"size":"16Mi"')"
twice Success "$mounter" unmount $dir
twice Success "$mounter" unmount $pods/none
[ "$(volume_names)" = '' ] || fail "there are volumes: $(volume_names)"
gone
ok "flexvolume: what is no option, no volume or no directory makes nothing"

# --- a driver that mounts ------------------------------------------------------

made=$(options data '"size":"16Mi","pool":"default"')
twice Success "$mounter" mount $dir "$made"
mounted $dir || fail "process 1 has: $(grep -F $dir /proc/1/mountinfo)"
[ "$(grep -c /dev/ublkb /proc/1/mountinfo)" = 1 ] || fail "it is mounted twice"
[ "$(nr_devices)" = 2 ] || fail "called twice it made more: $(ublk-oci list)" # a device, and its claim
[ "$(volume_names) $(volume_get data size_bytes) $(volume_get data filesystem)" = 'data 16777216 ext4' ] ||
    fail "the volume: $(ublk-oci volume list)"
dd if=/dev/urandom of=$dir/f bs=64k count=64 2>/dev/null
sum=$(sha256sum <$dir/f)
ok "flexvolume: a volume is made, and mounted once"

ublk-oci volume create other --size 16M --fs ext4
twice Success "$mounter" mount $second "$(options data)"
[ "$(sha256sum <$second/f)" = "$sum" ] || fail "another pod reads other data"
touch $second/h
[ -e $dir/h ] || fail "what another pod writes is not there"
twice Success "$mounter" unmount $second
mounted $dir || fail "the other pod's end took it"
[ "$(nr_devices)" = 2 ] || fail "there are others: $(ublk-oci list)"
ok "flexvolume: two pods of this machine have one volume, and it ends for each by itself"

call_fails '.' "$mounter" mount $dir "$(options other)"
[ "$(volume_get other attached)" = false ] || fail "the other one is attached"
call_fails "it is mounted at $dir" "$mounter" mount $dir "$(options data "$read_only")"
call_fails 'has 16M, and 32M are asked for' "$mounter" mount $dir "$(options data '"size":"32Mi"')"
call_fails 'is in pool default, not in other' "$mounter" mount $dir "$(options data '"pool":"other"')"
(cd $dir && exec sleep 1000) &
user=$!
wait_for 20 sh -c "[ \"\$(readlink /proc/$user/cwd)\" = $dir ] && grep -qx sleep /proc/$user/comm"
call_fails "in use: cwd of pid $user" "$mounter" unmount $dir
kill $user
wait $user || true
mounted $dir || fail "an unmount that was refused took it"
[ "$(sha256sum <$dir/f)" = "$sum" ] || fail "other data"
ok "flexvolume: nothing else gets there, and who uses it keeps it"

twice Success "$mounter" unmount $dir
gone
is_clean data
[ -z "$(ls -A $dir)" ] || fail "the directory: $(ls -A $dir)"
twice Success "$mounter" mount $second "$(options data "$read_only")"
mounted $second ro,nosuid,nodev || fail "it is not read-only"
[ "$(sha256sum <$second/f)" = "$sum" ] || fail "other data"
expect_fail 'Read-only' touch $second/g
call_fails "it is mounted at $second" "$mounter" mount $second "$(options data)"
twice Success "$mounter" unmount $second
call Success "$mounter" mount $dir "$(options pv-1 '"volume":"data","kubernetes.io/fsType":"ext4"')"
[ "$(sha256sum <$dir/f)" = "$sum" ] || fail "other data"
touch $dir/g
twice Success "$mounter" unmount $dir
gone
ok "flexvolume: unmounted and mounted again, read-only too, it has what was written"

call_fails 'mount path /srv/flexvolume is not in its list' "$mounter" mount /srv/flexvolume "$(options data)"
call_fails 'xfs' "$mounter" mount $dir "$(options data '"kubernetes.io/fsType":"xfs"')"
gone
call Success "$mounter" mount $dir "$(options data)"
umount $dir
call Success "$mounter" mount $dir "$(options data)"
mounted $dir || fail "after an umount it is not mounted again"
umount $dir
twice Success "$mounter" unmount $dir
gone
call Success "$mounter" mount $dir "$(options data)"
store_stop
call_fails 'cannot reach the store' "$mounter" mount $dir "$(options data)"
call Success "$mounter" unmount $dir
grep -q 'is unmounted, and still attached: cannot reach the store' <<<"$(field message)" || fail "unmount: $answer"
nothing_mounted || fail "still mounted: $(grep /dev/ublkb /proc/1/mountinfo)"
store_start --policy "$TEST_DIR/policy.json"
call Success "$mounter" mount $dir "$(options data)"
[ "$(sha256sum <$dir/f)" = "$sum" ] || fail "other data"
call Success "$mounter" unmount $dir
gone
is_clean data
ok "flexvolume: what no rule names leaves nothing; an umount and a dead store are made good by the next call"

# --- a driver that attaches ----------------------------------------------------

disk=$(options disk '"size":"16Mi"')
twice Success "$attacher" isattached "$disk" node
[ "$(field attached)" = false ] || fail "isattached: $answer"
twice Success "$attacher" detach disk node
twice Success "$attacher" unmountdevice $global
call_fails 'there is no volume disk' "$attacher" waitforattach /dev/ublkb0 "$disk"
call_fails 'there is no volume disk' "$attacher" mountdevice $global /dev/ublkb0 "$disk"
call_fails 'all that detach is told' "$attacher" attach "$(options pv-1 '"volume":"disk","size":"16Mi"')" node
[ "$(volume_names)" = 'data other' ] || fail "volumes: $(volume_names)"
twice Success "$attacher" attach "$disk" node
device=$(field device)
[ -b "$device" ] && [ "$(nr_devices)" = 1 ] || fail "attach: $answer, $(ublk-oci list)"
call Success "$attacher" isattached "$disk" node
[ "$(field attached)" = true ] || fail "isattached: $answer"
twice Success "$attacher" waitforattach "$device" "$disk"
[ "$(field device)" = "$device" ] || fail "waitforattach: $answer"
call_fails 'call attach again' "$attacher" waitforattach /dev/ublkb99 "$disk"
call_fails 'call attach again' "$attacher" mountdevice $global /dev/ublkb99 "$disk"
cmp -n 16777216 "$device" $volumes/disk/data || fail "the device is not the volume"
ok "flexvolume: a volume is made and attached, and its device is the volume"

twice Success "$attacher" mountdevice $global "$device" "$disk"
mounted $global || fail "process 1 has: $(grep -F $global /proc/1/mountinfo)"
[ "$(nr_devices)" = 2 ] || fail "called twice it made more: $(ublk-oci list)"
twice Success "$attacher" mountdevice $second "$device" "$disk"
twice Success "$attacher" unmountdevice $second
mounted $global || fail "the end of another mount took it"
# As kubelet does for each pod, since mount is not supported.
for pod in $dir $second; do
    mount --bind $global $pod
    undo sh -c "umount -l $pod 2>/dev/null || true" # also when it is done already
done
echo shared >$dir/word
[ "$(cat $second/word)" = shared ] || fail "two pods see different files"
call_fails 'mounted it elsewhere' "$attacher" unmountdevice $global
call_fails "it is mounted at $global" "$attacher" detach disk node
umount $dir $second
mounted $global || fail "what was refused took it"
twice Success "$attacher" unmountdevice $global
nothing_mounted || fail "still mounted: $(grep /dev/ublkb /proc/1/mountinfo)"
[ "$(volume_get disk attached)" = true ] || fail "unmountdevice detached it"
twice Success "$attacher" detach disk node
gone
call_fails 'call attach first' "$attacher" waitforattach "$device" "$disk"
call_fails 'call attach first' "$attacher" mountdevice $global "$device" "$disk"
is_clean disk
ok "flexvolume: mounted once and bound into two pods; each step waits for those before it"

call Success "$attacher" attach "$(options disk "$read_only")" node
device=$(field device)
call Success "$attacher" mountdevice $global "$device" "$(options disk "$read_only")"
mounted $global ro,nosuid,nodev || fail "it is not read-only"
[ "$(cat $global/word)" = shared ] || fail "other data"
call Success "$attacher" unmountdevice $global
twice Success "$attacher" detach "$device" node
call_fails 'is no device' "$attacher" detach /dev/vda node
gone
ok "flexvolume: read-only, and detached by its device"

# --- the end -------------------------------------------------------------------

code=0
wait $silent || code=$?
took=$(($(stat -c %Y "$TEST_DIR/silent.out") - silent_since)) # its answer is the last thing it does
[ $code = 1 ] && [ $took -ge 45 ] && [ $took -le 60 ] || fail "$took s, $code: $(cat "$TEST_DIR/silent.out")"
jq -es 'length == 1 and .[0].status == "Failure" and (.[0].message | test("did not answer in time"))' \
    "$TEST_DIR/silent.out" >/dev/null || fail "silent store: $(cat "$TEST_DIR/silent.out")"
ok "flexvolume: a store that never answers is a failure in time"

for name in data other disk; do ublk-oci volume delete $name; done
gone
