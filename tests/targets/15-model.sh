#!/bin/bash
# What files and memory are behind: each target against plain memory, see model.sh.
# short: 7.3
# seconds: 2700
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/serve.sh"
. "$(dirname "$0")/model.sh"

dir=/srv/ublk-oci
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["memory", "file", "fault", "cow"],
      "max_size": "512M", "backing": ["$dir/"], "discard": true, "zero_copy": true } ] }
END
helper_start --policy "$TEST_DIR/policy.json"
mkdir -p $dir
truncate -s 1500M fs
mkfs.ext4 -q fs
mount -o loop fs $dir
undo umount $dir
truncate -s $model_bytes $dir/{file,fault,base}
dd if=/dev/urandom of=$dir/base bs=1M count=16 conv=notrunc status=none
base_hash=$(sha256sum <$dir/base)

model_each <<END
memory /dev/zero zeroes --target memory --size $model_bytes
cow    $dir/base zeroes --target cow --base $dir/base --backing $dir/delta
fault  /dev/zero zeroes --target fault --backing $dir/fault
file   /dev/zero zeroes --target file --backing $dir/file
END
if [ -e $dir/delta ]; then
    [ "$(sha256sum <$dir/base)" = "$base_hash" ] || fail "cow: the base was written"
    ublk-oci cow check $dir/delta --base $dir/base >check.out
    grep -q 'sound: ' check.out || fail "cow: $(cat check.out)"
    ok "model: cow's base was not written, and its delta is sound"
fi
expect_nothing_left
