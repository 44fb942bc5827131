#!/bin/bash
# Containers that ask for devices in their OCI config, with crun and runc.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun runc jq busybox

helper_start

# What the container's process sees of its device, at its very first moment.
job='stat -c "%a %u:%g %F" /dev/data
dd if=/dev/urandom of=/tmp/wanted bs=64k count=16 2>/dev/null
dd if=/tmp/wanted of=/dev/data bs=64k conv=fsync 2>/dev/null
dd if=/dev/data of=/tmp/got bs=64k count=16 iflag=direct 2>/dev/null
cmp /tmp/wanted /tmp/got && echo same
while ! test -e /tmp/end; do sleep 0.1; done'

for runtime in crun runc; do
    # Both early stages on one container: the second is the same attach.
    bundle=$TEST_DIR/hook-$runtime
    # As the node's owner: root has no CAP_DAC_OVERRIDE in these containers.
    bundle_make "$bundle" "$(hooks_jq 'prestart createRuntime poststop')
        | $(device_jq data target=memory,size=8M,mode=0640,uid=7,gid=8)
        | $(device_jq more target=null,size=1M,path=/dev/disk/more)
        | .process.user={\"uid\":7,\"gid\":8} | .process.args=[\"sh\",\"/job\"]"
    chmod 777 "$bundle/rootfs/tmp"
    echo "$job" >"$bundle/rootfs/job"
    "$runtime" run --bundle "$bundle" "hook-$runtime" </dev/null >"$bundle/log" 2>&1 &
    pid=$!
    undo container_delete "$runtime" "hook-$runtime"
    (wait_for 30 grep -q same "$bundle/log") || fail "$(cat "$bundle/log" "$TEST_DIR/helper.log")"
    head -n 1 "$bundle/log" | found '^640 7:8 block special file$' || fail "$(cat "$bundle/log")"
    ok "hook: $runtime: the node has the mode and owner of its annotation, and works"

    ublk-oci list --json >"$TEST_DIR/list"
    jq -e --arg id "hook-$runtime" 'length == 2 and all(.container.id == $id and .state == "live"
        and .rule == "hook-scratch" and .worker.uid >= 910000)' "$TEST_DIR/list" >/dev/null ||
        fail "list: $(cat "$TEST_DIR/list")"
    "$runtime" exec "hook-$runtime" test -b /dev/disk/more || fail "no /dev/disk/more"
    ok "hook: $runtime: list names container, rule and worker of both devices"

    # From outside: with the container's process all others in it end, by a signal.
    touch "$bundle/rootfs/tmp/end"
    wait $pid || fail "the container failed: $(cat "$bundle/log")"
    expect_nothing_left
    ok "hook: $runtime: when the container ends nothing is left"

    # Killed from outside, with the runtime's poststop never called.
    bundle_make "$TEST_DIR/dies" "$(hooks_jq createRuntime) | $(device_jq data target=memory,size=1M)"
    container_start "$runtime" dies "$TEST_DIR/dies"
    kill -KILL "$("$runtime" state dies | jq .pid)"
    expect_nothing_left
    "$runtime" delete -f dies
    ok "hook: $runtime: a container that is killed leaves nothing, also without poststop"

    # A request that cannot be met fails the container's creation, in one line.
    for wrong in 'target=memory,size=9G|over its 1G' 'target=memory,size=1M,colour=red|colour' \
        'target=memory|size' 'target=file,backing=/etc/passwd|(backing|cannot open|refuse)'; do
        bundle_make "$TEST_DIR/wrong" "$(hooks_jq) | $(device_jq data "${wrong%%|*}")"
        expect_fail "${wrong#*|}" "$runtime" run --bundle "$TEST_DIR/wrong" wrong
        "$runtime" delete -f wrong >/dev/null 2>&1 || true
        nothing_left || fail "left: $(leftovers)"
    done
    ok "hook: $runtime: an annotation that is refused ends the container's creation and says why"

    # The second of two is refused: the first must go too.
    bundle_make "$TEST_DIR/half" "$(hooks_jq) | $(device_jq a target=memory,size=1M)
        | $(device_jq b target=memory,size=9G)"
    expect_fail 'over its 1G' "$runtime" run --bundle "$TEST_DIR/half" half
    "$runtime" delete -f half >/dev/null 2>&1 || true
    expect_nothing_left
    ok "hook: $runtime: all devices of a container, or none"
done

# The hook has left root before it reads what the container's author wrote.
bundle_make "$TEST_DIR/plain"
container_start crun plain "$TEST_DIR/plain"
mkfifo "$TEST_DIR/state"
(cd "$TEST_DIR/plain" && exec /usr/libexec/ublk-oci/ublk-oci-hook <"$TEST_DIR/state") &
hook=$!
exec 9>"$TEST_DIR/state"
wait_for 10 grep -q "^Uid:.$(id -u ublk-oci-hook)\b" "/proc/$hook/status"
grep -q '^CapPrm:.0000000000000000$' "/proc/$hook/status" || fail "it has capabilities"
grep -q '^NoNewPrivs:.1$' "/proc/$hook/status" || fail "it may gain privileges"
crun state plain >&9
exec 9>&-
wait $hook || fail "a container without annotations of ours is not the hook's business"
ok "hook: it waits for its input as ublk-oci-hook, without capabilities"
