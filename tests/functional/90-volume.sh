#!/bin/bash
# Volumes of the store: made, copied, grown, removed, by root and by users; what is refused.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/store.sh"
requires jq setpriv sha256sum

user() { setpriv --reuid 1000 --regid 1000 --groups ublk-oci "$@"; }

jq '.pools = [{name: "default", path: "/var/lib/ublk-oci/volumes", capacity: "100M",
        overcommit_percent: 200}, {name: "other", path: "/srv/other"}]
    | (.rules[] | select(.id == "root-volumes") | .pools) += ["other"]
    | .rules += [{id: "users", principal: {uid: 1000}, may: ["attach", "create", "resize", "delete"],
        targets: ["file"], pools: ["default"], max_size: "20M", max_devices_per_container: 4}]' \
    /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
mkdir -p /srv/other
mountpoint -q /srv/other || mount -t tmpfs other /srv/other
undo umount -l /srv/other
chown ublk-oci-store: /srv/other
chmod 755 "$TEST_DIR"
helper_start --policy "$TEST_DIR/policy.json"
expect_fail 'does not run as root' /usr/sbin/ublk-oci-store
store_start --policy "$TEST_DIR/policy.json"
ok "volume: the store runs as its own user, and not as root"

[ "$(volume_names)" = "" ] || fail "there are volumes: $(volume_names)"
ublk-oci volume create data --size 16M --json >"$TEST_DIR/made"
jq -e '.name == "data" and .pool == "default" and .size_bytes == 16777216 and .used_bytes == 0
    and .attached == false and .owner_uid == 0' "$TEST_DIR/made" >/dev/null || fail "$(cat "$TEST_DIR/made")"
[ "$(stat -c '%s %a %U' $volumes/data/data)" = '16777216 600 ublk-oci-store' ] ||
    fail "$(stat $volumes/data/data)"
expect_fail 'there is a volume data already' ublk-oci volume create data --size 1M
expect_fail 'is no name for a volume' ublk-oci volume create ../x --size 1M
expect_fail 'a multiple of 4096' ublk-oci volume create odd --size 4097
expect_fail 'the volume needs a size' ublk-oci volume create none
expect_fail 'no pool nowhere' ublk-oci volume create x --size 1M --pool nowhere
ublk-oci volume list | found '^data  *default  *volume  *16M ' || fail "$(ublk-oci volume list)"
ublk-oci volume room --json >"$TEST_DIR/room"
jq -e '.pool == "default" and .room_bytes == 184 * 1048576 and .largest_bytes == .room_bytes' \
    "$TEST_DIR/room" >/dev/null || fail "room: $(cat "$TEST_DIR/room")"
user ublk-oci volume room | found 'largest volume: 20M$' || fail "room: $(user ublk-oci volume room)"
expect_fail 'no pool nowhere' ublk-oci volume room --pool nowhere
ok "volume: created, listed; a name is one volume"

# Images in and out, with their holes.
truncate -s 8M "$TEST_DIR/image"
for at in 0 3000 7000; do
    dd if=/dev/urandom of="$TEST_DIR/image" bs=1K count=100 seek=$at conv=notrunc 2>/dev/null
done
ublk-oci volume import "$TEST_DIR/image" imported
[ "$(volume_get imported used_bytes)" -lt 1000000 ] || fail "no holes: $(volume_get imported used_bytes)"
ublk-oci volume create larger --from "$TEST_DIR/image" --size 12M --pool other
[ "$(volume_get larger pool) $(volume_get larger size_bytes)" = 'other 12582912' ] || fail "larger"
ublk-oci volume export imported "$TEST_DIR/out"
cmp "$TEST_DIR/image" "$TEST_DIR/out" || fail "what comes out is not what went in"
[ "$(stat -c %b "$TEST_DIR/out")" -lt 2000 ] || fail "the export has no holes"
expect_fail 'is there already' ublk-oci volume export imported "$TEST_DIR/out"
expect_fail 'nothing is cut off' ublk-oci volume create cut --from "$TEST_DIR/image" --size 4M
printf 'QFI\xfb' >"$TEST_DIR/qcow2"
expect_fail 'format qcow2' ublk-oci volume import "$TEST_DIR/qcow2" qcow2
: >"$TEST_DIR/empty"
expect_fail 'the image is empty' ublk-oci volume import "$TEST_DIR/empty" empty
expect_fail 'regular file or a block device' ublk-oci volume import /dev/zero zero
ok "volume: images in and out, with holes, and what is no image is refused"

ublk-oci volume snapshot imported before
ublk-oci volume clone before copy --size 10M
[ "$(volume_get before kind) $(volume_get copy kind) $(volume_get copy origin)" = \
    'snapshot volume before' ] || fail "$(ublk-oci volume list)"
cmp "$TEST_DIR/image" $volumes/before/data || fail "the snapshot"
cmp -n 8388608 "$TEST_DIR/image" $volumes/copy/data || fail "the clone"
expect_fail 'before is a snapshot' ublk-oci volume resize before --size 16M
ok "volume: snapshot and clone hold the same"

ublk-oci volume resize copy --size 12M
[ "$(volume_get copy size_bytes) $(stat -c %s $volumes/copy/data)" = '12582912 12582912' ] ||
    fail "resize"
expect_fail 'does not become smaller' ublk-oci volume resize copy --size 8M
ok "volume: grows, and does not shrink"

# 16 + 8 + 8 + 12 of 200 are taken.
expect_fail 'pool default have 44M already, and 157M more are over its 200M' \
    ublk-oci volume create big --size 157M
ublk-oci volume create big --size 156M
expect_fail 'over its 200M' ublk-oci volume resize copy --size 13M
ublk-oci volume delete big
ok "volume: a pool holds what the policy lets it"

# Users: by their rule, and their own only.
user ublk-oci volume create mine --size 10M
[ "$(volume_get mine owner_uid)" = 1000 ] || fail "whose is it"
[ "$(user ublk-oci volume list --json | jq -r '.[].name')" = mine ] || fail "a user sees others'"
expect_fail 'there is no volume data' user ublk-oci volume inspect data
expect_fail 'there is no volume data' user ublk-oci volume delete data
expect_fail 'there is no volume data' user ublk-oci volume clone data stolen
expect_fail 'rule "users": size 32M is over its 20M' user ublk-oci volume resize mine --size 32M
expect_fail 'rule "users": pool other is not in its list' \
    user ublk-oci volume create more --size 1M --pool other
expect_fail 'rule "users": snapshot is not in what it may' user ublk-oci volume snapshot mine then
expect_fail 'you may not ask the store' setpriv --reuid 1001 --regid 1001 --clear-groups \
    ublk-oci volume list
user ublk-oci volume resize mine --size 20M
user ublk-oci volume delete mine
grep -q '"request":"delete","verdict":"allowed","rule":"users".*"uid":1000,"volume":"mine"' \
    "$TEST_DIR/store.log" || fail "no audit line"
ok "volume: users do what their rule says, with volumes of theirs"

# What is stopped in the middle is not there.
head -c 100M /dev/zero | tr '\0' x >"$TEST_DIR/slow"
import_held() { # NAME: under way, and held there; $importer asks, $worker serves
    ublk-oci volume import "$TEST_DIR/slow" "$1" 2>"$TEST_DIR/said" &
    importer=$!
    until [ -e "$volumes/.new-$1/data" ]; do kill -0 $importer || fail "$(cat "$TEST_DIR/said")"; done
    worker=$(cat "/proc/$store_pid/task/$store_pid/children")
    worker=${worker%% *}
    kill -STOP "$worker"
    [ -e "$volumes/.new-$1/data" ] || fail "it is done already: nothing is shown"
}
import_held stopped
expect_fail 'a volume stopped is being made' ublk-oci volume create stopped --size 1M
kill -TERM $importer
if wait $importer; then fail "the import was not stopped"; fi
kill -CONT "$worker"
wait_for 20 test ! -e $volumes/.new-stopped
[ ! -e $volumes/stopped ] || fail "half a volume"
ok "volume: who hangs up has what was half made removed"

# The store is killed, with all that it does; the next one removes what is left.
import_held killed
kill -KILL "$worker" "$store_pid"
if wait $importer; then fail "the import is done"; fi
grep -q 'closed the connection without an answer' "$TEST_DIR/said" || fail "$(cat "$TEST_DIR/said")"
[ -e $volumes/.new-killed ] || fail "nothing was left: nothing is shown"
store_start --policy "$TEST_DIR/policy.json"
wait_for 20 test ! -e $volumes/.new-killed
[ "$(volume_names)" = "before copy data imported larger" ] || fail "volumes: $(volume_names)"
cmp "$TEST_DIR/image" $volumes/imported/data || fail "what was there before"
ok "volume: a store that is killed leaves what was, and the next one sweeps"

ublk-oci volume delete imported --wipe
for name in data larger before copy; do ublk-oci volume delete $name; done
[ -z "$(ls -A $volumes)" ] || fail "left: $(ls -A $volumes)"
expect_nothing_left
ok "volume: deleted, nothing is left"
