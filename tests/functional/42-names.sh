#!/bin/bash
# A container by the name its engine gave it, from files as podman writes them.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq

storage=/var/lib/containers/storage/overlay-containers
known() { # ID NAME, as many as there are
    while [ $# -gt 0 ]; do
        jq -n --arg id "$1" --arg name "$2" '{id: $id, names: [$name], image: "x", metadata: "{}"}'
        shift 2
    done | jq -s . >"$storage/containers.json"
}
mkdir -p "$storage"
undo rm -rf /var/lib/containers/storage/overlay-containers
helper_start
bundle_make "$TEST_DIR/named"
container_start crun abcdef0123456789 "$TEST_DIR/named"
container_start crun web00000000 "$TEST_DIR/named"
known abcdef0123456789 web fedcba9876543210 away

# "web" is the beginning of another one's ID as well.
ublk-oci attach --container web --device /dev/a --target memory --size 1M
crun exec abcdef0123456789 test -b /dev/a
! crun exec web00000000 test -e /dev/a || fail "it is in the other container"
[ "$(ublk-oci list --container web --json | jq -r '.[0].container.id')" = abcdef0123456789 ]
ublk-oci inspect --container web --device /dev/a >/dev/null
ublk-oci detach --container web --all
expect_nothing_left
ok "names: a name counts more than the beginning of an ID, at attach, list, inspect and detach"

known abcdef0123456789 web00000000
ublk-oci attach --container web00000000 --device /dev/a --target memory --size 1M
crun exec web00000000 test -b /dev/a
ublk-oci detach --container web00000000 --all
ok "names: a whole ID counts more than a name"

known fedcba9876543210 away
expect_fail 'container away \(fedcba987654\) is not running' \
    ublk-oci attach --container away --device /dev/a --target memory --size 1M
expect_fail 'container nobody is not known' \
    ublk-oci attach --container nobody --device /dev/a --target memory --size 1M
known abcdef0123456789 web web00000000 web
expect_fail 'several containers are named web: abcdef012345 \(podman\), web00000000 \(podman\)' \
    ublk-oci attach --container web --device /dev/a --target memory --size 1M
expect_nothing_left
ok "names: one that is not running, not there, or not the only one"
