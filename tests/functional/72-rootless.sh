#!/bin/bash
# A user who is not root, their own rootless container, their own file: from attach to detach.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../engines.sh"
requires crun jq busybox

user_setup
srv_mount
mkdir /srv/ublk-oci/user
truncate -s 4M /srv/ublk-oci/user/disk /srv/ublk-oci/roots
chown -R 1000:1000 /srv/ublk-oci/user

cat >"$TEST_DIR/policy.json" <<'END'
{
    "version": 1,
    "worker_ids": { "first": 2100000000, "count": 100 },
    "rules": [
        { "id": "rootless", "principal": { "uid": 1000 }, "targets": ["memory", "file"],
          "backing": ["/srv/ublk-oci/user/"], "max_size": "4M", "max_devices_per_container": 2 },
        { "id": "others", "principal": { "group": "ublk-oci" }, "targets": ["memory"],
          "max_size": "1M", "max_devices_per_container": 1 }
    ]
}
END
helper_start --policy "$TEST_DIR/policy.json"

other() {
    setpriv --reuid 1001 --regid 1001 --groups "$(getent group ublk-oci | cut -d : -f 3)" "$@"
}

bundle=$TEST_DIR/box
bundle_make "$bundle"
rm "$bundle/config.json"
(cd "$bundle" && crun spec --rootless)
jq -M '.process.terminal=false | .root.readonly=false | .process.args=["sleep","1000"]
    | .process.env=["PATH=/bin"] | .linux.cgroupsPath="/user/box"' \
    "$bundle/config.json" >"$bundle/new"
mv "$bundle/new" "$bundle/config.json"
chown -R 1000:1000 "$bundle"
as_user crun run -d --bundle "$bundle" box </dev/null >"$TEST_DIR/log" 2>&1 ||
    fail "crun: $(cat "$TEST_DIR/log")"
undo as_user crun delete -f box
pid=$(as_user crun state box | jq .pid)
echo "the container's cgroup is $(sed -n 's/^0:://p' "/proc/$pid/cgroup")"

as_user ublk-oci attach --container box --device /dev/data --target file \
    --backing /srv/ublk-oci/user/disk
as_user crun exec box sh -c 'dd if=/dev/urandom of=/dev/data bs=1M count=4 conv=fsync 2>/dev/null'
read -r inside _ < <(as_user crun exec box sha256sum /dev/data)
read -r outside _ < <(sha256sum /srv/ublk-oci/user/disk)
[ "$inside" = "$outside" ] || fail "not the same bytes: $inside and $outside"
ok "rootless: what the container's root wrote is in the user's file"

# A user cannot make a device filter, so there is none to change; what there is of one further
# up still counts.
! compgen -G '/sys/fs/bpf/ublk-oci/*' || fail "a filter was made where none was"
ok "rootless: a container without a device filter gets none"

as_user ublk-oci attach --container box --device /dev/scratch --target memory --size 1M
as_user crun exec box sh -c 'echo hello >/dev/scratch && [ "$(dd if=/dev/scratch bs=5 count=1 2>/dev/null)" = hello ]' ||
    fail "memory"
ok "rootless: and memory"
expect_fail 'rule "rootless": .*devices' as_user ublk-oci attach --container box --device /dev/more \
    --target memory --size 1M
expect_fail 'rule "rootless": size' as_user ublk-oci attach --container box --device /dev/more \
    --target memory --size 8M
chmod 666 /srv/ublk-oci/roots
expect_fail 'rule "rootless": backing' as_user ublk-oci attach --container box --device /dev/more \
    --target file --backing /srv/ublk-oci/roots
ok "rootless: refused, by the rule's name: one too many, too large, a file outside of the rule"

[ "$(as_user ublk-oci list | wc -l)" = 3 ] || fail "the user does not see both"
[ "$(other ublk-oci list | wc -l)" = 1 ] || fail "another user sees them"
device=$(as_user ublk-oci list --json | jq -r '.[0].device')
[[ $device = ublkb* ]] || fail "no device: $device"
as_user ublk-oci inspect "$device" >/dev/null
! output=$(other ublk-oci inspect "$device" 2>&1) || fail "another user inspects: $output"
! output=$(other ublk-oci detach --container box --all 2>&1) || fail "another user detaches: $output"
[ "$(nr_devices)" = 2 ] || fail "a device is gone"
ok "rootless: another user neither lists, nor inspects, nor detaches them"

as_user ublk-oci detach --container box --device /dev/scratch
as_user ublk-oci detach --container box --all
! as_user crun exec box test -e /dev/data || fail "/dev/data is still there"
expect_nothing_left
ok "rootless: detach, and nothing is left"

# The container ends: its devices go with it.
as_user ublk-oci attach --container box --device /dev/data --target file \
    --backing /srv/ublk-oci/user/disk
as_user crun delete -f box
expect_nothing_left
ok "rootless: a container that ends takes its device along"
