#!/bin/bash
# What servers and back ends are behind: each of them against plain memory, see model.sh.
# short: 6.12
# seconds: 2700
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/connector.sh"
. "$(dirname "$0")/../functional/serve.sh"
. "$(dirname "$0")/servers.sh"
. "$(dirname "$0")/model.sh"
requires nbdkit qemu-nbd qemu-img qemu-storage-daemon

# tmpfs: what they have is flushed often.
images=/srv/ublk-oci-images
program=/usr/libexec/ublk-oci-test-disk
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "host", "principal": { "uid": 0 }, "host": true, "targets": ["nbd", "image"], "max_size": "512M",
      "backing": ["$images/"], "formats": ["qcow2"], "nbd": ["unix:$socks/", "exec:$program"], "discard": true } ] }
END
cat >$program <<END
#!/bin/sh
exec /usr/bin/nbdkit --foreground memory $model_bytes
END
chmod 755 $program
undo rm -f $program
connector_start
helper_start --policy "$TEST_DIR/policy.json"
mkdir -p $images
mount -t tmpfs -o size=700M none $images
undo umount $images
truncate -s $model_bytes $images/{kit,qemu}
qemu-img create -q -f qcow2 $images/qcow2 $model_bytes
server kit nbdkit -f -U "$socks/kit" file $images/kit
server qemu qemu-nbd -t -e 4 -k "$socks/qemu" -f raw -x disk --discard=unmap $images/qemu

model_each <<END
nbdkit   /dev/zero zeroes --target nbd --nbd unix:$socks/kit
qemu-nbd /dev/zero zeroes --target nbd --nbd unix:$socks/qemu --export disk
image    /dev/zero keeps  --target image --format qcow2 --backing $images/qcow2 --size $model_bytes
program  /dev/zero zeroes --target nbd --nbd exec:$program --size $model_bytes
END
qemu-img check -q $images/qcow2 || fail "image: it is not sound"
ok "model: the qcow2 is sound"
expect_nothing_left
