#!/bin/bash
# Wrong input: each gets an error that names the cause and the remedy, and leaves nothing.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun runc jq busybox

srv_mount

# --- the helper does not start -------------------------------------------------

policy=$TEST_DIR/policy.json

# no_start NAME PATTERN: a helper with $policy refuses to start, and says PATTERN.
no_start() {
    expect_fail "$2" timeout 10 /usr/sbin/ublk-ocid --policy "$policy"
    ok "refused: $1"
}

no_start "a policy that is missing" 'policy.json.*No such file'
cp /etc/ublk-oci/policy.json "$policy"
chmod 666 "$policy"
no_start "a policy others may write" 'chmod go-w'
chmod 644 "$policy"
printf '{\n  "version": 1,\n  "rules": [ oops ]\n}\n' >"$policy"
no_start "a malformed policy" 'line 3, column 14'
printf '{"version":1,"worker_ids":{"first":910000,"count":10},"rules":[],"colour":1}' >"$policy"
no_start "a policy with an unknown key" 'line 1, column [0-9]+.*colour'
chown 1000 "$policy"
no_start "a policy root does not own" 'root'
expect_fail 'root' setpriv --reuid 1000 --clear-groups /usr/sbin/ublk-ocid
ok "refused: a helper that is not started as root"
expect_fail 'is ublk-ocid running' ublk-oci list
ok "refused: a question while no helper runs"

helper_start
expect_fail 'another ublk-ocid' timeout 10 /usr/sbin/ublk-ocid
ok "refused: a second helper"

bundle_make "$TEST_DIR/c1"
container_start crun box-one "$TEST_DIR/c1"
bundle_make "$TEST_DIR/c2"
container_start crun box-two "$TEST_DIR/c2"

# refused NAME PATTERN COMMAND...: it fails with PATTERN and leaves nothing. Exit status 1,
# or 2 when the words alone are wrong.
refused() {
    local name=$1 pattern=$2 status=0
    shift 2

    output=$("$@" 2>&1) || status=$?
    [ $status = 1 ] || [ $status = 2 ] || fail "$name: exit status $status: $output"
    grep -q -E -e "$pattern" <<<"$output" || fail "$name: no '$pattern' in: $output"
    [ "$(wc -l <<<"$output")" = 1 ] || fail "$name: more than one line: $output"
    nothing_left || fail "$name: left: $(leftovers)"
    ok "refused: $name"
}

attach() { ublk-oci attach --container box-one --device /dev/data "$@"; }

# --- permission ----------------------------------------------------------------

refused "a caller outside the group" 'group ublk-oci' \
    setpriv --reuid 1000 --regid 1000 --clear-groups ublk-oci attach --host --target null --size 1M
refused "a caller no rule names" 'no rule names uid 1000' \
    setpriv --reuid 1000 --regid 1000 --groups "$(getent group ublk-oci | cut -d : -f 3)" \
    ublk-oci attach --host --target null --size 1M
refused "a backing file no rule allows" 'backing|/srv/ublk-oci' \
    ublk-oci attach --host --target file --backing "$(head -c 4096 /dev/zero >/run/ublk-oci-test/outside; echo /run/ublk-oci-test/outside)"

# --- backing files -------------------------------------------------------------

refused "a backing file that is missing" 'No such file' \
    attach --target file --backing /srv/ublk-oci/none
refused "a backing file that is a directory" 'directory' attach --target file --backing /srv/ublk-oci
truncate -s 1M /srv/ublk-oci/small
refused "a size larger than the backing file" 'larger than the backing' \
    attach --target file --backing /srv/ublk-oci/small --size 2M
printf 'hello' >/srv/ublk-oci/odd
refused "a backing file that is no multiple of the block size" 'multiple' \
    attach --target file --backing /srv/ublk-oci/odd
: >/srv/ublk-oci/empty
refused "a backing file that is empty" 'truncate' attach --target file --backing /srv/ublk-oci/empty
refused "a size that is no multiple of the block size" 'multiple of 512' \
    attach --target memory --size 1000
refused "a size that is none" 'size' attach --target memory --size lots

# --- containers ----------------------------------------------------------------

refused "a container nobody knows" 'crun.*runc|runc.*crun' \
    ublk-oci attach --container nobody --device /dev/data --target null --size 1M
refused "an ID that is ambiguous" 'box-one.*box-two|box-two.*box-one' \
    ublk-oci attach --container box- --device /dev/data --target null --size 1M
bundle_make "$TEST_DIR/c3"
container_start crun gone "$TEST_DIR/c3"
crun kill gone KILL
wait_for 10 sh -c 'crun state gone | grep -q stopped'
refused "a container that has ended" 'not running' \
    ublk-oci attach --container gone --device /dev/data --target null --size 1M
crun delete gone

# --- device paths --------------------------------------------------------------

for path in /etc/data /dev/../etc/data /dev/ /devdata data '/dev/a b' /dev//x; do
    refused "the device path '$path'" 'path|/dev/' \
        ublk-oci attach --container box-one --device "$path" --target null --size 1M
done
refused "a device path that is there already" '/dev/null' \
    ublk-oci attach --container box-one --device /dev/null --target null --size 1M
crun exec box-one test -c /dev/null || fail "/dev/null is gone"

# --- two at once ---------------------------------------------------------------

attach --target memory --size 1M >"$TEST_DIR/one" 2>&1 &
first=$!
second_status=0
attach --target memory --size 2M >"$TEST_DIR/two" 2>&1 || second_status=$?
first_status=0
wait $first || first_status=$?
[ $((first_status + second_status)) = 1 ] ||
    fail "two different attaches at one path: $(cat "$TEST_DIR/one" "$TEST_DIR/two")"
grep -q 'another device' "$TEST_DIR/one" "$TEST_DIR/two" || fail "$(cat "$TEST_DIR/one" "$TEST_DIR/two")"
[ "$(nr_devices)" = 1 ] || fail "not one device"
ublk-oci detach --container box-one --all >/dev/null
expect_nothing_left
ok "refused: the second of two different attaches at one path at once"

truncate -s 1M /srv/ublk-oci/shared
attach --target file --backing /srv/ublk-oci/shared >/dev/null
expect_fail 'attached read-write already' ublk-oci attach --container box-two --device /dev/data \
    --target file --backing /srv/ublk-oci/shared --read-only
ln /srv/ublk-oci/shared /srv/ublk-oci/other-name
expect_fail 'attached read-write already' ublk-oci attach --container box-two --device /dev/data \
    --target file --backing /srv/ublk-oci/other-name
ublk-oci detach --container box-one --all >/dev/null
expect_nothing_left
ok "refused: a backing file that is attached read-write elsewhere, whatever its name"

# --- a container that dies during its attach -------------------------------------

for ms in 000 020 040 060 080 100; do
    bundle_make "$TEST_DIR/dying"
    crun run -d --bundle "$TEST_DIR/dying" dying </dev/null >/dev/null 2>&1
    ublk-oci attach --container dying --device /dev/data --target memory --size 1M >/dev/null 2>&1 &
    asked=$!
    sleep "0.$ms"
    crun delete -f dying
    wait $asked || true
    expect_nothing_left
done
ok "refused: a container that dies during its attach leaves nothing"

# --- usage: exit status 2, and the help ------------------------------------------

for words in "" "frobnicate" "attach" "attach --colour red" "attach --container box-one --target null" \
    "detach --container box-one" "list extra"; do
    status=0
    # shellcheck disable=SC2086 # words
    output=$(ublk-oci $words 2>&1) || status=$?
    [ $status = 2 ] || fail "'ublk-oci $words': exit status $status: $output"
done
ok "refused: wrong words are exit status 2"

# --- no driver -------------------------------------------------------------------

rmmod ublk_drv
undo modprobe ublk_drv
refused "an attach without the driver" 'modprobe ublk_drv' attach --target null --size 1M
