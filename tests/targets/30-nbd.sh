#!/bin/bash
# Target nbd: servers by Unix and TCP sockets, that go and come back, are slow, fail, or lie.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/connector.sh"
. "$(dirname "$0")/../functional/serve.sh"
. "$(dirname "$0")/servers.sh"
requires jq fio nbdkit qemu-nbd mkfs.ext4 e2fsck python3

ip link set lo up
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "slow", "principal": { "uid": 0 }, "host": true, "targets": ["nbd"], "max_size": "1G",
      "nbd": ["unix:$socks/slow"], "nbd_timeout": 2 },
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["nbd"], "max_size": "1G",
      "nbd": ["unix:$socks/", "tcp:127.0.0.1:10809"], "discard": true } ] }
END
connector_start
helper_start --policy "$TEST_DIR/policy.json"

attach() { ublk-oci attach --host --target nbd --nbd "$@"; }
blocks() { dd "$@" bs=4k status=none; }
state() { ublk-oci inspect "$1" --json | jq -r ".$2"; }
state_is() { [ "$(state "$1" "$2")" = "$3" ]; }
worker() { state "$1" worker.pid; }
verify() { # DEVICE [OPTION...]
    local dev=$1

    shift
    fio --name=v --filename="$dev" --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite \
        --bsrange=4k-1M --size=12M --verify=crc32c --verify_fatal=1 --fsync=16 --minimal "$@" >fio.out 2>&1
}

server mem nbdkit -f -U $socks/mem memory 16M
dev=$(attach unix:$socks/mem)
[ "$(blockdev --getsize64 "$dev")" = $((16 << 20)) ] || fail "size $(blockdev --getsize64 "$dev")"
ublk-oci inspect "$dev" --json | jq -e '.connections == 2 and .backing == "unix:'$socks'/mem"' >/dev/null ||
    fail "$(ublk-oci inspect "$dev" --json)"
ublk-oci inspect "$dev" --sandbox >/dev/null || fail "not sealed"
head -c 16M /dev/zero >zero
"$build/tests/functional/model_device" "$dev" zero 7 500 >model.out || fail "model: $(cat model.out)"
verify "$dev" || fail "fio: $(tail -n 3 fio.out)"
expect_fail 'attached' attach unix:$socks/mem
ok "nbd: nbdkit's memory by two connections: what plain memory would have"

before=$(worker "$dev")
kill -KILL "$before"
blocks if="$dev" of=/dev/null count=1 iflag=direct
[ "$(worker "$dev")" != "$before" ] || fail "the same worker"
ublk-oci upgrade "$dev" >/dev/null
blocks if="$dev" of=/dev/null count=1 iflag=direct
detach "$dev"
ok "nbd: another worker has connections of its own"

# A server with a file behind it is killed, and comes back, while the device is written.
truncate -s 32M disk
server file nbdkit -f -U $socks/file file disk
dev=$(attach unix:$socks/file)
verify "$dev" --loops=3 &
load=$!
for _ in 1 2 3; do
    sleep 1.5
    server_end file
    sleep 0.3
    server file nbdkit -f -U $socks/file file disk
done
wait $load || fail "fio: $(tail -n 3 fio.out)"
# The last loss may be a moment ago: nobody has asked for anything since.
wait_for 30 state_is "$dev" state live
detach "$dev"
ok "nbd: a server is killed and comes back under load: no error, and the data is there"

server_end file
server file qemu-nbd -t -e 4 -k $socks/file -f raw -x disk --discard=unmap disk
dev=$(attach unix:$socks/file --export disk)
mkfs.ext4 -q "$dev"
mkdir -p mnt
mount "$dev" mnt
undo eval "! mountpoint -q $TEST_DIR/mnt || umount $TEST_DIR/mnt"
cp /bin/busybox mnt/
sync mnt/busybox
kill -KILL "$(worker "$dev")"
cmp /bin/busybox mnt/busybox || fail "the file system has changed"
umount mnt
e2fsck -fn "$dev" >fsck 2>&1 || fail "$(tail -n 5 fsck)"
detach "$dev"
ok "nbd: ext4 on qemu-nbd is clean"

nbdkit -f -i 127.0.0.1 -p 10809 --filter=blocksize-policy memory 16M blocksize-minimum=4096 \
    blocksize-preferred=4096 blocksize-maximum=64K blocksize-error-policy=error >tcp.log 2>&1 &
undo kill $!
wait_for 10 eval 'ublk-oci detach $(attach tcp:127.0.0.1:10809)'
dev=$(attach tcp:127.0.0.1:10809 --connections 4)
name=${dev#/dev/}
[ "$(cat "/sys/block/$name/queue/logical_block_size")" = 4096 ] || fail "its blocks"
[ "$(cat "/sys/block/$name/queue/max_hw_sectors_kb")" = 64 ] || fail "its requests"
verify "$dev" || fail "fio: $(tail -n 3 fio.out)"
state_is "$dev" connections 4 || fail "$(state "$dev" connections) connections"
detach "$dev"
ok "nbd: by TCP and four connections, in blocks of the server's sizes"

server_end file
server file nbdkit -f -r -U $socks/file --filter=error memory 1M error-pread=ENOSPC error-pread-rate=100%
expect_fail 'no rule|not in its list' attach tcp:127.0.0.1:10810
expect_fail 'cannot connect' attach unix:$socks/nobody
expect_fail 'read-only' attach unix:$socks/file
expect_fail 'has 1048576 bytes' attach unix:$socks/file --access ro --size 2M
dev=$(attach unix:$socks/file --access ro)
before=$(worker "$dev")
expect_fail 'No space|Input/output' blocks if="$dev" of=/dev/null count=1 iflag=direct
[ "$(worker "$dev")" = "$before" ] || fail "an error is no loss"
detach "$dev"
ok "nbd: what a rule, a server or an error says no to"

# Slow, and failing as long as there is that file. What was answered well is there.
server odd nbdkit -f -U $socks/odd --filter=error --filter=delay memory 16M error-pwrite=ENOSPC \
    error-pwrite-rate=40% error-file="$TEST_DIR/failing" rdelay=20ms wdelay=60ms
dev=$(attach unix:$socks/odd)
before=$(worker "$dev")
begin=${EPOCHREALTIME/./}
blocks if=zero of="$dev" count=1 oflag=direct
took=$((${EPOCHREALTIME/./} - begin))
[ $took -ge 60000 ] || fail "a write took $took us"
verify "$dev" --size=2M || fail "fio: $(tail -n 3 fio.out)"
touch failing
written=()
for ((i = 0; i < 24; i++)); do
    head -c 4k /dev/zero | tr '\0' "\\$((101 + i % 7))" >block
    ! blocks if=block of="$dev" seek=$i oflag=direct 2>/dev/null || written+=($i)
done
rm failing
[ ${#written[@]} -gt 3 ] && [ ${#written[@]} -lt 24 ] || fail "${#written[@]} of 24 writes went well"
for i in "${written[@]}"; do
    head -c 4k /dev/zero | tr '\0' "\\$((101 + i % 7))" >block
    cmp -n 4096 block <(blocks if="$dev" skip="$i" count=1 iflag=direct) || fail "block $i is not what was written"
done
verify "$dev" --size=2M || fail "fio: $(tail -n 3 fio.out)"
[ "$(worker "$dev")" = "$before" ] || fail "an error is no loss"
detach "$dev"
ok "nbd: a slow server, and one that fails: ${#written[@]} of 24 writes went well, and are there; none was asked for again"

# What a server still does is waited for, before it is asked again. One that is stopped says nothing.
server slow nbdkit -f -U $socks/slow memory 1M
dev=$(attach unix:$socks/slow)
kill -STOP "${pids[slow]}"
blocks if=/dev/zero of="$dev" count=1 oflag=direct &
write=$!
wait_for 30 eval 'state $dev failure | grep "has not closed"'
kill -0 $write || fail "the write has ended"
kill -KILL $helper_pid
wait $helper_pid 2>/dev/null || true
server_end slow
server slow nbdkit -f -U $socks/slow memory 1M
helper_start --policy "$TEST_DIR/policy.json"
wait $write || fail "the write has failed"
detach "$dev"
ok "nbd: no write is asked again before the server is done with it; the helper's death changes nothing"

# A liar, and its neighbour.
cp "$(dirname "$0")/../hostile/backend.py" liar
server lie python3 liar $socks/lie
other=$(attach unix:$socks/mem)
dev=$(attach unix:$socks/lie --access ro)
blocks if="$dev" of=/dev/null count=1 iflag=direct 2>/dev/null &
reader=$!
wait_for 20 grep -q 'ended with status 3' "$TEST_DIR/helper.log"
verify "$other" || fail "fio: $(tail -n 3 fio.out)"
ublk-oci detach --force "$dev" >/dev/null
wait $reader && fail "the liar is believed"
detach "$other"
ok "nbd: who lies is not believed, and its neighbour does not notice"

ublk-oci targets | found '^nbd' || fail "not among the targets"
expect_fail 'needs an address' ublk-oci attach --host --target nbd
expect_fail 'is for target nbd' ublk-oci attach --host --target memory --size 1M --export x
expect_nothing_left
