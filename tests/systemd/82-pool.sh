#!/bin/bash
# A pool's back end as a service: started by its socket, shut in, and started again with what it served.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../targets/pool.sh"
. "$(dirname "$0")/service.sh"
requires systemctl jq nbdkit

log() { journalctl -b -o cat -u 'ublk-oci-pool@files.service' -n 20 --no-pager; }
cp /etc/ublk-oci/policy.json "$TEST_DIR/policy.json"
undo systemctl stop ublk-ocid.service
undo cp "$TEST_DIR/policy.json" /etc/ublk-oci/policy.json
recipe policy >/etc/ublk-oci/policy.json
install -d -m 700 -o ublk-oci-pool /srv/shared
undo rm -rf /srv/shared
backend_install files
undo rm -rf /var/lib/ublk-oci/ceph /var/lib/ublk-oci/shared
undo rm -rf /etc/systemd/system/ublk-oci-pool@files.service.d
recipe_run unit
service_start
systemctl restart ublk-ocid.service || fail "$(service_log)"
systemctl -q start ublk-oci-store.socket
undo systemctl stop ublk-oci-store.service ublk-oci-store.socket
bash -eu -c "$(recipe enable | sed 's/@rbd/@files/')" 2>/dev/null
undo systemctl -q disable --now ublk-oci-pool@files.socket ublk-oci-pool@files.service ublk-oci-nbd.socket \
    ublk-oci-nbd.service
[ "$(stat -c '%a %U' /run/ublk-oci-pool/files.sock)" = '600 ublk-oci-store' ] ||
    fail "the socket: $(stat /run/ublk-oci-pool/files.sock)"

ublk-oci volume create --pool shared a --size 1M || fail "$(log)"
dev=/dev/$(ublk-oci volume attach a --json | jq -r .device) || fail "$(log)"
head -c 1M /dev/urandom >data
dd if=data of="$dev" bs=64k oflag=direct status=none
[ "$(stat -c '%a %U %G' /run/ublk-oci-pool/files)" = '750 ublk-oci-pool ublk-oci-nbd' ] || fail "its directory"
server=$(pgrep -f '^nbdkit.*/srv/shared/')
for line in "Uid: $(id -u ublk-oci-pool)" 'CapBnd: 0000000000000000' 'NoNewPrivs: 1' 'Seccomp: 2'; do
    tr '\t' ' ' <"/proc/$server/status" | found "^$line" || fail "its server: not $line"
done
ok "pool: a back end as a service, started by the store's asking, shut in"

systemctl restart ublk-oci-pool@files.service
cmp data <(dd if="$dev" bs=64k iflag=direct status=none) || fail "other data; $(log)"
systemctl kill -s KILL ublk-oci-pool@files.service
dd if=data of="$dev" bs=64k oflag=direct status=none
cmp data <(dd if="$dev" bs=64k iflag=direct status=none) || fail "other data; $(log)"
ublk-oci volume detach a
ublk-oci volume delete a
[ -z "$(ls -A /srv/shared /var/lib/ublk-oci/shared | grep -v :)" ] || fail "left: $(ls -A /srv/shared)"
expect_nothing_left
ok "pool: restarted and killed, it serves again what it served"
