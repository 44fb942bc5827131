#!/bin/bash
# A pool whose volumes are RBD images of a Ceph cluster of one node, made by the document's commands: a
# container's data outlive the server of NBD, the worker, the service and the OSD, each under load.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/connector.sh"
. "$(dirname "$0")/../functional/store.sh"
. "$(dirname "$0")/pool.sh"
requires ceph-mon ceph-osd ceph rbd qemu-storage-daemon crun fio jq setpriv pgrep

ip link set lo up
hostname guest
grep -q ' guest' /etc/hosts || echo '127.0.0.1 localhost guest' >>/etc/hosts
undo umount -l /var/lib/ceph
undo eval 'for name in ceph-osd ceph-mon; do ! pid=$(pgrep -x $name) || kill -KILL $pid; done'
recipe_run cluster >cluster.log 2>&1 || fail "$(tail -n 5 cluster.log)"
ok "ceph: a cluster of one node, by the document's commands"

backend_install rbd
pool_dir ceph
pool_dir shared
recipe policy >policy.json
connector_start
pool_start rbd
helper_start --policy "$TEST_DIR/policy.json"
store_start --policy "$TEST_DIR/policy.json"
bundle_make "$TEST_DIR/one"
container_start crun one "$TEST_DIR/one"
recipe_run use >use.out || fail "$(cat use.out "$TEST_DIR"/*.log)"
image=$(image_of db ceph)
[ "$(rbd ls)" = "$image" ] || fail "images: $(rbd ls)"
dev=/dev/$(ublk-oci volume inspect db --json | jq -r .device)
[ "$(blockdev --getsize64 "$dev")" = $((64 << 20)) ] || fail "size $(blockdev --getsize64 "$dev")"
crun exec one sh -c 'dd if=/bin/busybox of=/dev/db bs=64k count=8 2>/dev/null; sync'
want=$(crun exec one sh -c 'dd if=/dev/db bs=64k count=8 2>/dev/null | sha256sum')
ok "ceph: volume create --pool makes an image, and a container writes it"

# server: its process, which has the image's name in its arguments.
server() { pgrep -f "^qemu-storage-daemon.*image=$image"; }
osd_restart() {
    kill -KILL "$(pgrep -x ceph-osd)"
    wait_for 20 eval '! pgrep -x ceph-osd'
    ceph-osd -i 0 >>osd.log 2>&1
}
# Until all is done, however long that takes here.
load() {
    until [ -e loaded ]; do
        fio --name=v --filename="$dev" --ioengine=libaio --direct=1 --iodepth=8 --rw=randwrite --bs=16k --offset=16M \
            --size=16M --verify=crc32c --verify_fatal=1 --verify_backlog=64 --fsync=32 --time_based --runtime=8 \
            --minimal >fio.out 2>&1 || return
    done
}
load &
load=$!
sleep 2
before=$(server)
kill -KILL "$before"
wait_for 20 eval '[ "$(server)" != "$before" ] && server'
# It has another worker by then, for other connections.
wait_for 20 eval '[ "$(ublk-oci inspect $dev --json | jq -r .state)" = live ]'
before=$(worker_of "$dev")
kill -KILL "$before"
wait_for 20 eval '[ "$(worker_of $dev)" != "$before" ]'
sleep 1
osd_restart
kill -0 $load || fail "fio has failed before the OSD came back: $(tail -n 3 fio.out)"
sleep 1
pool_end rbd KILL
pool_start rbd
touch loaded
wait $load || fail "fio: $(tail -n 3 fio.out; tail -n 20 "$TEST_DIR/helper.log")"
[ "$(crun exec one sh -c 'dd if=/dev/db bs=64k count=8 2>/dev/null | sha256sum')" = "$want" ] ||
    fail "the container's data has changed"
ok "ceph: server, worker, OSD (bluestore on a file) and service are killed under load: no error, data verified"

crun delete -f one
expect_fail 'is attached' ublk-oci volume delete db
wait_for 30 ublk-oci volume detach db
wait_for 10 eval '! server'
dev=/dev/$(ublk-oci volume attach db --json | jq -r .device)
[ "$(dd if="$dev" bs=64k count=8 status=none | sha256sum)" = "$want" ] || fail "other data"
recipe_run end
[ -z "$(rbd ls)" ] || fail "left: $(rbd ls)"
[ -z "$(volume_names)" ] || fail "left: $(ublk-oci volume list)"
expect_nothing_left
ok "ceph: attached again it has the data; volume delete removes the image"
