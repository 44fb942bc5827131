#!/bin/bash
# A rule's I/O limits: the container's cgroup has them before it has the device, and loses them
# with it; nobody else is limited.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq

tree=/sys/fs/cgroup/ublk-oci-test # where bundle_make puts containers
usr='.mounts += [{"destination":"/usr","type":"bind","source":"/usr",
    "options":["rbind","ro"]}] | .process.env=["PATH=/usr/bin:/bin","LC_ALL=C"]'

jq '{ version, worker_ids, rules: [
    { id: "slow", principal: { uid: 0, cgroup: "/ublk-oci-test/slow" }, targets: ["memory"],
      max_size: "64M", max_devices_per_container: 4, io: { write_bytes: "4M", read_ops: 100000 } },
    { id: "behind", principal: { uid: 0, cgroup: "/ublk-oci-test/behind" }, targets: ["file"],
      backing: ["/dev/"], max_size: "64M", max_devices_per_container: 4, io: { write_bytes: "4M" } },
    { id: "free", principal: { uid: 0 }, targets: ["memory"], max_size: "64M",
      max_devices_per_container: 4 },
    { id: "disk", principal: { uid: 0 }, targets: ["file"], backing: ["/dev/"], max_size: "64M",
      max_devices_per_container: 4 } ] }' /etc/ublk-oci/policy.json >"$TEST_DIR/policy.json"
helper_start --policy "$TEST_DIR/policy.json"

for id in slow free; do
    bundle_make "$TEST_DIR/$id" "$usr"
    for dir in lib lib64; do
        [ ! -L /$dir ] || cp -P /$dir "$TEST_DIR/$id/rootfs/"
    done
    container_start crun $id "$TEST_DIR/$id"
done

attach() { ublk-oci attach --container "$1" --device /dev/data --target memory --size 16M >/dev/null; }
detach() { ublk-oci detach --container "$1" --all >/dev/null; }

# The number of the one device there is.
note_number() { number=$(ublk-oci list --json | jq -r '.[0] | "\(.major):\(.minor)"'); }

# limits CGROUP: the line of its io.max for that device, if there is one.
limits() {
    local line

    while read -r line; do
        [[ $line != "$number "* ]] || echo "$line"
    done <"$tree/$1/io.max"
}

# write_ms CONTAINER OPTION...: what 8 MiB take inside it, as dd there says.
write_ms() {
    local id=$1 out

    shift
    out=$(crun exec "$id" /usr/bin/dd if=/dev/zero of=/dev/data bs=1M count=8 "$@" 2>&1) ||
        fail "dd in $id: $out"
    [[ $out =~ copied,\ ([0-9.]+)\ s ]] || fail "dd in $id: $out"
    took_ms=$(jq -n "${BASH_REMATCH[1]} * 1000 | floor")
}

# 8 MiB at 4 MiB/s; the kernel lets a part of a second's worth go at once.
expect_slow() { # what
    [ "$took_ms" -ge 1400 ] || fail "$1: 8 MiB took $took_ms ms only"
}

attach slow
note_number
[ "$(limits slow)" = "$number rbps=max wbps=4194304 riops=100000 wiops=max" ] ||
    fail "io.max: $(cat $tree/slow/io.max)"
ublk-oci inspect ublkb0 --json | jq -e '.rule == "slow" and .discard == true and .io_limits ==
    { read_bytes: null, write_bytes: 4194304, read_ops: 100000, write_ops: null }' >/dev/null ||
    fail "inspect: $(ublk-oci inspect ublkb0 --json)"
ublk-oci inspect ublkb0 | found '^io_limits.write_bytes  *4194304 (4M)' ||
    fail "$(ublk-oci inspect ublkb0)"
# in_force WHICH: the limits of that, as "CGROUP WRITE_BYTES" for each.
in_force() {
    ublk-oci inspect ublkb0 --json |
        jq -r ".io_limits_in_force.$1 | if . == null then \"unknown\" else map(\"\(.cgroup) \(.write_bytes)\")[] end"
}
[ "$(in_force device)" = "/ublk-oci-test/slow 4194304" ] || fail "in force: $(in_force device)"
[ "$(in_force backing)" = unknown ] || fail "memory is on a disk: $(in_force backing)"
ok "io limits: they are in io.max of the container's cgroup, and inspect shows them"

write_ms slow oflag=direct
expect_slow direct
slow_ms=$took_ms
ok "io limits: inside the container 8 MiB written past the cache take their time ($slow_ms ms)"
write_ms slow conv=fsync
expect_slow buffered
ok "io limits: and so they do through the page cache ($took_ms ms)"

attach free
[ ! -s $tree/free/io.max ] || fail "free is limited: $(cat $tree/free/io.max)"
for _ in 1 2 3; do
    write_ms free oflag=direct
    [ $((took_ms * 2)) -gt "$slow_ms" ] || break
done
[ $((took_ms * 2)) -lt "$slow_ms" ] || fail "without a limit it took $took_ms ms, with one $slow_ms ms"
ublk-oci inspect --container free --device /dev/data --json | jq -e '.io_limits == null' >/dev/null ||
    fail "inspect shows limits where there are none"
ok "io limits: another container is not limited ($took_ms ms)"
detach free

echo "$number wbps=max" >$tree/slow/io.max
[[ $(limits slow) != *wbps=4194304* ]] || fail "the line cannot be changed here"
[ "$(in_force device)" = "/ublk-oci-test/slow null" ] || fail "in force: $(in_force device)"
attach slow
[[ $(limits slow) == *wbps=4194304* ]] || fail "asked again it is not limited again"
ok "io limits: what was lifted meanwhile is set when the same attach is asked again"

detach slow
[ -z "$(limits slow)" ] || fail "left behind: $(limits slow)"
expect_nothing_left
ok "io limits: nothing of them is left when the device is gone"

# A cgroup whose io.max is the container's owner's: the limit goes to the one above.
chown 1000 $tree/slow/io.max
attach slow
note_number
[ -z "$(limits slow)" ] || fail "the limit is where its owner can lift it"
[ "$(limits .)" = "$number rbps=max wbps=4194304 riops=100000 wiops=max" ] || fail "$(cat $tree/io.max)"
[ "$(in_force device)" = "/ublk-oci-test 4194304" ] || fail "in force: $(in_force device)"
write_ms slow oflag=direct
expect_slow "from above"
ok "io limits: they are where only root can lift them, and hold from there ($took_ms ms)"

# By the helper that comes after the one that set them, and when the container is gone.
kill -KILL "$helper_pid"
wait "$helper_pid" 2>/dev/null || true
helper_start --policy "$TEST_DIR/policy.json"
detach slow
[ -z "$(limits .)$(limits slow)" ] || fail "left behind: $(limits .) $(limits slow)"
ok "io limits: a helper takes away what the one before it set"
attach slow
note_number
kill -KILL "$helper_pid"
wait "$helper_pid" 2>/dev/null || true
crun delete -f slow
helper_start --policy "$TEST_DIR/policy.json"
expect_nothing_left
[ -z "$(limits .)" ] || fail "left behind: $(limits .)"
ok "io limits: nor do they stay when container and helper have gone"

# What somebody set for the disk below: it limits the worker, and is shown.
truncate -s 16M "$TEST_DIR/disk.img"
loop=$(losetup --find --show "$TEST_DIR/disk.img")
undo losetup -d "$loop"
container_start crun slow "$TEST_DIR/slow"
echo +io >/sys/fs/cgroup/cgroup.subtree_control
ublk-oci attach --container slow --device /dev/data --target file --backing "$loop" >/dev/null
[ -z "$(in_force backing)" ] || fail "in force: $(in_force backing)"
echo "7:${loop#/dev/loop} wbps=1048576" >/sys/fs/cgroup/ublk-oci/io.max
[ "$(in_force backing)" = "/ublk-oci 1048576" ] || fail "in force: $(in_force backing)"
echo "7:${loop#/dev/loop} wbps=max" >/sys/fs/cgroup/ublk-oci/io.max
detach slow
container_delete crun slow
ok "io limits: of the disk behind a device those are shown that limit its worker"

# A container whose cgroup is its owner's: the disk behind is limited too, for every worker.
bundle_make "$TEST_DIR/behind" "$usr"
cp -a "$TEST_DIR/slow/rootfs/." "$TEST_DIR/behind/rootfs/"
container_start crun behind "$TEST_DIR/behind"
attach_behind() {
    ublk-oci attach --container behind --device /dev/data --target file --backing "$loop" >/dev/null
}
attach_behind
note_number
[ -n "$(limits behind)" ] && [ -z "$(in_force backing)" ] ||
    fail "root's cgroup: $(limits behind), behind: $(in_force backing)"
ublk-oci detach --container behind --all >/dev/null
chown 1000 $tree/behind/io.max
attach_behind
note_number
[ -z "$(limits behind)" ] && [ "$(in_force device)" = "/ublk-oci-test 4194304" ] ||
    fail "in force: $(in_force device)"
[[ $(in_force backing) =~ ^/ublk-oci/workers/[^/]*\ 4194304$ ]] || fail "in force: $(in_force backing)"
write_ms behind oflag=direct
expect_slow "delegated"
ok "io limits: of a container in a cgroup of its owner's the worker is limited on the disk, too"
worker=$(ublk-oci list --json | jq '.[0].worker.pid')
kill -KILL "$worker"
another() { [ "$(ublk-oci list --json | jq '.[0].worker.pid')" != "$worker" ] && all_live; }
wait_for 30 another
[[ $(in_force backing) =~ ^/ublk-oci/workers/[^/]*\ 4194304$ ]] || fail "in force: $(in_force backing)"
echo "$number wbps=max" >$tree/io.max
write_ms behind oflag=direct
expect_slow "by the disk alone"
ok "io limits: and so is the worker that follows it; that limit alone is kept ($took_ms ms)"
from=$EPOCHREALTIME
ublk-oci detach --container behind --all >/dev/null
took_ms=$(((${EPOCHREALTIME/./} - ${from/./}) / 1000))
container_delete crun behind
expect_nothing_left
[ -z "$(limits .)" ] || fail "left behind: $(limits .)"
ok "io limits: detached, nothing of both is left ($took_ms ms)"

# No controller: refused, with cause and remedy; who is not limited does not need it.
container_start crun slow "$TEST_DIR/slow"
while read -r file; do # also in what other tests left
    ! grep -q -w io "$file" || echo -io >"$file"
done < <(find /sys/fs/cgroup -depth -name cgroup.subtree_control)
undo sh -c 'echo +io >/sys/fs/cgroup/cgroup.subtree_control'
expect_fail 'rule slow limits I/O.*no io controller.*\+io >/sys/fs/cgroup' attach slow
! crun exec slow test -e /dev/data || fail "it has a device all the same"
expect_nothing_left
attach free
detach free
echo +io >/sys/fs/cgroup/cgroup.subtree_control
attach slow # the limit is at the nearest cgroup that has the controller
note_number
[ -n "$(limits .)" ] || fail "not limited: $(cat $tree/io.max)"
detach slow
expect_nothing_left
ok "io limits: without the controller attach is refused, and says how to enable it"
