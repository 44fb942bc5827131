#!/bin/bash
# Target fault: slow as it is told to be, and failing where and as often as it is told to.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires jq

cat >"$TEST_DIR/policy.json" <<'END'
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [ { "id": "host",
    "principal": { "uid": 0 }, "host": true, "targets": ["fault"], "backing": ["/srv/ublk-oci/"],
    "max_size": "64M", "discard": true, "zero_copy": true } ] }
END
helper_start --policy "$TEST_DIR/policy.json"
srv_mount
truncate -s 8M /srv/ublk-oci/a.img

attach() { ublk-oci attach --host --target fault --backing /srv/ublk-oci/a.img "$@"; }
blocks() { dd "$@" bs=4k status=none; }

for path in auto copy; do
    dev=$(attach --data-path $path --delay 300)
    begin=${EPOCHREALTIME/./}
    blocks if=/dev/urandom of="$dev" count=1 oflag=direct
    took=$((${EPOCHREALTIME/./} - begin))
    [ $took -ge 300000 ] || fail "a write took $took us"
    ublk-oci inspect "$dev" --sandbox >/dev/null || fail "not sealed"
    ublk-oci detach "$dev" >/dev/null
    ok "fault: $path: each request takes so much longer, in a sealed worker"

    dev=$(attach --data-path $path --error-range 1M+4K)
    blocks if=/dev/zero of="$dev" seek=255 count=1 oflag=direct
    blocks if=/dev/zero of="$dev" seek=257 count=1 oflag=direct
    expect_fail 'Input/output error' blocks if="$dev" of=/dev/null skip=256 count=1 iflag=direct
    expect_fail 'Input/output error' blocks if=/dev/zero of="$dev" seek=256 count=1 oflag=direct
    ublk-oci detach "$dev" >/dev/null
    ok "fault: $path: what touches the range fails, and nothing beside it"
done

dev=$(attach --error-ratio 0.25 --depth 1 --queues 1)
count() {
    local failed=0 i

    for ((i = 0; i < 60; i++)); do
        blocks if="$dev" of=/dev/null skip="$i" count=1 iflag=direct 2>/dev/null || failed=$((failed + 1))
    done
    echo $failed
}
first=$(count)
[ "$first" -ge 5 ] && [ "$first" -le 30 ] || fail "$first of 60 failed, wanted about 15"
ublk-oci detach "$dev" >/dev/null
ok "fault: about the part that was asked for fails: $first of 60 for 0.25"

expect_fail 'is for target fault' ublk-oci attach --host --target memory --size 1M --delay 5
expect_nothing_left
