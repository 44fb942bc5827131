#!/bin/bash
# Target cow: a delta over a base that many share and nobody writes.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/serve.sh"
requires jq crun runc busybox mkfs.ext4 blkdiscard

cat >"$TEST_DIR/policy.json" <<'END'
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["cow", "file"],
      "backing": ["/srv/ublk-oci/"], "max_size": "512M", "max_devices": 4, "discard": true, "zero_copy": true },
    { "id": "containers", "principal": { "uid": 0 }, "targets": ["cow"],
      "backing": ["/srv/ublk-oci/"], "max_size": "64M", "max_devices_per_container": 2 } ] }
END
helper_start --policy "$TEST_DIR/policy.json"
mkdir -p /srv/ublk-oci
truncate -s 700M "$TEST_DIR/fs"
mkfs.ext4 -q "$TEST_DIR/fs"
mount -o loop "$TEST_DIR/fs" /srv/ublk-oci
undo umount /srv/ublk-oci
dir=/srv/ublk-oci base=$dir/base.img
dd if=/dev/urandom of=$base bs=1M count=16 status=none
hash() { sha256sum <"$1"; }
base_hash=$(hash $base)

attach() { ublk-oci attach --host --target cow --base $base --backing "$@"; }
detach() { ublk-oci detach "$1" >/dev/null; }
same() { cmp -n $((16 << 20)) "$1" "$2" || fail "$1 is not $2"; }

# Made by hand, and by the attach; each data path; the model; a worker that is killed.
ublk-oci cow create $dir/copy --base $base --cluster 16K
for path in copy auto; do
    dev=$(attach $dir/$path --data-path $path)
    same "$dev" $base
    blkid=$(cat "/sys/block/${dev#/dev/}/queue/write_cache")
    [ "$blkid" = 'write back' ] || fail "its cache is $blkid"
    "$build/tests/functional/model_device" "$dev" $base 7 800 >model.out || fail "model: $(cat model.out)"
    cp "$dev" "$TEST_DIR/before"
    kill -KILL "$(ublk-oci inspect "$dev" --json | jq .worker.pid)"
    same "$dev" "$TEST_DIR/before"
    [ "$(ublk-oci inspect "$dev" --json | jq -r .base)" = $base ] || fail "inspect knows no base"
    ublk-oci inspect "$dev" --sandbox >/dev/null || fail "not sealed"
    expect_fail 'attached' ublk-oci attach --host --target file --backing $base
    detach "$dev"
    dev=$(attach $dir/$path)
    same "$dev" "$TEST_DIR/before"
    detach "$dev"
    ublk-oci cow check $dir/$path --base $base >check.out
    grep -q 'sound: ' check.out || fail "$(cat check.out)"
    ublk-oci cow commit $dir/$path --base $base $dir/$path.img
    same $dir/$path.img "$TEST_DIR/before"
    rm $dir/$path $dir/$path.img
    ok "cow: $path: what plain memory would have, also after its worker's death, in a new device, and committed"
done

# Where it was changed, and there only; a discard shows zeroes.
dev=$(attach $dir/map --cluster 64K)
dd if=/dev/zero of="$dev" bs=4k count=1 seek=32 oflag=direct status=none
blkdiscard --offset 1M --length 128K "$dev"
sync "$dev"
ublk-oci cow map $dir/map | jq -e '. == [{ offset: 131072, length: 65536 }, { offset: 1048576, length: 131072 }]' \
    >/dev/null || fail "$(ublk-oci cow map $dir/map)"
[ "$(dd if="$dev" bs=128k skip=8 count=1 iflag=direct status=none | tr -d '\0' | wc -c)" = 0 ] ||
    fail "a discard shows something"
detach "$dev"
expect_fail 'is for a base of' attach $dir/map --size 1M
expect_fail 'clusters have 65536' attach $dir/map --cluster 4K
ok "cow: the map says what was changed; a discard reads as zeroes"

# Nothing is left of an ephemeral one.
mkdir $dir/temporary
dev=$(ublk-oci attach --host --target cow --base $base --backing $dir/temporary --ephemeral)
[ -z "$(ls -A $dir/temporary)" ] || fail "its name is there"
dd if=/dev/zero of="$dev" bs=1M count=2 oflag=direct status=none
kill -KILL "$(ublk-oci inspect "$dev" --json | jq .worker.pid)"
[ "$(dd if="$dev" bs=1M count=2 iflag=direct status=none | tr -d '\0' | wc -c)" = 0 ] || fail "it is lost"
detach "$dev"
expect_fail 'no rule|refused|backing' ublk-oci attach --host --target cow --base $base --backing /tmp --ephemeral
compgen -G '/tmp/.ublk-oci-*' >/dev/null && fail "a refused attach leaves its delta"
ok "cow: an ephemeral delta has no name, and survives its worker"

# A container of each engine: its name at the begin, and on a place that is the other's base.
for c in crun runc; do
    bundle_make "$TEST_DIR/$c"
    container_start $c $c "$TEST_DIR/$c"
    ublk-oci attach --container $c --device /dev/data --target cow --base $base --backing $dir/$c >/dev/null
    at=100
    [ $c = crun ] || at=2000
    $c exec $c sh -c "echo $c | dd of=/dev/data conv=notrunc,fsync 2>/dev/null
        dd if=/dev/zero of=/dev/data bs=4k seek=$at count=9 conv=notrunc,fsync 2>/dev/null"
done
for c in crun runc; do
    at=100
    [ $c = crun ] || at=2000
    { echo $c; tail -c +6 $base; } >"$TEST_DIR/wanted"
    dd if=/dev/zero of="$TEST_DIR/wanted" bs=4k seek=$at count=9 conv=notrunc status=none
    [ "$($c exec $c dd if=/dev/data bs=1M 2>/dev/null | sha256sum)" = "$(sha256sum <"$TEST_DIR/wanted")" ] ||
        fail "$c does not see the base and its own writes"
    container_delete $c $c
done
wait_for 20 nothing_left
ok "cow: two containers on one base see their own writes only"

[ "$(hash $base)" = "$base_hash" ] || fail "the base was written"
ok "cow: the base is what it was"
expect_nothing_left
