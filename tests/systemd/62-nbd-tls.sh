#!/bin/bash
# The example units of a proxy to NBD through TLS: started by their socket, without rights, and a
# device of what is behind them.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../tls.sh"
. "$(dirname "$0")/service.sh"
requires systemctl systemd-analyze jq nbdkit openssl

here=$(cd "$(dirname "$0")" && pwd)
cp "$here"/../../docs/examples/ublk-oci-tls@.{socket,service} /run/systemd/system/
undo rm -f /run/systemd/system/ublk-oci-tls@.socket /run/systemd/system/ublk-oci-tls@.service
mkdir -p /etc/ublk-oci/tls/db
undo rm -rf /etc/ublk-oci/tls
cp /etc/ublk-oci/policy.json "$TEST_DIR/policy.json"
undo systemctl stop ublk-ocid.service
undo cp "$TEST_DIR/policy.json" /etc/ublk-oci/policy.json
cat >/etc/ublk-oci/policy.json <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["nbd"], "max_size": "1G",
      "nbd": ["unix:/run/ublk-oci-tls/db.sock"] } ] }
END
service_start
systemctl restart ublk-ocid.service || fail "$(service_log)"
systemctl -q enable --now ublk-oci-nbd.socket
undo systemctl stop ublk-oci-nbd.service ublk-oci-nbd.socket

said=$(systemd-analyze verify --man=no --recursive-errors=no ublk-oci-tls@db.socket ublk-oci-tls@db.service 2>&1) ||
    fail "systemd-analyze: $said"
[ -z "$said" ] || fail "systemd-analyze: $said"
systemd-analyze security --offline=yes --no-pager --threshold=30 \
    /run/systemd/system/ublk-oci-tls@.service >exposure || fail "$(tail -n 3 exposure)"
ok "tls: systemd-analyze has nothing to say of the example's units; exposure 3.0 at most"

tls_authority "$TEST_DIR/ca"
tls_server "$TEST_DIR/server" DNS:localhost "$TEST_DIR/ca"
install -m 600 "$TEST_DIR/ca/ca-cert.pem" /etc/ublk-oci/tls/db/
echo URI=nbds://localhost:10809 >/etc/ublk-oci/tls/db/uri
truncate -s 8M disk
nbdkit -f -i 127.0.0.1 -p 10809 --tls=require --tls-certificates="$TEST_DIR/server" file disk >server.log 2>&1 &
undo kill $!
systemctl start ublk-oci-tls@db.socket || fail "$(systemctl status ublk-oci-tls@db.socket)"
undo systemctl stop ublk-oci-tls@db.socket ublk-oci-tls@db.service
dev=$(ublk-oci attach --host --target nbd --nbd unix:/run/ublk-oci-tls/db.sock) ||
    fail "$(cat server.log; journalctl --no-pager -n 20 -u ublk-oci-tls@db.service)"
dd if=/dev/urandom of="$dev" bs=1M count=4 seek=2 conv=fsync status=none
cmp "$dev" disk || fail "the server has something else"
pid=$(systemctl show -P MainPID ublk-oci-tls@db.service)
[ "$(awk '/^Uid:/ { print ($2 > 1000) }' "/proc/$pid/status")" = 1 ] || fail "$(grep Uid "/proc/$pid/status")"
grep -q '^CapEff:.0000000000000000$' "/proc/$pid/status" || fail "$(grep Cap "/proc/$pid/status")"

# It dies, and is started by the next connection.
kill -KILL "$pid"
dd if="$dev" of=/dev/null bs=1M iflag=direct status=none || fail "$(service_log)"
cmp "$dev" disk || fail "the device has something else"
ublk-oci detach "$dev" >/dev/null
expect_nothing_left
ok "tls: a device behind the example's proxy, which dies, and is there again"
