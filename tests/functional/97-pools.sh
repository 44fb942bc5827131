#!/bin/bash
# Pools whose filesystem shares data: copies of what is written meanwhile; and pools of many volumes.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/store.sh"
requires jq setpriv mkfs.xfs mkfs.btrfs losetup python3

here=$(cd "$(dirname "$0")" && pwd)
pools=/srv/pools
jq --arg pools $pools '.pools = [{name: "default", path: "/var/lib/ublk-oci/volumes", capacity: "104M"},
        {name: "xfs", path: ($pools + "/xfs")}, {name: "btrfs", path: ($pools + "/btrfs")}]
    | (.rules[] | select(.id == "root-volumes") | .pools) += ["xfs", "btrfs"]
    | (.rules[] | select(.id == "volumes") | .backing) += [$pools + "/"]' \
    /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
undo rm -rf $pools
for fs in xfs btrfs; do
    truncate -s 400M "$TEST_DIR/$fs"
    node=$(losetup -f --show "$TEST_DIR/$fs")
    undo losetup -d "$node"
    if [ $fs = xfs ]; then mkfs.xfs -q -m reflink=1 "$node"; else mkfs.btrfs "$node" >/dev/null; fi
    mkdir -p $pools/$fs
    mount "$node" $pools/$fs
    undo umount -l $pools/$fs
    chown ublk-oci-store: $pools/$fs
    chmod 700 $pools/$fs
done
helper_start --policy "$TEST_DIR/policy.json"
store_start --policy "$TEST_DIR/policy.json"

head -c 12M /dev/urandom >"$TEST_DIR/image"
used() { sync -f "$pools/$1"; df --output=used -B1 "$pools/$1" | tail -n 1; }
# shares FS WHAT COMMAND...: it takes next to no room.
shares() {
    local fs=$1 what=$2 before

    before=$(used "$fs")
    "${@:3}"
    [ $(($(used "$fs") - before)) -lt 6291456 ] || fail "$fs: $what took $(($(used "$fs") - before)) bytes"
}
for fs in xfs btrfs; do
    ublk-oci volume import "$TEST_DIR/image" a --pool $fs
    shares $fs 'a snapshot' ublk-oci volume snapshot a then
    shares $fs 'a clone' ublk-oci volume clone then copy --size 16M
    shares $fs 'an export' ublk-oci volume export a $pools/$fs/exported
    cmp -n 12582912 "$TEST_DIR/image" $pools/$fs/copy/data || fail "the clone"
    cmp "$TEST_DIR/image" $pools/$fs/exported || fail "the export"
    printf other | dd of=$pools/$fs/copy/data conv=notrunc 2>/dev/null
    cmp "$TEST_DIR/image" $pools/$fs/then/data || fail "the snapshot was written with its clone"
    rm $pools/$fs/exported
    ublk-oci volume delete copy --wipe
    cmp "$TEST_DIR/image" $pools/$fs/a/data || fail "the wipe of a clone reached its source"
    for name in a then; do ublk-oci volume delete $name; done
    ok "pools: $fs: snapshots, clones and exports share, and are independent"
done

bytes=16777216
for fs in xfs btrfs; do
    rm -f "$TEST_DIR/count"
    ublk-oci volume create live --size $bytes --pool $fs
    node=/dev/$(ublk-oci volume attach live --json | jq -r .device)
    "$here/ordered.py" write "$node" $bytes "$TEST_DIR/count" &
    writer=$!
    undo sh -c "kill $writer 2>/dev/null || true"
    said=()
    for n in 1 2; do
        want=$(($(cat "$TEST_DIR/count" 2>/dev/null || echo 0) + 20))
        wait_for 60 sh -c "[ \"\$(cat $TEST_DIR/count)\" -ge $want ]"
        before=$(cat "$TEST_DIR/count")
        ublk-oci volume snapshot live "s$n"
        kill -0 $writer || fail "$fs: the writer has ended: nothing is shown"
        said+=("$("$here/ordered.py" check "$pools/$fs/s$n/data" $bytes "$before")")
    done
    expect_fail 'volume live is attached, as ublkb.* or keep it and its copy in one pool' \
        ublk-oci volume clone live elsewhere --pool default
    kill $writer
    wait $writer || true
    ublk-oci volume detach live
    "$here/ordered.py" check "$pools/$fs/live/data" $bytes "$(cat "$TEST_DIR/count")" >/dev/null
    for name in s1 s2 live; do ublk-oci volume delete $name; done
    ok "pools: $fs: copied while it is written, ${said[*]} records whole"
done

# Where nothing is shared.
ublk-oci volume create live --size 1M
ublk-oci volume attach live >/dev/null
expect_fail 'volume live is attached, as ublkb.*end that first .ublk-oci volume detach live.' \
    ublk-oci volume snapshot live then
ublk-oci volume detach live
ublk-oci volume snapshot live then
for name in live then; do ublk-oci volume delete $name; done
ok "pools: without sharing it is copied when nobody writes it"

wire="$here/store_wire.py"
[ "$("$wire" create v 1 100)" = 0 ] || fail "create"
[ "$("$wire" list v)" = '100 104857600' ] || fail "there are $("$wire" list v)"
[ "$("$wire" create w 1 5)" = -28 ] || fail "more than the capacity"
[ "$("$wire" list w)" = '4 4194304' ] || fail "there are $("$wire" list w)"
[ "$("$wire" delete v 1 2)" = 0 ] || fail "delete"
[ "$("$wire" create x 1 3)" = -28 ] || fail "more than the capacity, again"
[ "$("$wire" list x)" = '2 2097152' ] || fail "the room of those that are gone"
[ "$("$wire" delete v 3 100) $("$wire" delete x 1 2) $("$wire" delete w 1 4)" = '0 0 0' ] || fail "delete"
[ "$("$wire" list '')" = '0 0' ] || fail "there are $("$wire" list '')"
expect_nothing_left
ok "pools: a hundred volumes, and the capacity right throughout"
