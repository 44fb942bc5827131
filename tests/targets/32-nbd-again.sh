#!/bin/bash
# Target nbd asked for twice, as by two stages of an engine: a server that has room for one client
# sees one.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/connector.sh"
requires jq nbdkit crun

socks=/run/ublk-oci-test-again
mkdir -p $socks
undo rm -rf $socks
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "containers", "principal": { "uid": 0 }, "targets": ["nbd"], "max_size": "1G",
      "max_devices_per_container": 4, "nbd": ["unix:$socks/"] },
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["nbd"], "max_size": "1G",
      "nbd": ["unix:$socks/"] } ] }
END
connector_start
helper_start --policy "$TEST_DIR/policy.json"
nbdkit -f -U $socks/one --filter=limit memory 4M limit=1 >"$TEST_DIR/nbdkit.log" 2>&1 &
undo kill $!
wait_for 10 test -S $socks/one
chmod 666 $socks/one
bundle_make "$TEST_DIR/c"
container_start crun c "$TEST_DIR/c"
attach() { ublk-oci attach --container c --device /dev/data --target nbd --nbd unix:$socks/one --connections 1 "$@"; }

dev=$(attach)
[ "$(attach)" = "$dev" ] || fail "another device"
crun exec c dd if=/dev/zero of=/dev/data bs=64k count=1 conv=fsync 2>dd.err || fail "$(cat dd.err)"
expect_fail 'is at /dev/data already' attach --size 1M
expect_fail 'export is attached read-write already' ublk-oci attach --host --target nbd --nbd unix:$socks/one
[ "$(grep -c 'limit' nbdkit.log)" = 0 ] || fail "it was connected to: $(cat nbdkit.log)"
ublk-oci detach --container c --all >/dev/null
ok "nbd: asked for again, a device is found without its server; another one of that export is refused so too"

# At the same time: who comes second waits for the first.
attach >first &
one=$!
attach >second || fail "the second ask failed"
wait $one || fail "the first ask failed"
cmp first second || fail "two devices: $(cat first second)"
[ "$(nr_devices)" = 1 ] || fail "$(ublk-oci list)"
ublk-oci detach --container c --all >/dev/null
expect_nothing_left
ok "nbd: two asks at the same time are one device"
