#!/bin/bash
# The helper dies before each step of an attach, a detach, a recovery and an upgrade: what the next one finds
# becomes whole or nothing. Then a worker dies while it takes over from a dead one.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/steps.sh"
requires crun jq python3

case $(uname -r) in
6.12.*) once=1 ;; # its driver takes one replacement for each outage
*) once=0 ;;
esac

# attached STEP: data, $before, are in the device that a steps helper has adopted.
attached() {
    helper_start
    attach || fail "$1: the attach failed"
    crun exec steps dd if=/dev/urandom of=/dev/data bs=1M count=1 conv=fsync 2>/dev/null
    before=$(sum)
    kill -KILL "$helper_pid"
    wait "$helper_pid" 2>/dev/null || true
    steps_start STEPS_DIE="$1"
}
attach() { ublk-oci attach --container steps --device /dev/data --target memory --size 1M >/dev/null 2>&1; }
detach() { ublk-oci detach --container steps --device /dev/data >/dev/null 2>&1; }
worker() { ublk-oci list --json | jq '.[0].worker.pid'; }
upgrade() { ublk-oci upgrade --all >/dev/null 2>&1; }
state() { ublk-oci list --json | jq -r '.[0].state'; }
settled() { case $(state) in live | failed | null) ;; *) return 1 ;; esac }
sum() { crun exec steps sha256sum /dev/data 2>/dev/null | cut -c 1-64; }

: >"$TEST_DIR/helper.log"
undo helper_stop
bundle_make "$TEST_DIR/steps"
container_start crun steps "$TEST_DIR/steps"

for step in ublk_add keep_put_files cgroup_make spawn_worker stats_file_make spawn_prepare spawn_serve \
    spawn_wait_ready ublk_start op_update devfilter_allow node_insert op_update:2 node_try \
    op_update:3; do
    steps_start STEPS_DIE=$step
    ! attach || fail "$step: the attach went well"
    steps_died $step
    helper_start
    expect_nothing_left
    ! crun exec steps test -e /dev/data || fail "$step: the node is still there"
    helper_stop
done
ok "steps: a helper that dies before any step of an attach leaves nothing"

# Until it says that there is no way back the device is what it was, and then it goes.
for step in devfilter_revoke op_begin_undo devfilter_revoke:2 node_disarm node_remove ublk_stop \
    ublk_delete cgroup_remove keep_drop stats_file_remove op_drop; do
    attached $step
    ! detach || fail "$step: the detach went well"
    steps_died $step
    helper_start
    case $step in
    devfilter_revoke | op_begin_undo)
        wait_for 10 settled
        [ "$(state)" = live ] || fail "$step: it is $(state)"
        [ "$(sum)" = "$before" ] || fail "$step: the container cannot read it any more"
        detach || fail "$step: it cannot be detached"
        ;;
    esac
    expect_nothing_left
    ! crun exec steps test -e /dev/data || fail "$step: the node is still there"
    helper_stop
done
ok "steps: a helper that dies before any step of a detach keeps the device whole, or it goes"

last=op_update:$((once ? 3 : 2))
handed_over=$([ $once = 0 ] || echo op_update:2)
for step in cgroup_make spawn_worker op_update spawn_prepare ublk_recover_begin spawn_serve \
    spawn_wait_ready ublk_recover_end $last; do
    attached "$step"
    : >"$TEST_DIR/helper.log"
    kill -KILL "$(ublk-oci list --json | jq '.[0].worker.pid')"
    steps_died "$step"
    helper_start
    wait_for 30 settled
    wanted=live
    # It has the char device by the record, and had not by the driver.
    [ $once = 0 ] || [ "$step" != spawn_serve ] || wanted=failed
    [ "$(state)" = $wanted ] || fail "$step: it is $(state): $(cat "$TEST_DIR/helper.log")"
    [ $wanted = failed ] || [ "$(sum)" = "$before" ] || fail "$step: other data"
    detach || fail "$step: it cannot be detached"
    expect_nothing_left
    helper_stop
done
ok "steps: a helper that dies before any step of a recovery is followed by one that ends it"

# The one way out of a worker and the other; each change of the record as it comes.
leave=$([ $once = 1 ] && echo cgroup_kill || echo ublk_quiesce)
for step in cgroup_make spawn_worker spawn_prepare op_update $leave ublk_recover_begin \
    ${handed_over:-} spawn_serve spawn_wait_ready ublk_recover_end cgroup_remove $last; do
    attached "$step"
    : >"$TEST_DIR/helper.log"
    old=$(worker)
    ! upgrade || fail "$step: the upgrade went well"
    steps_died "$step"
    helper_start
    wait_for 30 settled
    wanted=live
    # As above: it has the char device by the record only.
    [ $once = 0 ] || [ "$step" != spawn_serve ] || wanted=failed
    [ "$(state)" = $wanted ] || fail "$step: it is $(state): $(cat "$TEST_DIR/helper.log")"
    [ $wanted = failed ] || [ "$(sum)" = "$before" ] || fail "$step: other data"
    case $step in
    cgroup_make | spawn_worker | spawn_prepare | op_update)
        [ "$(worker)" = "$old" ] || fail "$step: the old worker did not go on"
        upgrade || fail "$step: it cannot be upgraded any more"
        [ "$(sum)" = "$before" ] || fail "$step: other data after another upgrade"
        ;;
    *) [ "$(worker)" != "$old" ] || fail "$step: the old worker is back" ;;
    esac
    nr_workers=$(cat /sys/fs/cgroup/ublk-oci/workers/*/cgroup.procs | wc -l)
    [ $wanted = failed ] || [ "$nr_workers" = 1 ] || fail "$step: $nr_workers workers"
    detach || fail "$step: it cannot be detached"
    expect_nothing_left
    helper_stop
done
ok "steps: a helper that dies before any step of an upgrade: the old worker goes on, or the next helper ends it"

# The worker that takes over dies when it has fetched everything.
rm -f /run/ublk-oci-test/steps-worker-died
steps_start STEPS_WORKER=ublk_recover_end
attach
dev=/dev/$(ublk-oci list --json | jq -r '.[0].device' | sed 's,^/dev/,,')
# From before the death on, so that it waits meanwhile: a failed device cannot be opened any more.
python3 - "$dev" "$TEST_DIR/stop" >"$TEST_DIR/reader" 2>&1 <<'END' &
import mmap, os, sys

fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
buffer = mmap.mmap(-1, 4096)
print("reads", flush=True)
try:
    while not os.path.exists(sys.argv[2]):
        assert os.preadv(fd, [buffer], 0) == 4096, "a short read"
    print("read all")
except OSError as error:
    print(error.strerror)
END
reader=$!
wait_for 20 grep -q reads "$TEST_DIR/reader"
: >"$TEST_DIR/helper.log"
kill -KILL "$(worker)"
wait_for 60 grep -q 'the worker dies before ublk_recover_end' "$TEST_DIR/helper.log"
wait_for 30 settled
: >"$TEST_DIR/stop"
wait_for 60 sh -c "! kill -0 $reader 2>/dev/null"
said=$(tail -n 1 "$TEST_DIR/reader")
if [ $once = 1 ]; then
    [ "$(state)" = failed ] || fail "it is $(state): $(cat "$TEST_DIR/helper.log")"
    [ "$said" = 'Input/output error' ] || fail "the reader: $(cat "$TEST_DIR/reader")"
    ok "steps: a second worker dies while it takes over: this kernel's device fails, with errors"
else
    [ "$(state)" = live ] || fail "it is $(state): $(cat "$TEST_DIR/helper.log")"
    [ "$said" = 'read all' ] || fail "the reader: $(cat "$TEST_DIR/reader")"
    ok "steps: a second worker dies while it takes over: the third one does"
fi
detach || fail "it cannot be detached"
expect_nothing_left
