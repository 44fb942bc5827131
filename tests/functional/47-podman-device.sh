#!/bin/bash
# podman run --device ublk-oci.io/device=NAME: a device made ahead, by its name.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../engines.sh"
requires jq busybox

helper_start
podman_setup crun
pod() { timeout 300 podman "$@"; }
claimed_by() { ublk-oci device list --json | jq -r '.[0].claims[].container.id'; }
is_free() { [ -z "$(claimed_by)" ]; }

ublk-oci device create 7-data --target memory --size 8M
podman_run one --device ublk-oci.io/device=7-data -- sleep 1000 >"$TEST_DIR/id"
[ "$(claimed_by)" = "$(cat "$TEST_DIR/id")" ] || fail "claimed by $(claimed_by)"
pod exec one sh -c 'echo hello >/tmp/w; dd if=/tmp/w of=/dev/7-data bs=512 count=1 conv=sync,fsync 2>/dev/null'
[ "$(pod exec one dd if=/dev/7-data bs=5 count=1 2>/dev/null)" = hello ] || fail "not what was written"
ok "podman: a container has a device by its name, written and read back"

# crun drops what a hook says; the audit line has it.
expect_fail 'ublk-oci-hook' podman_run two --device ublk-oci.io/device=7-data -- true
pod rm -f two >/dev/null 2>&1 || true
[ "$(pod exec one dd if=/dev/7-data bs=5 count=1 2>/dev/null)" = hello ] || fail "the first lost it"
tail -n 1 /var/log/ublk-oci/audit.log | found '"request":"claim","verdict":"refused".*another container has it' ||
    fail "$(tail -n 1 /var/log/ublk-oci/audit.log)"
ok "podman: a second container is refused it"

pod stop --time 0 one >/dev/null
wait_for 30 is_free
ok "podman: a container that is stopped has it no more"

pod start one >/dev/null
[ "$(claimed_by)" = "$(cat "$TEST_DIR/id")" ] || fail "claimed by $(claimed_by)"
[ "$(pod exec one dd if=/dev/7-data bs=5 count=1 2>/dev/null)" = hello ] || fail "not what it had"
pod rm --force --time 0 one >/dev/null
wait_for 30 is_free
ok "podman: started again it has it again, until it is removed"

podman_run three --device ublk-oci.io/device=7-data -- dd if=/dev/7-data bs=5 count=1 >/dev/null
[ "$(pod wait three)" = 0 ] || fail "$(pod logs three)"
pod logs three >"$TEST_DIR/logs" 2>&1 # in whole: who writes into a closed pipe fails
grep -q '^hello' "$TEST_DIR/logs" || fail "$(cat "$TEST_DIR/logs")"
pod rm three >/dev/null
wait_for 30 is_free
ok "podman: the next container has it, with what the first wrote"

ublk-oci device remove 7-data
expect_fail 'unresolvable CDI device' podman_run four --device ublk-oci.io/device=7-data -- true
expect_nothing_left
ok "podman: what is removed is a name no more"
