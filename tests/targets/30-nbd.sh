#!/bin/bash
# Target nbd: servers by Unix and TCP sockets, that go and come back, that are slow, or lie.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/serve.sh"
requires jq fio nbdkit qemu-nbd mkfs.ext4 e2fsck python3

socks=/run/ublk-oci-test-nbd
mkdir -p $socks
undo rm -rf $socks
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "slow", "principal": { "uid": 0 }, "host": true, "targets": ["nbd"], "max_size": "1G",
      "nbd": ["unix:$socks/slow"], "nbd_timeout": 2 },
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["nbd"], "max_size": "1G",
      "nbd": ["unix:$socks/", "tcp:127.0.0.1:10809"], "discard": true } ] }
END
/usr/sbin/ublk-oci-nbd 2>>"$TEST_DIR/nbd.log" &
connector=$!
undo kill $connector
wait_for 10 test -S /run/ublk-oci/nbd.sock
helper_start --policy "$TEST_DIR/policy.json"

# server NAME COMMAND...: its socket is for everybody, as the connector is nobody special.
server() {
    local name=$1

    shift
    "$@" >>"$TEST_DIR/$name.log" 2>&1 &
    eval "pid_$name=$!"
    # shellcheck disable=SC2016
    undo eval "kill -KILL $! 2>/dev/null || true"
    wait_for 10 test -S $socks/$name
    chmod 666 $socks/$name
}
server_stop() { kill -"${2:-TERM}" "$1"; wait "$1" 2>/dev/null || true; }
attach() { ublk-oci attach --host --target nbd --nbd "$@"; }
detach() { ublk-oci detach "$1" >/dev/null; }
blocks() { dd "$@" bs=4k status=none; }
verify() {
    fio --name=v --filename="$1" --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite \
        --bsrange=4k-1M --size="${2:-16M}" --verify=crc32c --verify_fatal=1 --fsync=16 --minimal >fio.out 2>&1 ||
        fail "fio: $(tail -n 3 fio.out)"
}

truncate -s 32M disk
server mem nbdkit -f -U $socks/mem memory 16M
dev=$(attach unix:$socks/mem)
[ "$(blockdev --getsize64 "$dev")" = $((16 << 20)) ] || fail "size $(blockdev --getsize64 "$dev")"
ublk-oci inspect "$dev" --json | jq -e '.connections == 2 and .backing == "unix:'$socks'/mem"' >/dev/null ||
    fail "$(ublk-oci inspect "$dev" --json)"
ublk-oci inspect "$dev" --sandbox >/dev/null || fail "not sealed"
head -c 16M /dev/zero >zero
"$build/tests/functional/model_device" "$dev" zero 7 600 >model.out || fail "model: $(cat model.out)"
verify "$dev"
detach "$dev"
ok "nbd: nbdkit's memory by two connections: what plain memory would have"
expect_nothing_left
