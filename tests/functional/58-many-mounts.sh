#!/bin/bash
# A container that may mount, and has its file system at more places than anybody expects.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq mkfs.ext4 python3

dir=/srv/ublk-oci-many
mkdir -p $dir
mount -t tmpfs -o size=64M none $dir
undo umount -l $dir
cat >"$TEST_DIR/policy.json" <<END
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "mounts", "principal": { "uid": 0 }, "may": ["mount"], "targets": ["file"],
      "backing": ["$dir/"], "max_size": "1G", "max_devices_per_container": 4,
      "mount": { "under": ["/data"], "filesystems": ["ext4"] } } ] }
END
helper_start --policy "$TEST_DIR/policy.json"
truncate -s 32M $dir/image
mkfs.ext4 -q -F $dir/image
bundle_make "$TEST_DIR/c"
container_start crun c "$TEST_DIR/c"
pid=$(crun state c | jq .pid)
ublk-oci attach --container c --mount /data --fs ext4 --target file --backing $dir/image >/dev/null

# As the container's own root would, if it had CAP_SYS_ADMIN.
python3 - "$pid" <<'END'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_BIND = 0x20000, 4096
if libc.setns(os.open(f"/proc/{sys.argv[1]}/ns/mnt", os.O_RDONLY), CLONE_NEWNS):
    sys.exit("setns")
os.mkdir("/more")
for _ in range(300):
    if libc.mount(b"/data", b"/more", None, MS_BIND, None):
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
END
mounts() { grep -c ' /dev/ublkb' "/proc/$pid/mountinfo"; }
[ "$(mounts)" -ge 301 ] || fail "$(mounts) mounts"
expect_fail "mounted it elsewhere" ublk-oci detach --container c --mount /data
ublk-oci detach --container c --mount /data --force >/dev/null
[ "$(mounts || true)" = 0 ] || fail "$(mounts) mounts are left"
expect_nothing_left
ok "mount: of 300 copies of a mount that a container made none is left"
