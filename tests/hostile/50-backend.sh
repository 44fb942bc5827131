#!/bin/bash
# A back end that somebody has taken over, against who talks to it: the connector, the helper, its own
# worker, and another device, which does not notice. What it can reach itself is in tests/targets/40.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../targets/connector.sh"
requires jq python3

dir=/usr/libexec/ublk-oci-hostile
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p $dir
undo rm -rf $dir
for way in plain silent garbage small endless negative descriptors slow eater threads; do
    cp "$here/backend.py" $dir/$way
    chmod 755 $dir/$way
    programs+="\"exec:$dir/$way\","
done
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["nbd"], "max_size": "1G",
      "nbd": [${programs%,}] } ] }
END
connector_start
helper_start --policy "$TEST_DIR/policy.json"
attach() { ublk-oci attach --host --target nbd --nbd "exec:$dir/$1" --size 1M; }
nr_fds() { ls "/proc/$1/fd" | wc -l; }
inspect() { ublk-oci inspect "$1" --json | jq -r ".$2"; }
neighbour_is_well() {
    dd if="$other" of=/dev/null bs=64k iflag=direct status=none || fail "the neighbour's device"
    [ "$(inspect "$other" worker.pid)" = "$worker" ] || fail "the neighbour has another worker"
    kill -0 "$helper_pid" && kill -0 $connector || fail "the helper or the connector has ended"
}

other=$(attach plain)
worker=$(inspect "$other" worker.pid)
refused() { expect_fail 'NBD server|bytes' attach "$1"; }
asks=()
for way in silent garbage small endless negative; do
    refused $way &
    asks+=($!)
done
for ask in "${asks[@]}"; do
    wait "$ask" || fail "one of them was not refused in words"
done
neighbour_is_well
[ "$(nr_devices)" = 1 ] || fail "$(ublk-oci list)"
ok "backend: one that is silent, speaks no NBD, or has a size that cannot be, makes no device"

dev=$(attach descriptors)
before=$(nr_fds "$(inspect "$dev" worker.pid)")
dd if="$dev" of=/dev/null bs=64k iflag=direct status=none || fail "it is not served"
[ "$(nr_fds "$(inspect "$dev" worker.pid)")" = "$before" ] || fail "the worker has taken descriptors"
[ "$before" = "$(nr_fds "$worker")" ] || fail "the worker has $before descriptors"
detach "$dev"
ok "backend: descriptors that come with its answers go nowhere"

dev=$(attach slow)
dd if="$dev" of=/dev/null bs=256k count=2 iflag=direct status=none || fail "it is not served"
neighbour_is_well
detach "$dev"
dev=$(attach threads)
head -c 4096 "$dev" | tr -d '\0' >said
read -r nr rest <said
[ "$nr" -gt 0 ] && [ "$nr" -le 256 ] && [[ $rest = *'; fork: '* ]] || fail "it has started $(cat said)"
neighbour_is_well
detach "$dev"
ok "backend: a slow one is slow by itself; of threads one got $nr, of processes none"

dmesg -C
dev=$(attach eater)
dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null &
reader=$!
eaten() { dmesg | found 'Memory cgroup out of memory: Killed process'; }
wait_for 30 eaten
neighbour_is_well
ublk-oci detach --force "$dev" >/dev/null
! wait $reader || fail "it was served by nobody"
neighbour_is_well
detach "$other"
expect_nothing_left
ok "backend: one that takes memory without end is ended by its cgroup, again and again, alone"
