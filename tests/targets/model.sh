# shellcheck shell=bash
# Sourced after serve.sh, by tests of a target on a real device:
#
#   model_each <<END
#   NAME IMAGE zeroes|keeps ATTACH-OPTION...
#   END
#
# For each: 100,000 random operations have what plain memory would have; fio finds what it wrote, beside trims, zeroes
# and flushes; ext4 and XFS are clean. In the short form it is the same with fewer of each. IMAGE has what is
# on the device at first, and "keeps" says that a discard need not leave zeroes. MODEL_TARGETS='cow image' chooses some.
requires jq fio mkfs.ext4 e2fsck mkfs.xfs xfs_repair blkdiscard

model_bytes=320M # the least that XFS takes
operations=100000 fio_bytes=32M
[ -z "${SUITE_SHORT:-}" ] || { operations=2000; fio_bytes=6M; }
mkdir -p mnt

model() { # IMAGE zeroes|keeps
    local keeps=()

    head -c 16M "$1" >first
    [ "$2" != keeps ] || keeps=(keeps)
    "$build/tests/functional/model_device" "$dev" first 7 $operations "${keeps[@]}" >model.out ||
        fail "$name: model: $(cat model.out)"
}

verified() {
    local i

    head -c 8M /dev/zero | tr '\0' x | dd of="$dev" bs=1M seek=192 oflag=direct iflag=fullblock status=none
    fio --filename="$dev" --ioengine=libaio --direct=1 --iodepth=16 --fsync=16 --minimal \
        --name=verified --rw=randwrite --bsrange=4k-1M --offset=32M --size=$fio_bytes --verify=crc32c --verify_fatal=1 \
        --name=trimmed --rw=randtrimwrite --bs=64k --offset=128M --size=$fio_bytes >fio.out 2>&1 &
    for i in 192 195 198; do
        blkdiscard --offset ${i}M --length 1M "$dev"
        blkdiscard --zeroout --offset $((i + 1))M --length 1M "$dev"
    done
    wait $! || fail "$name: fio: $(sed '/^[0-9];/d' fio.out | tail -n 3)"
    [ "$(dd if="$dev" bs=1M skip=192 count=8 iflag=direct status=none | tr -d '\0' | tr -d x | wc -c)" = 0 ] &&
        [ "$(dd if="$dev" bs=1M skip=192 count=8 iflag=direct status=none | tr -d '\0' | wc -c)" = $((2 << 20)) ] ||
        fail "$name: what was discarded beside it is not zeroes, or something else is"
}

file_system() { # ext4|xfs
    if [ "$1" = ext4 ]; then mkfs.ext4 -q -F "$dev"; else mkfs.xfs -q -f "$dev"; fi
    mount "$dev" mnt
    undo eval "! mountpoint -q $TEST_DIR/mnt || umount $TEST_DIR/mnt"
    cp -r /etc/init.d /bin/busybox mnt/
    umount mnt
    mount "$dev" mnt
    cmp /bin/busybox mnt/busybox || fail "$name: $1 has changed"
    umount mnt
    if [ "$1" = ext4 ]; then e2fsck -fn "$dev" >fsck 2>&1; else xfs_repair -n "$dev" >fsck 2>&1; fi ||
        fail "$name: $1: $(tail -n 5 fsck)"
}

since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.0f s", to - from }'; }

# One of the two in the short form.
systems=(ext4 xfs)
systems_of() { # number of the row
    if [ -z "${SUITE_SHORT:-}" ]; then echo "${systems[@]}"; else echo "${systems[$(($1 % 2))]}"; fi
}

model_each() {
    local nr=0 name image keeps options begin took fs

    while read -r name image keeps options; do
        [ -z "${MODEL_TARGETS:-}" ] || [[ " $MODEL_TARGETS " == *" $name "* ]] || continue
        # shellcheck disable=SC2086 # words
        dev=$(ublk-oci attach --host $options)
        begin=$EPOCHREALTIME
        model "$image" "$keeps"
        took="$operations operations ($(since "$begin"))"
        begin=$EPOCHREALTIME
        verified
        took+=", fio ($(since "$begin"))"
        begin=$EPOCHREALTIME
        for fs in $(systems_of $nr); do file_system "$fs"; done
        ublk-oci detach "$dev" >/dev/null
        ok "model: $name: $took, $(systems_of $nr) ($(since "$begin"))"
        nr=$((nr + 1))
    done
}
