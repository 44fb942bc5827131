#!/bin/bash
# A device on a file of the host whose path leads elsewhere by the time it is taken away.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/caller.sh"
. "$(dirname "$0")/store.sh"
requires jq setpriv

top=/srv/host-block
rm -rf $top
mkdir -p $top/pods
: >$top/pods/x
undo rm -rf $top
publish_policy $top/pods/ '["ext4"]'
helper_start --policy "$TEST_DIR/policy.json"
store_start --policy "$TEST_DIR/policy.json"
own() { as 1000 ublk-oci "$@"; }
put() { own attach --host --block $top/pods/x --volume data >/dev/null; }
take() { own detach --host --block $top/pods/x; }
is_mounted() { grep -q " $top/[^ ]*/x " /proc/1/mountinfo; }
own volume create data --size 32M

put
mv $top/pods $top/elsewhere
is_mounted || fail "it has gone with the directory's name"
take
! is_mounted || fail "it stays: $(grep $top /proc/1/mountinfo)"
[ -f $top/elsewhere/x ] || fail "the file: $(ls -l $top/elsewhere)"
mv $top/elsewhere $top/pods
ok "host block: a directory on the way was renamed: what is mounted is found there"

put
mount -t tmpfs none $top/pods
undo eval "! mountpoint -q $top/pods || umount $top/pods"
expect_fail 'still there, and cannot be reached' take
is_mounted || fail "it is not mounted any more"
own list | found detaching || fail "it is forgotten: $(own list)"
umount $top/pods
gone() { ! is_mounted; }
wait_for 90 gone
ok "host block: something is mounted over it: it goes when that has"

put
[ -b $top/pods/x ] || fail "it cannot be put there again"
take
own volume detach data
own volume delete data
expect_nothing_left
ok "host block: and can be put there again"
