#!/bin/bash
# ublk-oci attach and detach on running containers, with and without a user namespace.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun runc jq busybox fio mkfs.ext4

helper_start
srv_mount

userns='.linux.namespaces += [{"type":"user"}]
    | .linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]
    | .linux.gidMappings=.linux.uidMappings'

for runtime in crun runc; do
    for kind in plain userns; do
        id=$runtime-$kind
        change=.
        [ $kind = plain ] || change=$userns
        bundle_make "$TEST_DIR/$id" "$change"
        if [ $kind = userns ]; then
            chmod 711 "$TEST_DIR"
            chown -R 100000:100000 "$TEST_DIR/$id/rootfs"
        fi
        container_start "$runtime" "$id" "$TEST_DIR/$id"

        truncate -s 16M "/srv/ublk-oci/$id.img"
        ublk-oci attach --container "$id" --device /dev/xvdb --target file \
            --backing "/srv/ublk-oci/$id.img" --uid 0 --gid 5 --mode 0660
        [ "$("$runtime" exec "$id" stat -c '%a %u:%g' /dev/xvdb)" = '660 0:5' ] || fail "wrong node"
        "$runtime" exec "$id" sh -c 'dd if=/dev/urandom of=/dev/xvdb bs=1M count=16 conv=fsync 2>/dev/null'
        [ "$("$runtime" exec "$id" sha256sum /dev/xvdb | cut -d ' ' -f 1)" = \
            "$(sha256sum "/srv/ublk-oci/$id.img" | cut -d ' ' -f 1)" ] || fail "not the same bytes"
        ok "attach: $id: what the container wrote is in the backing file"

        # The beginning of the ID is enough, and asked twice is one attach.
        ublk-oci attach --container "$runtime-${kind:0:3}" --device /dev/xvdb --target file \
            --backing "/srv/ublk-oci/$id.img" --uid 0 --gid 5 --mode 0660
        [ "$(nr_devices)" = 1 ] || fail "asked twice made two"
        ok "attach: $id: asked twice is one attach"

        # What is not listed stays forbidden.
        mknod "$TEST_DIR/$id/rootfs/tmp/other" b 7 0
        ! "$runtime" exec "$id" dd if=/tmp/other of=/dev/null count=1 2>/dev/null ||
            fail "an unlisted device opens"
        "$runtime" exec "$id" dd if=/dev/zero of=/dev/null count=1 2>/dev/null || fail "/dev/zero"
        ok "attach: $id: other devices are as before"

        # A directory in which only owners may remove what is theirs.
        "$runtime" exec "$id" sh -c 'mkdir /dev/sticky && chmod 1777 /dev/sticky'
        ublk-oci attach --container "$id" --device /dev/sticky/a --target memory --size 1M
        ublk-oci detach --container "$id" --device /dev/sticky/a
        [ -z "$("$runtime" exec "$id" ls /dev/sticky)" ] || fail "the node's place stays"
        ok "attach: $id: a node in a sticky directory goes whole"

        ublk-oci detach --container "$id" --all
        ! "$runtime" exec "$id" test -e /dev/xvdb || fail "/dev/xvdb is still there"
        expect_nothing_left
        "$runtime" delete -f "$id"
    done
done

# fio inside a container: random writes of mixed sizes, trims and flushes, every block verified.
bundle_make "$TEST_DIR/fio" '.mounts += [{"destination":"/usr","type":"bind","source":"/usr",
    "options":["rbind","ro"]}] | .process.env=["PATH=/bin:/usr/bin"]'
for dir in lib lib64; do
    [ ! -L /$dir ] || cp -P /$dir "$TEST_DIR/fio/rootfs/"
done
cp /etc/ld.so.cache "$TEST_DIR/fio/rootfs/etc/"
container_start crun fio "$TEST_DIR/fio"
truncate -s 64M /srv/ublk-oci/fio.img
for target in '--target memory --size 64M' '--target file --backing /srv/ublk-oci/fio.img'; do
    # shellcheck disable=SC2086 # words
    ublk-oci attach --container fio --device /dev/data $target
    # The second job trims the half that the first does not verify, at the same time.
    crun exec fio fio --filename=/dev/data --direct=1 --ioengine=libaio --allow_file_create=0 \
        --name=verify --rw=randwrite --bsrange=4k-256k --iodepth=16 --size=32M --io_size=64M \
        --verify=crc32c --verify_fatal=1 --fsync=16 --randseed=3 \
        --name=trim --rw=randtrimwrite --bs=64k --offset=32M --size=32M --io_size=32M \
        --iodepth=8 --fdatasync=16 --randseed=4 \
        >"$TEST_DIR/fio.out" 2>&1 || fail "fio: $(tail -n 5 "$TEST_DIR/fio.out")"
    ublk-oci detach --container fio --device /dev/data
    ok "attach: fio verifies every block, inside a container: ${target%% --size*}"
done

# Read-only: no write gets through, and the file stays as it was.
before=$(sha256sum /srv/ublk-oci/fio.img)
ublk-oci attach --container fio --device /dev/ro --target file --backing /srv/ublk-oci/fio.img --read-only
! crun exec fio sh -c 'echo hello >/dev/ro' 2>/dev/null || fail "a read-only device was written"
crun exec fio dd if=/dev/ro of=/dev/null bs=1M count=4 2>/dev/null || fail "it cannot be read"
ublk-oci detach --container fio --device /dev/ro
[ "$before" = "$(sha256sum /srv/ublk-oci/fio.img)" ] || fail "the backing file changed"
ok "attach: a read-only device is not written"

# A device for the host.
node=$(ublk-oci attach --host --target memory --size 64M | grep -o '/dev/ublkb[0-9]*')
[ -b "$node" ] || fail "no node"
mkfs.ext4 -q "$node"
mkdir "$TEST_DIR/mnt"
mount "$node" "$TEST_DIR/mnt"
expect_fail "in use.*$TEST_DIR/mnt" ublk-oci detach --host "$node"
ok "attach: a mounted device is not detached, and who has it is named"
umount "$TEST_DIR/mnt"
# shellcheck disable=SC2217 # it only holds it
sleep 1000 <"$node" &
sleeper=$!
expect_fail "in use.*$sleeper" ublk-oci detach --host "$node"
ublk-oci list --json | jq -e '.[0].state == "live"' >/dev/null || fail "it is no longer live"
kill $sleeper
wait $sleeper 2>/dev/null || true
ublk-oci detach --host "$node"
ok "attach: an open device is not detached, and who has it is named"

# The same in a container; afterwards it still opens. --force takes it all the same.
ublk-oci attach --container fio --device /dev/data --target memory --size 1M
crun exec -d fio sh -c 'exec sleep 1000 </dev/data'
sleeps_on_it() {
    local fd

    for fd in $(find /proc/[0-9]*/fd/0 -lname '*data*' 2>/dev/null); do
        ! grep -q -x sleep "${fd%/fd/0}/comm" || return 0
    done
    return 1
}
wait_for 10 sleeps_on_it
expect_fail 'in use.*sleep' ublk-oci detach --container fio --device /dev/data
crun exec fio dd if=/dev/data of=/dev/null bs=4k count=1 2>/dev/null || fail "it no longer opens"
ublk-oci detach --container fio --device /dev/data --force
expect_nothing_left
ok "attach: a device open in its container is not detached without --force"
