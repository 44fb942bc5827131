#!/bin/bash
# A rule's "discard": without it the device cannot free space, and its worker has no operation
# that could.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/serve.sh"
requires jq blkdiscard mkfs.ext4

jq '{ version, worker_ids, rules: [
    { id: "keeps", principal: { uid: 0 }, host: true, targets: ["memory", "file"], max_size: "16M",
      backing: ["/srv/ublk-oci/"], max_devices: 4, discard: false },
    { id: "frees", principal: { uid: 0 }, host: true, targets: ["memory", "file"], max_size: "64M",
      backing: ["/srv/ublk-oci/"], max_devices: 4, discard: true } ] }' \
    /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
helper_start --policy "$TEST_DIR/policy.json"
srv_mount

# blocks FILE: what it takes on its file system.
blocks() { stat -c %b "$1"; }

for target in memory file; do
    for rule in keeps frees; do
        size=16M
        [ $rule = keeps ] || size=64M
        what="--size $size"
        if [ $target = file ]; then
            truncate -s $size /srv/ublk-oci/$rule.img
            what="--backing /srv/ublk-oci/$rule.img"
        fi
        # shellcheck disable=SC2086 # words
        node=$(ublk-oci attach --host --target $target $what | grep -o '/dev/ublkb[0-9]*')
        queue=/sys/block/${node#/dev/}/queue
        read -r most <"$queue/discard_max_bytes"
        read -r most_zeroes <"$queue/write_zeroes_max_bytes"
        ublk-oci inspect "$node" --json >"$TEST_DIR/inspect"
        dd if=/dev/urandom of="$node" bs=1M count=4 oflag=direct status=none
        if [ $rule = keeps ]; then
            jq -e '.rule == "keeps" and .discard == false' "$TEST_DIR/inspect" >/dev/null ||
                fail "inspect: $(cat "$TEST_DIR/inspect")"
            [ "$most $most_zeroes" = '0 0' ] || fail "$target: discards of $most, $most_zeroes bytes"
            ! blkdiscard "$node" 2>/dev/null || fail "$target: space was freed"
            # Zeroes asked for are written, by the block layer.
            blkdiscard --zeroout --length 1M "$node"
            [ "$(dd if="$node" bs=1M count=1 iflag=direct status=none | tr -d '\0' | wc -c)" = 0 ] ||
                fail "$target: not zeroes"
            [ $target = memory ] || [ "$(blocks /srv/ublk-oci/$rule.img)" -ge 8192 ] ||
                fail "$(blocks /srv/ublk-oci/$rule.img) blocks are left"
        else
            jq -e '.rule == "frees" and .discard == true' "$TEST_DIR/inspect" >/dev/null ||
                fail "inspect: $(cat "$TEST_DIR/inspect")"
            [ "$most" -gt 0 ] || fail "$target: no discards"
            [ "$most_zeroes" -gt 0 ] || fail "$target: no zeroes by it"
            blkdiscard "$node"
            [ $target = memory ] || [ "$(blocks /srv/ublk-oci/$rule.img)" = 0 ] ||
                fail "$(blocks /srv/ublk-oci/$rule.img) blocks are left"
        fi
        ublk-oci detach --host "$node" >/dev/null
    done
    ok "discard: $target: only with the grant is space freed"
done
expect_nothing_left
helper_stop

# Of tmpfs and ext4 only the latter has the hole.
truncate -s 64M "$TEST_DIR/fs"
mkfs.ext4 -q "$TEST_DIR/fs"
mkdir "$TEST_DIR/mnt"
mount -o loop "$TEST_DIR/fs" "$TEST_DIR/mnt"
undo umount "$TEST_DIR/mnt"
image=$TEST_DIR/mnt/hostile.img

# A worker that was taken over. Blocks behind the end of its file are counted by no limit of the
# kernel; the operation that allocates them is on the ring of a device with the grant, and of no
# other. Nor does a read-only device's ring write.
hostile() { # attack, expected end, OPTION...
    local attack=$1 expected=$2 end

    shift 2
    rm -f "$image"
    truncate -s 1G "$image"
    end=$("$build/tests/functional/serve" --worker "$build/tests/hostile/hostile-worker" \
        --target file --backing "$image" --attack "$attack" "$@" \
        </dev/null 2>serve.err | sed -n 's/^worker: //p') || true
    [ "$end" = "$expected" ] || fail "$attack $*: ended with '$end': $(head -n 1 serve.err)"
}

hostile ring_grow_keep_size 'status 200'
[ "$(blocks "$image")" -gt 0 ] || fail "it allocated nothing, so this shows nothing"
hostile ring_grow_keep_size 'status 13' --no-discard
[ "$(blocks "$image")" = 0 ] || fail "blocks behind the end"
hostile ring_permitted_punch 'status 13' --no-discard
hostile ring_grow_keep_size 'status 13' --read-only
hostile ring_write_behind_end 'status 13' --read-only
ok "discard: without it a hostile worker cannot allocate behind its device's end"
