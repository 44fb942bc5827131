#!/bin/bash
# As 53, for a device whose file system is mounted in the container: the helper dies before each
# step, and what the next one finds becomes whole or nothing. Then one whose worker is dead when
# it is to be mounted, which waits for ever.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/steps.sh"
requires crun jq mkfs.ext4 fsck.ext4

srv_mount
image=/srv/ublk-oci/steps.img
truncate -s 16M $image
mkfs.ext4 -q -F $image
chmod 644 $image
cat >"$TEST_DIR/policy.json" <<'END'
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 10 }, "rules": [
    { "id": "mounts", "principal": { "uid": 0 }, "may": ["mount"], "targets": ["file"],
      "backing": ["/srv/ublk-oci/"], "max_size": "1G", "max_devices_per_container": 4,
      "mount": { "under": ["/data"], "filesystems": ["ext4"] } } ] }
END
chmod 644 "$TEST_DIR/policy.json"

start() { helper_start --policy "$TEST_DIR/policy.json"; }
attach() {
    ublk-oci attach --container steps --mount /data --fs ext4 --target file --backing $image >/dev/null 2>&1
}
detach() { ublk-oci detach --container steps --mount /data >/dev/null 2>&1; }
mounted() { crun exec steps cat /proc/self/mountinfo | found ' /data .* ext4 '; }
gone() {
    expect_nothing_left
    ! mounted || fail "$1: it is still mounted"
    ! crun exec steps test -e /data || fail "$1: the directory is still there"
    fsck.ext4 -fn $image >"$TEST_DIR/fsck" 2>&1 || fail "$1: $(cat "$TEST_DIR/fsck")"
}

: >"$TEST_DIR/helper.log"
undo helper_stop
bundle_make "$TEST_DIR/steps"
container_start crun steps "$TEST_DIR/steps"

for step in ublk_start filesystem_insert op_update:2 op_update:3; do
    steps_start STEPS_DIE=$step --policy "$TEST_DIR/policy.json"
    ! attach || fail "$step: the attach went well"
    steps_died $step
    start
    gone $step
    helper_stop
done
ok "mount steps: a helper that dies before any step of mounting leaves nothing"

# Until it says that there is no way back the device stays, and is mounted again if need be.
for step in filesystem_remove op_begin_undo filesystem_remove:2 filesystem_wait_gone ublk_stop ublk_delete op_drop; do
    start
    attach || fail "$step: the attach failed"
    crun exec steps sh -c "echo $step >/data/step"
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
    steps_start STEPS_DIE=$step --policy "$TEST_DIR/policy.json"
    ! detach || fail "$step: the detach went well"
    steps_died $step
    start
    case $step in
    filesystem_remove | op_begin_undo)
        wait_for 20 mounted
        [ "$(crun exec steps cat /data/step)" = $step ] || fail "$step: other data"
        wait_for 20 all_live
        detach || fail "$step: it cannot be detached"
        ;;
    esac
    gone $step
    helper_stop
done
ok "mount steps: a helper that dies before any step of a detach keeps it mounted, or it goes"

# Nobody answers what the file system asks first: the deadline does.
rm -f /run/ublk-oci-test/steps-worker-died
steps_start STEPS_WORKER=filesystem_insert --policy "$TEST_DIR/policy.json"
began=$SECONDS
expect_fail 'mounting /data in the container: no answer|took too long' \
    ublk-oci attach --container steps --mount /data --fs ext4 --target file --backing $image
[ $((SECONDS - began)) -lt 45 ] || fail "it took $((SECONDS - began)) s"
gone 'a worker that is dead'
attach || fail "the next one fails"
mounted || fail "the next one is not mounted"
detach
gone 'the next one'
ok "mount steps: a worker that does not answer costs the attach its deadline, and leaves nothing"
