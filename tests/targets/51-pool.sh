#!/bin/bash
# Pools of back ends without a cluster: what is half made, fails, or is asked again; and the document's
# recipes for nbdkit.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/connector.sh"
. "$(dirname "$0")/../functional/store.sh"
. "$(dirname "$0")/pool.sh"
requires nbdkit jq setpriv busybox curl

ip link set lo up
install -d -m 700 -o ublk-oci-pool /srv/shared
undo rm -rf /srv/shared
backend_install files
program=/etc/ublk-oci/backends/files
chmod 775 $program
expect_fail 'must be a regular file of root' /usr/sbin/ublk-oci-pool files
chmod 755 $program
expect_fail 'there is no program .*/nothing: No such file' timeout 20 /usr/sbin/ublk-oci-pool nothing
expect_fail 'there is no program .*/nothing: No such file' \
    timeout 20 setpriv --reuid ublk-oci-pool --clear-groups /usr/sbin/ublk-oci-pool nothing
expect_fail 'started by the service manager' \
    timeout 20 setpriv --reuid ublk-oci-pool --clear-groups /usr/sbin/ublk-oci-pool files
pool_dir ceph
pool_dir shared
recipe policy >policy.json
jq '.rules += [{id: "servers", principal: {user: "root"}, host: true, targets: ["nbd"], max_size: "1G",
    nbd: ["unix:/run/nbdkit/"]}]' policy.json >policy.more
chmod 644 policy.more
connector_start
helper_start --policy "$TEST_DIR/policy.more"
store_start --policy "$TEST_DIR/policy.more"
images() { (cd /srv/shared && echo *.*) | sed 's/^\*\.\*$//'; }

expect_fail 'cannot be asked.*ublk-oci-pool@files.socket' ublk-oci volume create --pool shared a --size 1M
[ -z "$(volume_names)" ] || fail "a volume without an image"
pool_start files
ublk-oci volume create --pool shared a --size 1M
[ "$(images)" = "$(image_of a shared)" ] || fail "images: $(images)"
[ "$(stat -c '%U %s' "/srv/shared/$(images)")" = 'ublk-oci-pool 1048576' ] || fail "the image"
expect_fail 'already' ublk-oci volume create --pool shared a --size 1M
expect_fail 'made empty' ublk-oci volume create --pool shared b --size 1M --fs ext4
expect_fail 'does not look' ublk-oci volume clone a b
expect_fail 'does not look' ublk-oci volume check a
expect_fail 'not wiped' ublk-oci volume delete a --wipe
expect_fail 'size 2T is over' ublk-oci volume create --pool ceph b --size 2T
[ "$(ublk-oci volume inspect a --json | jq -r .pool)" = shared ] || fail "$(ublk-oci volume inspect a)"
ok "pool: a volume is an image, and what cannot be done with it is said"

dev=/dev/$(ublk-oci volume attach a --json | jq -r .device)
[ "$(ublk-oci volume attach a --json | jq -r .device)" = "${dev#/dev/}" ] || fail "attached twice"
pid=$(pgrep -f "^nbdkit.*$(images)")
for line in "Uid: $(id -u ublk-oci-pool)" 'CapEff: 0000000000000000' 'NoNewPrivs: 1'; do
    tr '\t' ' ' <"/proc/$pid/status" | found "^$line" || fail "its server: not $line"
done
[ "$(stat -c '%a %U %G' /run/ublk-oci-pool/files)" = '750 ublk-oci-pool ublk-oci-nbd' ] || fail "the sockets"
head -c 1M /dev/urandom >data
dd if=data of="$dev" bs=64k oflag=direct status=none
ublk-oci volume resize a --size 2M 2>said
grep -q 'until it is detached' said || fail "no word of its size: $(cat said)"
kill -KILL "$pid"
cmp data <(dd if="$dev" bs=64k iflag=direct status=none) || fail "other data"
ublk-oci volume detach a
wait_for 20 eval '! pgrep -f "^nbdkit.*/srv/shared/"'
[ -z "$(ls /run/ublk-oci-pool/files)" ] || fail "left: $(ls /run/ublk-oci-pool/files)"
dev=/dev/$(ublk-oci volume attach a --json | jq -r .device)
[ "$(blockdev --getsize64 "$dev")" = 2097152 ] || fail "its size"
cmp -n 1048576 data "$dev" || fail "other data"
ok "pool: its server is nobody, comes back when it is killed, and ends with the device; resize"

# The next service serves what the last one did.
pool_end files KILL
wait_for 20 eval '! pgrep -f "^nbdkit.*/srv/shared/"'
pool_start files
cmp -n 1048576 data <(dd if="$dev" bs=64k iflag=direct status=none) || fail "other data"
ublk-oci volume detach a
ok "pool: a service that was killed: the next one serves the same"

# A program that fails, and one that is killed with its image made.
cp $program program
sed -i 's/^create.*/create) touch "$image"; echo the disk is on fire >\&2; exit 7 ;;/' $program
expect_fail 'the disk is on fire .status 7' ublk-oci volume create --pool shared b --size 1M
[ "$(images)" = "$(image_of a shared)" ] || fail "a half-made image is left: $(images)"
sed -i 's/exit 7 ;;/exec sleep 1000 ;;/' $program
ublk-oci volume create --pool shared b --size 1M >out 2>&1 &
asker=$!
wait_for 10 eval 'ls /srv/shared/b.*'
pkill -KILL -u ublk-oci-store
wait $asker && fail "it was made"
pool_end files KILL
store_start --policy "$TEST_DIR/policy.more"
[ "$(images | wc -w)" = 2 ] || fail "images: $(images)"
cp program $program
pool_start files
ublk-oci volume create --pool shared b --size 1M
[ "$(images | wc -w)" = 2 ] && ls /srv/shared/"$(image_of b shared)" >/dev/null || fail "images: $(images)"
pool_end files KILL
ublk-oci volume delete b 2>said
grep -q 'is not yet' said || fail "no word of the image: $(cat said)"
expect_fail 'no volume b' ublk-oci volume inspect b
pool_start files
ublk-oci volume delete a
ublk-oci volume create --pool shared c --size 1M
[ "$(images)" = "$(image_of c shared)" ] || fail "left: $(images)"
ublk-oci volume delete c
[ -z "$(images)$(ls -A /var/lib/ublk-oci/shared)" ] || fail "left: $(images) $(ls -A /var/lib/ublk-oci/shared)"
ok "pool: of what failed, was killed, or could not be removed nothing is left in the end"

# The rest of the page.
undo rm -rf /run/nbdkit
undo eval 'for file in /run/nbdkit/*.pid; do kill "$(cat "$file")"; done'
recipe_run memory
dev=$(recipe_run attach)
dd if=data of="$dev" bs=64k oflag=direct status=none
cmp -n 1048576 data "$dev" || fail "memory: other data"
ublk-oci detach "$dev" >/dev/null
mkdir www
cp data www/disk.img
busybox httpd -f -p 127.0.0.1:8000 -h www >http.log 2>&1 &
undo kill $!
wait_for 10 curl -sf -o /dev/null http://127.0.0.1:8000/disk.img
recipe_run sh
recipe_run curl
for name in sh curl; do
    chgrp ublk-oci-nbd /run/nbdkit/$name
    chmod 660 /run/nbdkit/$name
done
dev=$(ublk-oci attach --host --target nbd --nbd unix:/run/nbdkit/sh --access ro)
[ "$(dd if="$dev" bs=4k count=1 status=none | tr -d u | wc -c)" = 0 ] || fail "sh: other data"
ublk-oci detach "$dev" >/dev/null
dev=$(ublk-oci attach --host --target nbd --nbd unix:/run/nbdkit/curl --access ro)
cmp data "$dev" || fail "curl: other data"
ublk-oci detach "$dev" >/dev/null
expect_nothing_left
ok "pool: the document's recipes for nbdkit: memory, sh, curl"
