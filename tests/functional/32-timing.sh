#!/bin/bash
# attach and detach --timing: every step is there, in order, and no more than the whole.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun jq busybox

helper_start
srv_mount
truncate -s 16M /srv/ublk-oci/timing.img
bundle_make "$TEST_DIR/timing"
container_start crun timing "$TEST_DIR/timing"

begin='accept fork'
up='control add keep cgroup spawn prepare seal start settle node live'
down='revoke control flush stop leave delete clean'

# timed FILTER STEPS FILE: the object at FILTER has these steps, and no part is more than the whole.
timed() {
    [ "$(jq -r "$1.timing.steps_us | keys_unsorted | join(\" \")" "$3")" = "$2" ] ||
        fail "other steps than $2: $(cat "$3")"
    jq -e "$1.timing | (.steps_us | add) <= .helper_us and .helper_us <= .client_us
        and .steps_us.fork > 0" "$3" >/dev/null || fail "a part is more than the whole: $(cat "$3")"
}

ublk-oci attach --container timing --device /dev/a --target file \
    --backing /srv/ublk-oci/timing.img --timing --json >"$TEST_DIR/attach"
timed "" "$begin look decide memory $up" "$TEST_DIR/attach"
jq -e '.timing.steps_us | .start > 0 and .spawn > 0 and .node > 0' "$TEST_DIR/attach" >/dev/null ||
    fail "a step took no time: $(cat "$TEST_DIR/attach")"
ok "timing: attach, as JSON"

# What is asked twice does less, and tells that.
ublk-oci attach --container timing --device /dev/a --target file \
    --backing /srv/ublk-oci/timing.img --timing --json >"$TEST_DIR/again"
timed "" "$begin look decide" "$TEST_DIR/again"
[ "$(nr_devices)" = 1 ] || fail "to be timed made it another device"
ok "timing: attach asked twice"

ublk-oci detach --container timing --device /dev/a --timing --json >"$TEST_DIR/detach"
timed '.[0]' "$begin take unused $down" "$TEST_DIR/detach"
jq -e 'length == 1 and (.[0].timing.steps_us.stop > 0) and .[0].device == "ublkb0"' \
    "$TEST_DIR/detach" >/dev/null || fail "not what became of one device: $(cat "$TEST_DIR/detach")"
expect_nothing_left
ok "timing: detach, as JSON"

# For people: a line per step, and the sums.
ublk-oci attach --host --target null --size 1M --timing >"$TEST_DIR/lines"
head -n 1 "$TEST_DIR/lines" | found -x '/dev/ublkb[0-9]*' || fail "no path first"
for name in $begin look decide memory $up helper client; do
    grep -q -E "^  $name +[0-9]+ us(,|\$)" "$TEST_DIR/lines" ||
        fail "no line for $name: $(cat "$TEST_DIR/lines")"
done
ublk-oci detach --host ublkb0 --force --timing >"$TEST_DIR/lines"
! grep -q unused "$TEST_DIR/lines" || fail "--force looks who has it open"
grep -q -E '^  stop +[0-9]+ us$' "$TEST_DIR/lines" || fail "no line for stop"
ok "timing: for people"

# Who does not ask is not told.
ublk-oci attach --host --target null --size 1M --json >"$TEST_DIR/plain"
jq -e 'has("timing") | not' "$TEST_DIR/plain" >/dev/null || fail "told unasked"
[ -z "$(ublk-oci detach --host ublkb0)" ] || fail "detach talks"
ok "timing: not asked, not told"

# A refusal has no times, and its words are as ever.
expect_fail 'there is no target' ublk-oci attach --host --target nothing --size 1M --timing
expect_fail 'larger than the backing' ublk-oci attach --host --target file --size 32M \
    --backing /srv/ublk-oci/timing.img --timing
! grep -q helper <<<"$output" || fail "a refusal with times: $output"
expect_fail 'takes no value' ublk-oci attach --host --target null --size 1M --timing=yes
expect_fail 'there is no device' ublk-oci detach --host ublkb7 --timing
node=$(ublk-oci attach --host --target null --size 1M)
exec 7<"$node"
! ublk-oci detach --host "$node" --timing --json >"$TEST_DIR/busy" 2>/dev/null ||
    fail "a device in use went"
exec 7<&-
jq -e '.[0] | (.error | test("in use")) and (has("timing") | not)' "$TEST_DIR/busy" >/dev/null ||
    fail "not what is in the way: $(cat "$TEST_DIR/busy")"
ublk-oci detach --host "$node"
expect_nothing_left
ok "timing: a refusal has no times"
