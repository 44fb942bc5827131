#!/bin/bash
# The walls the unit puts around the helper, and that it can do its work inside.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/service.sh"
requires systemctl crun jq busybox losetup nsenter setpriv mkfs.ext4 fsck.ext4

# A policy of this test's, in force with the helper that starts next.
cp /etc/ublk-oci/policy.json "$TEST_DIR/policy.json"
undo systemctl stop ublk-ocid.service
undo cp "$TEST_DIR/policy.json" /etc/ublk-oci/policy.json
policy() { # JQ
    jq "$1" "$TEST_DIR/policy.json" >"$TEST_DIR/policy.new"
    cat "$TEST_DIR/policy.new" >/etc/ublk-oci/policy.json
}
policy '.filesystems=["tmpfs", "overlay"] | .rules |= map(if has("backing") then
    .backing=["/home/", "/root/", "/run/user/", "/srv/ublk-oci/", "/var/tmp/", "/dev/"] else . end)'
service_start
systemctl restart ublk-ocid.service || fail "$(service_log)"
helper=$(helper_pid)

inside() { nsenter -t "$helper" -m -n "$@"; }
grep -q '^Seccomp:.2$' "/proc/$helper/status" || fail "no system call filter"
for ns in mnt net uts; do
    [ "$(readlink "/proc/$helper/ns/$ns")" != "$(readlink /proc/self/ns/$ns)" ] ||
        fail "it is in the host's $ns namespace"
done
for place in /usr/sbin/new /etc/new /home/new /root/new /sys/power/new; do
    expect_fail 'Read-only file system' inside touch $place
done
mkdir -p /home/confined
for place in /home /root /run/user; do
    [ -z "$(inside ls -A $place)" ] || fail "it sees $(inside ls -A $place) in $place"
done
inside touch /run/ublk-oci/new /var/log/ublk-oci/new || fail "it cannot write its own"
rm /run/ublk-oci/new /var/log/ublk-oci/new
[ "$(inside cat /proc/net/dev | grep -c :)" = 1 ] || fail "it has a network"
[ "$(stat -c '%a %U:%G' /var/log/ublk-oci)" = '750 root:adm' ] ||
    fail "the log: $(stat -c '%a %U:%G' /var/log/ublk-oci)"
ok "confined: the helper writes only its own files, sees no homes, and has no network"

# It follows what the host mounts after its start, also where it may not write itself.
backed() { # WHERE, BACKING
    local node

    node=$(ublk-oci attach --host --target file --backing "$2") || fail "$1: $(service_log)"
    dd if=/dev/urandom of="$TEST_DIR/bytes" bs=1M count=1 2>/dev/null
    dd if="$TEST_DIR/bytes" of="$node" bs=1M oflag=direct conv=fsync 2>/dev/null || fail "$1: no write"
    cmp "$TEST_DIR/bytes" "$2" || fail "$1: other bytes in the file"
    ublk-oci detach "$node" >/dev/null || fail "$1: $(service_log)"
}
for place in /home/confined /root; do
    truncate -s 1M $place/disk.img
    backed $place $place/disk.img
    rm $place/disk.img
done
ok "confined: backing files in homes, which it does not see"

for place in /home /root /run/user /srv/ublk-oci /var/tmp; do
    mkdir -p $place
    mount -t tmpfs confined $place
    undo umount $place
    inside grep -q "^confined $place " /proc/self/mounts || fail "it does not follow to $place"
    truncate -s 1M $place/disk.img
    backed $place $place/disk.img
    wait_for 10 umount $place # the kernel lets go of a worker's file a moment after its end
    ! inside grep -q "^confined $place " /proc/self/mounts || fail "the helper keeps $place mounted"
    mount -t tmpfs confined $place
done
ok "confined: backing files on what was mounted after its start, and nothing stays mounted"

modprobe loop
truncate -s 1M /srv/ublk-oci/loop.img
loop=$(losetup --find --show /srv/ublk-oci/loop.img)
undo losetup -d "$loop"
backed "block device" "$loop"
as_helper() { sh -c "echo \$\$ >/sys/fs/cgroup$unit_cgroup/helper/cgroup.procs && $1"; }
as_helper ": </dev/ublk-control && : <$loop && : </dev/null" || fail "its devices do not open"
expect_fail 'Operation not permitted' as_helper ': </dev/loop-control'
ok "confined: block devices open, as backing files too, other devices do not"

node=$(ublk-oci attach --host --target memory --size 1M) || fail "$(service_log)"
ublk-oci inspect "$node" --sandbox --json >"$TEST_DIR/inspect" || fail "$(cat "$TEST_DIR/inspect")"
jq -e '.worker | .faults == [] and .seccomp_filters > 1' "$TEST_DIR/inspect" >/dev/null ||
    fail "$(cat "$TEST_DIR/inspect")"
ok "confined: a worker has its own walls, and the unit's filters on top"

# Another one takes over, in its second cgroup; one that hangs is seen, and killed.
worker() { ublk-oci inspect --json "$node" | jq .worker.pid; }
ublk-oci upgrade "$node" >/dev/null || fail "$(service_log)"
ublk-oci inspect "$node" --sandbox >/dev/null || fail "its new worker is not sealed"
policy '.hang_seconds=1'
# Not by systemctl: the directory systemd made for its PrivateTmp is below what was mounted above.
ublk-oci policy reload || fail "$(service_log)"
pid=$(worker)
kill -STOP "$pid"
timeout 60 dd if="$node" of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null || fail "$(service_log)"
service_log 1000 | found "its worker (pid $pid) is stopped: it is killed" || fail "$(service_log)"
ublk-oci detach "$node" >/dev/null
ok "confined: workers are replaced, and one that hangs is found"

# What a container keeps of its node is closed, by a helper that did not make it.
userns='.linux.namespaces += [{"type":"user"}]
    | .linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]
    | .linux.gidMappings=.linux.uidMappings'
chmod 711 "$TEST_DIR"
bundle_make "$TEST_DIR/kept" "$userns"
chown -R 100000:100000 "$TEST_DIR/kept/rootfs"
container_start crun kept "$TEST_DIR/kept"
ublk-oci attach --container kept --device /dev/data --target memory --size 1M >/dev/null ||
    fail "$(service_log)"
pid=$(crun state kept | jq .pid)
: >"$TEST_DIR/kept/rootfs/tmp/kept"
nsenter -t "$pid" -U -m /bin/busybox mount --bind /dev/data /tmp/kept
kept() { stat -c '%a %u' "/proc/$pid/root/tmp/kept"; }
before=$(kept)
[ "${before#* }" = 100000 ] || fail "the node is $before"
systemctl restart ublk-ocid.service || fail "$(service_log)"
crun exec kept dd if=/dev/data of=/tmp/bytes bs=64k count=1 2>/dev/null || fail "it does not open"
[ "$(kept)" = "$before" ] || fail "was $before, is $(kept)"
ublk-oci detach --container kept --device /dev/data >/dev/null || fail "$(service_log)"
[ "$(kept)" = "0 0" ] || fail "the node it kept is still open: $(kept)"
! crun exec kept test -e /dev/data || fail "/dev/data is still there"
expect_nothing_left
ok "confined: after a restart a node the container kept is closed all the same"

# A file system in place of a device, idmapped, before and after a restart.
policy '.rules=[{"id":"mounts", "principal":{"uid":0}, "may":["mount"], "targets":["file"],
    "backing":["/srv/ublk-oci/"], "max_size":"64M", "max_devices_per_container":1,
    "mount":{"under":["/data"], "filesystems":["ext4"]}}]'
ublk-oci policy reload || fail "$(service_log)"
truncate -s 16M /srv/ublk-oci/mount.img
chmod 644 /srv/ublk-oci/mount.img
mkfs.ext4 -q -F /srv/ublk-oci/mount.img
ublk-oci attach --container kept --mount /data --fs ext4 --target file --backing /srv/ublk-oci/mount.img >/dev/null ||
    fail "$(service_log)"
systemctl restart ublk-ocid.service || fail "$(service_log)"
[ "$(crun exec kept sh -c 'echo a >/data/a; stat -c %u /data/a')" = 0 ] || fail "it is not mounted"
ublk-oci detach --container kept --mount /data || fail "$(service_log)"
expect_nothing_left
fsck.ext4 -fn /srv/ublk-oci/mount.img >"$TEST_DIR/fsck" 2>&1 || fail "$(cat "$TEST_DIR/fsck")"
rm /srv/ublk-oci/mount.img
container_delete crun kept
ok "confined: it mounts a file system in a container with a user namespace, and unmounts it"

# On the host, which is not what the helper sees: process 1 has it, and what follows that, the
# helper too; also in a home, where the helper sees nothing.
policy '.rules=[{"id":"mounts", "principal":{"uid":0}, "host":true, "may":["mount"], "targets":["file"],
    "backing":["/srv/ublk-oci/"], "max_size":"64M",
    "mount":{"under":["/home/confined/", "/srv/ublk-oci/"], "filesystems":["ext4"]}}]'
ublk-oci policy reload || fail "$(service_log)"
mkdir -p /home/confined /srv/ublk-oci/on
undo rmdir /srv/ublk-oci/on
truncate -s 16M /srv/ublk-oci/mount.img
chmod 644 /srv/ublk-oci/mount.img
mkfs.ext4 -q -F /srv/ublk-oci/mount.img
mkdir /home/confined/on
for place in /srv/ublk-oci/on /home/confined/on; do
    ublk-oci attach --host --mount $place --fs ext4 --target file --backing /srv/ublk-oci/mount.img >/dev/null ||
        fail "$place: $(service_log)"
    grep -q " $place rw,nosuid,nodev.* - ext4 /dev/ublkb" /proc/1/mountinfo || fail "process 1 has no $place"
    echo $place >$place/where
    systemctl restart ublk-ocid.service || fail "$(service_log)"
    [ "$(nsenter -t 1 -m cat $place/where)" = $place ] || fail "a restart took $place"
    ublk-oci detach --host --mount $place || fail "$place: $(service_log)"
    expect_nothing_left
    ! grep -q /dev/ublkb /proc/1/mountinfo "/proc/$(helper_pid)/mountinfo" || fail "$place stays mounted"
    fsck.ext4 -fn /srv/ublk-oci/mount.img >"$TEST_DIR/fsck" 2>&1 || fail "$(cat "$TEST_DIR/fsck")"
done
rmdir /home/confined/on
rm /srv/ublk-oci/mount.img
ok "confined: it mounts a file system on the host, where process 1 sees it, and a restart leaves it there"

# A user's own container, in a cgroup of theirs.
policy '.rules=[{"id":"tester", "principal":{"uid":1000}, "targets":["memory"], "max_size":"1M",
    "max_devices_per_container":2}]'
helper=$(helper_pid)
systemctl reload ublk-ocid.service || fail "$(service_log)"
expect_fail 'policy' ublk-oci attach --host --target memory --size 1M
[ "$(helper_pid)" = "$helper" ] || fail "reload started another helper"
echo '{}' >/etc/ublk-oci/policy.json
! systemctl reload ublk-ocid.service 2>/dev/null || fail "a reload of a bad policy succeeds"
systemctl -q is-active ublk-ocid.service || fail "a bad policy ended it: $(service_log)"
expect_fail 'policy' ublk-oci attach --host --target memory --size 1M
[ "$(helper_pid)" = "$helper" ] || fail "reload started another helper"
ok "confined: systemctl reload: a new policy holds at once, a bad one is an error"

bundle_make "$TEST_DIR/own" 'del(.linux.resources, .linux.cgroupsPath)
    | .linux.namespaces=[.linux.namespaces[] | select(.type != "network")] + [{type:"user"}]
    | .linux.uidMappings=[{containerID:0,hostID:1000,size:1}]
    | .linux.gidMappings=[{containerID:0,hostID:1000,size:1}]
    | .mounts=[.mounts[] | select(.destination | IN("/dev", "/proc"))]'
chown -R 1000:1000 "$TEST_DIR/own"
mkdir -p /run/user/1000
chown 1000:1000 /run/user/1000
group=$(getent group ublk-oci | cut -d : -f 3)
systemd-run -q --unit=own --uid=1000 --gid=1000 -p Delegate=yes -E XDG_RUNTIME_DIR=/run/user/1000 \
    -E HOME=/ crun --cgroup-manager=disabled run --bundle "$TEST_DIR/own" own
undo systemctl stop own.service
as_user() {
    setpriv --reuid 1000 --regid 1000 --groups "$group" \
        env HOME=/ XDG_RUNTIME_DIR=/run/user/1000 "$@"
}
running() { [ "$(as_user crun state own | jq -r .status)" = running ]; }
wait_for 20 running
as_user ublk-oci attach --container own --device /dev/data --target memory --size 1M >/dev/null ||
    fail "$(service_log)"
[ "$(as_user ublk-oci list --json | jq -r '.[0].path')" = /dev/data ] || fail "no device"
expect_fail 'policy' as_user ublk-oci attach --container own --device /dev/more --target memory --size 2M
systemctl stop own.service
expect_nothing_left
ok "confined: a user gives their own rootless container what the rule allows"

said=$(service_log 1000 | grep -i -E 'operation not permitted|seccomp|read-only') || true
[ -z "$said" ] || fail "the walls were in the way: $said"
