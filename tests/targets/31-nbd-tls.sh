#!/bin/bash
# NBD through TLS: a proxy speaks it, and the device has a Unix socket. Who is not the server it says
# it is gets nothing.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/connector.sh"
. "$(dirname "$0")/../tls.sh"
requires jq fio nbdkit openssl setpriv

socks=/run/ublk-oci-test-tls
mkdir -p $socks
chown nobody $socks
undo rm -rf $socks
ip link set lo up
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["nbd"], "max_size": "1G",
      "nbd": ["unix:$socks/", "tcp:127.0.0.1:10809"] } ] }
END
connector_start
helper_start --policy "$TEST_DIR/policy.json"

chmod 711 "$TEST_DIR"
tls_authority "$TEST_DIR/ca"
tls_authority "$TEST_DIR/other"
tls_server "$TEST_DIR/server" IP:127.0.0.1 "$TEST_DIR/ca"
tls_server "$TEST_DIR/elsewhere" IP:127.0.0.2 "$TEST_DIR/ca"
mkdir client stranger
cp ca/ca-cert.pem client/
cp other/ca-cert.pem stranger/
chmod 755 client stranger

server_pid='' proxy_pid=''
end() { # PID
    [ -z "$1" ] || { kill -KILL "$1" && wait "$1" 2>/dev/null; } || true
}
undo eval 'end "$server_pid"; end "$proxy_pid"'

# server OPTION...: at 10809, with a file.
server() {
    end "$server_pid"
    nbdkit -f -i 127.0.0.1 -p 10809 "$@" file disk >>server.log 2>&1 &
    server_pid=$!
    wait_for 10 eval '(: </dev/tcp/127.0.0.1/10809) 2>/dev/null'
}
# proxy CERTIFICATES RETRIES: as ublk-oci-target(7) has it, and as nobody special.
proxy() {
    end "$proxy_pid"
    rm -f $socks/nbd
    (cd / && exec setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs nbdkit --foreground \
        --unix $socks/nbd --filter=retry nbd uri=nbds://127.0.0.1 tls-certificates="$1" \
        retries="$2" retry-delay=1 retry-exponential=no) >>proxy.log 2>&1 &
    proxy_pid=$!
    wait_for 20 test -S $socks/nbd
    chmod 666 $socks/nbd
}
attach() { ublk-oci attach --host --target nbd --nbd "$@"; }
proxy_refuses() { # CERTIFICATES PATTERN
    : >proxy.log
    proxy "$1" 1
    expect_fail 'NBD server unix:' attach unix:$socks/nbd
    grep -q -i "$2" proxy.log || fail "the proxy says: $(cat proxy.log)"
}
state_is() { [ "$(ublk-oci inspect "$dev" --json | jq -r .state)" = "$1" ]; }
verify() {
    fio --name=v --filename="$dev" --ioengine=libaio --direct=1 --iodepth=8 --rw=randwrite --bsrange=4k-256k \
        --size=6M --verify=crc32c --verify_fatal=1 --fsync=16 --minimal "$@" >fio.out 2>&1
}

truncate -s 16M disk
server --tls=require --tls-certificates="$TEST_DIR/server"
expect_fail 'requires TLS, .* proxy .* TLS in ublk-oci-target' attach tcp:127.0.0.1:10809
expect_fail 'needs TLS, .* proxy .* TLS in ublk-oci-target' attach nbds://127.0.0.1/disk
expect_fail 'is written tcp:HOST:PORT' attach nbd://127.0.0.1/disk
ok "tls: a server that requires it, and an address with it, are told what to do"

proxy "$TEST_DIR/client" 20
dev=$(attach unix:$socks/nbd)
[ "$(blockdev --getsize64 "$dev")" = $((16 << 20)) ] || fail "size $(blockdev --getsize64 "$dev")"
verify || fail "fio: $(tail -n 3 fio.out)"
sync "$dev"
cmp "$dev" disk || fail "the server has something else"
ok "tls: what is written through the proxy is at the server, and the same"

verify --loops=2 &
load=$!
sleep 1
end "$server_pid"
sleep 0.5
server --tls=require --tls-certificates="$TEST_DIR/server"
wait $load || fail "fio: $(tail -n 3 fio.out) $(tail -n 3 proxy.log)"
verify --loops=2 &
load=$!
sleep 1
proxy "$TEST_DIR/client" 20
wait $load || fail "fio: $(tail -n 3 fio.out) $(tail -n 3 proxy.log)"
wait_for 30 state_is live
ublk-oci detach "$dev" >/dev/null
ok "tls: the server and the proxy are killed under load, and come back: no error"

proxy_refuses "$TEST_DIR/stranger" 'certificate'
server --tls=require --tls-certificates="$TEST_DIR/elsewhere"
proxy_refuses "$TEST_DIR/client" 'certificate'
server --tls=off
proxy_refuses "$TEST_DIR/client" 'TLS'
ok "tls: a server of another authority, of another name, or without TLS is not connected to"
expect_nothing_left
