#!/bin/bash
# What `policy explain` says is what the helper does: the same words, for real devices. And
# `policy reload`.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq busybox

srv_mount
truncate -s 4M /srv/ublk-oci/disk
chown 1000 /srv/ublk-oci/disk
truncate -s 4M "$TEST_DIR/outside"

# The examples speak of these groups.
cp /etc/group "$TEST_DIR/group"
undo cp "$TEST_DIR/group" /etc/group
printf '%s:x:%d:\n' ci 20001 acme 20002 globex 20003 >>/etc/group
examples=/usr/share/doc/ublk-oci/examples
for name in single-host ci-runner multi-tenant rootless-users volume-plugins; do
    ublk-oci policy check $examples/$name.json >/dev/null || fail "$name.json"
done
ok "policy: the installed examples are valid"

# --- explain and the helper agree -------------------------------------------------

policy=$TEST_DIR/policy.json
install -m 0644 /etc/ublk-oci/policy.json "$policy"
helper_start --policy "$policy"
bundle_make "$TEST_DIR/c"
container_start crun box "$TEST_DIR/c"

# agree NAME RULE|- WORDS...: both give it by this rule, or (-) refuse it with the same words.
agree() {
    local name=$1 rule=$2 status=0 expected=0 explained asked listed

    shift 2
    [ "$rule" != - ] || expected=1
    explained=$(ublk-oci policy explain --policy "$policy" attach "$@" 2>&1) || status=$?
    [ $status = $expected ] || fail "$name: explain: exit status $status: $explained"
    status=0
    asked=$(ublk-oci attach "$@" 2>&1) || status=$?
    [ $status = $expected ] || fail "$name: attach: exit status $status: $asked"
    explained=${explained##*$'\n'}
    if [ "$rule" = - ]; then
        [ "$asked" = "ublk-oci: attach: the policy refuses it: ${explained#refused: }" ] ||
            fail "$name: explain: $explained, attach: $asked"
    else
        [[ $explained = "allowed by rule \"$rule\""* ]] || fail "$name: explain: $explained"
        listed=$(ublk-oci list --json)
        [[ $listed = *"\"rule\": \"$rule\""* ]] || fail "$name: attach: $listed"
        case $asked in
        /dev/*) ublk-oci detach "$asked" >/dev/null ;;
        *) ublk-oci detach --container box --all >/dev/null ;;
        esac
    fi
    ok "policy: explain and the helper agree: $name"
}

box=(--container box --device /dev/data)
agree "memory for a container" root-containers "${box[@]}" --target memory --size 1M
agree "a device for the host" root-host --host --target null --size 1M --queues 16
agree "another's file, for root" root-containers "${box[@]}" --target file --backing /srv/ublk-oci/disk
ln -s /srv/ublk-oci/disk "$TEST_DIR/link"
agree "a link to it" root-containers "${box[@]}" --target file --backing "$TEST_DIR/link" --read-only
ln -s "$TEST_DIR/outside" /srv/ublk-oci/link
agree "a link out of the rule's folder" - "${box[@]}" --target file --backing /srv/ublk-oci/link
agree "a file outside" - "${box[@]}" --target file --backing "$TEST_DIR/outside"
agree "zero copy that is not granted" - "${box[@]}" --target memory --size 1M --data-path zero-copy
agree "copies" root-containers "${box[@]}" --target memory --size 1M --data-path copy
agree "too large" - "${box[@]}" --target null --size 2T

# What there is already, explain has to be told.
ublk-oci attach --host --target null --size 1M >/dev/null
jq '.rules[1].max_devices = 1' /etc/ublk-oci/policy.json >"$policy"
ublk-oci policy reload >/dev/null
# shellcheck disable=SC2154 # lib.sh sets output
{
    expect_fail 'there are 1 devices already, of its 1' \
        ublk-oci attach "${box[@]}" --target null --size 1M
    helper_said=${output##*refuses it: }
    expect_fail 'there are 1 devices already, of its 1' ublk-oci policy explain \
        --policy "$policy" --devices 1 attach "${box[@]}" --target null --size 1M
    [ "${output##*refused: }" = "$helper_said" ] || fail "explain: $output, attach: $helper_said"
}
ublk-oci detach /dev/ublkb0 >/dev/null
agree "one device at most, and there is none" root-containers "${box[@]}" --target null --size 1M
ok "policy: explain counts what it is told there is"

# --- reload -----------------------------------------------------------------------

jq '.rules |= .[:2]' /etc/ublk-oci/policy.json >"$policy"
[[ $(ublk-oci policy reload) = *"2 rules"* ]] || fail "reload does not say what there is now"
expect_fail 'not of the host' ublk-oci attach --host --target null --size 1M
ok "policy: reload takes the new rules, and says how many"

printf '{\n  "version": 1,\n  "rules": [ oops ]\n}\n' >"$policy"
expect_fail "$policy: line 3, column 14" ublk-oci policy reload
chmod 666 "$policy"
expect_fail 'chmod go-w' ublk-oci policy reload
rm "$policy"
expect_fail 'No such file' ublk-oci policy reload
expect_fail 'not of the host' ublk-oci attach --host --target null --size 1M
ublk-oci attach "${box[@]}" --target null --size 1M >/dev/null
ublk-oci detach --container box --all >/dev/null
ok "policy: a file that is wrong, open to others or gone leaves the rules as they were"

install -m 0644 /etc/ublk-oci/policy.json "$policy"
expect_fail 'root' setpriv --reuid 1000 --regid 1000 \
    --groups "$(getent group ublk-oci | cut -d : -f 3)" ublk-oci policy reload
expect_fail 'not of the host' ublk-oci attach --host --target null --size 1M
ok "policy: only root may reload"
expect_nothing_left
