#!/bin/bash
# README.md's installation: units, users, the socket, and the service it starts.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/service.sh"
requires systemctl jq setpriv

said=$(systemd-analyze verify --man=no --recursive-errors=no ublk-ocid.socket ublk-ocid.service ublk-oci-devices.service 2>&1) ||
    fail "systemd-analyze: $said"
[ -z "$said" ] || fail "systemd-analyze: $said"
ok "install: systemd-analyze verify has nothing to say of the units"

# docs/service.md has what is left, and why. On the file, so that nothing else on the machine counts.
unit=$(systemctl show -P FragmentPath ublk-ocid.service)
systemd-analyze security --offline=yes --no-pager --threshold=34 "$unit" >"$TEST_DIR/exposure" ||
    fail "$(grep -v '✓' "$TEST_DIR/exposure")"
ok "install: systemd-analyze security: exposure 3.4 at most"

service_start
[ "$(stat -c '%A %U:%G' /run/ublk-oci/helper.sock)" = 'srw-rw---- root:ublk-oci' ] ||
    fail "the socket: $(stat -c '%A %U:%G' /run/ublk-oci/helper.sock)"
[ "$(systemctl is-enabled ublk-ocid.socket)" = enabled ] || fail "not enabled"
! systemctl -q is-active ublk-ocid.service || fail "the service runs before anybody asked"
ok "install: systemctl enable --now makes the socket, 0660 root:ublk-oci"

expect_fail 'denied|group' setpriv --reuid 65534 --regid 65534 --clear-groups ublk-oci list
setpriv --reuid 1000 --regid 1000 --groups "$(getent group ublk-oci | cut -d : -f 3)" ublk-oci list \
    >/dev/null || fail "a member of the group cannot ask: $(service_log)"
systemctl -q is-active ublk-ocid.service || fail "it does not run: $(service_log)"
ok "install: the first question starts the service; only group ublk-oci may ask"

systemctl stop ublk-ocid.service 2>/dev/null
! systemctl -q is-active ublk-ocid.service || fail "stop does not stop it"
ublk-oci doctor >"$TEST_DIR/doctor" || fail "doctor: $(cat "$TEST_DIR/doctor")"
systemctl -q is-active ublk-ocid.service || fail "it does not run: $(service_log)"
grep -q '^ok .*udev' "$TEST_DIR/doctor" || fail "doctor: $(cat "$TEST_DIR/doctor")"
ok "install: doctor finds everything, and starts the service too"

# The unit bounds the helper before its first instruction; it could not get more.
helper=$(helper_pid)
bound=$(sed -n 's/^CapBnd:\t//p' "/proc/$helper/status")
[ "$bound" = "$(sed -n 's/^CapPrm:\t//p' "/proc/$helper/status")" ] || fail "CapBnd is $bound"
grep -q '^NoNewPrivs:.1$' "/proc/$helper/status" || fail "it may gain privileges"
[ "$(cat "/proc/$helper/cgroup")" = "0::$unit_cgroup/helper" ] || fail "$(cat "/proc/$helper/cgroup")"
nr_bits=0
for ((bits = 16#$bound; bits; bits &= bits - 1)); do nr_bits=$((nr_bits + 1)); done
[ "$(systemctl show -P CapabilityBoundingSet ublk-ocid.service | wc -w)" = $nr_bits ] ||
    fail "the unit allows what the helper drops, $bound is left"
ok "install: the unit's bounding set is what the helper keeps, no less and no more"

node=$(ublk-oci attach --host --target memory --size 8M) || fail "$(service_log)"
dd if=/dev/urandom of="$TEST_DIR/wanted" bs=1M count=8 2>/dev/null
dd if="$TEST_DIR/wanted" of="$node" bs=1M oflag=direct 2>/dev/null
cmp "$TEST_DIR/wanted" "$node" || fail "other bytes"
worker=$(ublk-oci list --json | jq '.[0].worker.pid')
grep -q -E "^0::$unit_cgroup/workers/0{16}-ublk0-[0-9a-f]{8}\$" "/proc/$worker/cgroup" ||
    fail "the worker is in $(cat "/proc/$worker/cgroup")"
[ ! -e /sys/fs/cgroup/ublk-oci ] || fail "there is a cgroup outside the unit's"
ok "install: attach --host works under the unit's limits, the worker is in the unit's cgroup"

ublk-oci detach "$node" >/dev/null
expect_nothing_left
ok "install: nothing is left"
