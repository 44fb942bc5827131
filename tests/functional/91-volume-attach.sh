#!/bin/bash
# Volumes in containers: by command and by annotation; one writer, many readers; who may; restarts.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/store.sh"
requires crun runc jq busybox setpriv

written() { "$1" exec "$2" sh -c "echo $4 >/tmp/w; dd if=/tmp/w of=$3 bs=512 count=1 conv=sync,fsync 2>/dev/null"; }
holds() { [ "$("$1" exec "$2" dd "if=$3" bs=${#4} count=1 2>/dev/null)" = "$4" ]; }
is_free() { [ "$(volume_get "$1" attached)" = false ]; }
unclaimed() { [ -z "$(ublk-oci device list --json | jq -r --arg name "$1" '.[] | select(.name == $name) | .claims[].container.id')" ]; }

# The hook may have volumes, and give them to containers of one folder of cgroups.
jq '.rules += [
    {id: "hook-volumes", principal: {user: "ublk-oci-hook"}, targets: ["file"], pools: ["default"],
        max_size: "1G", max_devices_per_container: 4}]
    | (.rules[] | select(.id == "volumes")) |= (.hook_claims = true
        | .principal.cgroup = "/ublk-oci-test/")' \
    /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
helper_start --policy "$TEST_DIR/policy.json"
store_start --policy "$TEST_DIR/policy.json"
can_grow=$(ublk-oci doctor --json | jq -r '.. | strings | select(test("UPDATE_SIZE"))')

for runtime in crun runc; do
    ublk-oci volume create data --size 16M
    bundle_make "$TEST_DIR/one"
    container_start $runtime one "$TEST_DIR/one"
    ublk-oci attach --container one --volume data
    [ "$($runtime exec one stat -c '%a %F' /dev/data)" = '660 block special file' ] || fail "the node"
    written $runtime one /dev/data hello
    [ "$(head -c 5 $volumes/data/data)" = hello ] || fail "what was written is not in the volume"
    [ "$(volume_get data attached) $(volume_get data access)" = 'true rw' ] ||
        fail "$(ublk-oci volume list)"
    ublk-oci attach --container one --volume data
    [ "$(nr_devices)" = 2 ] || fail "asked twice made more: $(ublk-oci list)"
    ok "volume attach: $runtime: a container has it, and asked twice is one attach"

    bundle_make "$TEST_DIR/two"
    container_start $runtime two "$TEST_DIR/two"
    expect_fail 'another container has it' ublk-oci attach --container two --volume data
    expect_fail 'container one has it' ublk-oci attach --container two --volume data --read-only
    for verb in 'delete data' 'clone data copy' 'snapshot data then' \
        "export data $TEST_DIR/exported"; do
        # shellcheck disable=SC2086 # words
        expect_fail 'volume data is attached, as ublkb' ublk-oci volume $verb
    done
    expect_fail 'container one has it' ublk-oci volume detach data
    holds $runtime one /dev/data hello || fail "the first has lost it"
    ok "volume attach: $runtime: one writer, and nothing else is done to it meanwhile"

    # Where the kernel can the device follows at once, elsewhere at the next attach.
    blocks=16
    [ -z "$can_grow" ] || blocks=32
    ublk-oci volume resize data --size 32M 2>"$TEST_DIR/said"
    grep -q 'warning: it is attached, and its device keeps its size until .*UPDATE_SIZE' "$TEST_DIR/said" ||
        [ "$blocks:$(cat "$TEST_DIR/said")" = 32: ] || fail "the reply: $(cat "$TEST_DIR/said")"
    $runtime exec one dd if=/dev/data bs=1M of=/dev/null 2>&1 | found "^$blocks+0 records in" ||
        fail "the device has another size"
    ublk-oci detach --container one --device /dev/data
    ublk-oci volume detach data
    is_free data || fail "it is still attached"
    expect_fail 'volume data is not attached' ublk-oci volume detach data
    expect_nothing_left
    ublk-oci attach --container one --volume data
    $runtime exec one dd if=/dev/data bs=1M of=/dev/null 2>&1 | found '32+0 records in' ||
        fail "it has not grown"
    ublk-oci detach --container one --device /dev/data
    ublk-oci volume detach data
    ublk-oci volume snapshot data then
    ok "volume attach: $runtime: it grows while it is attached, and its device at the next attach"

    # Many readers, each where it wants it.
    expect_fail 'then is a snapshot' ublk-oci attach --container one --volume then
    ublk-oci attach --container one --volume then --read-only
    ublk-oci attach --container two --volume then --read-only --device /dev/disk/old
    holds $runtime one /dev/then hello || fail "one does not read"
    holds $runtime two /dev/disk/old hello || fail "two does not read"
    ! $runtime exec two sh -c 'echo x >/dev/disk/old' 2>/dev/null || fail "a snapshot is written"
    ublk-oci volume clone then copy
    [ "$(head -c 5 $volumes/copy/data)" = hello ] || fail "the clone"
    [ "$(volume_get data size_bytes) $(volume_get copy size_bytes)" = '33554432 33554432' ] || fail "sizes"
    $runtime delete -f one
    $runtime delete -f two
    wait_for 20 unclaimed then
    ublk-oci volume detach then
    for name in copy then; do ublk-oci volume delete $name; done
    ok "volume attach: $runtime: many read a snapshot, at paths of their own"

    # By annotation: poststop gives it back. The name of the annotation is the path.
    bundle_make "$TEST_DIR/hook" "$(hooks_jq) | $(device_jq disk volume=data)"
    container_start $runtime hook "$TEST_DIR/hook"
    holds $runtime hook /dev/disk hello || fail "not what was written before"
    $runtime delete -f hook
    is_free data || fail "poststop left it attached"
    expect_nothing_left
    bundle_make "$TEST_DIR/path" "$(hooks_jq) | $(device_jq disk volume=data,path=/dev/xvdb,mode=0640)"
    container_start $runtime path "$TEST_DIR/path"
    [ "$($runtime exec path stat -c %a /dev/xvdb)" = 640 ] || fail "mode"
    kill -KILL "$($runtime state path | jq .pid)"
    wait_for 20 unclaimed data
    $runtime delete -f path >/dev/null 2>&1 || true
    wait_for 20 is_free data
    ok "volume attach: $runtime: by annotation, and given back at the end"

    bundle_make "$TEST_DIR/no" "$(hooks_jq) | $(device_jq disk volume=nowhere)"
    expect_fail 'there is no volume nowhere' $runtime run -d --bundle "$TEST_DIR/no" no
    $runtime delete -f no >/dev/null 2>&1 || true
    bundle_make "$TEST_DIR/out" "$(hooks_jq) | $(device_jq disk volume=data)
        | .linux.cgroupsPath=\"/elsewhere/out\""
    expect_fail 'it is for cgroup /ublk-oci-test/' $runtime run -d --bundle "$TEST_DIR/out" out
    $runtime delete -f out >/dev/null 2>&1 || true
    is_free data || fail "a claim that was refused left a device"
    ok "volume attach: $runtime: refused by its cgroup, and nothing is left"
    ublk-oci volume delete data
    expect_nothing_left
done
