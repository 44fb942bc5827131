#!/bin/bash
# A machine whose clock cannot be read without a system call: the worker's filter has to do.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/serve.sh"
requires crun jq python3

clocks=/sys/devices/system/clocksource/clocksource0
read -r before <$clocks/current_clocksource
grep -q -w acpi_pm $clocks/available_clocksource || skip "no acpi_pm: $(cat $clocks/available_clocksource)"

# How the C library reads the clock, by a filter that refuses the system call: "vdso" or "call".
clock_is_read_by() {
    python3 - "$([ "$(uname -m)" = x86_64 ] && echo 228 || echo 113)" <<'END'
import ctypes, struct, sys, time

LOAD_NUMBER, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ERRNO_EPERM, ALLOW = 0x00050001, 0x7FFF0000
rows = ((LOAD_NUMBER, 0, 0, 0), (JUMP_EQUAL, 0, 1, int(sys.argv[1])),
        (RETURN, 0, 0, ERRNO_EPERM), (RETURN, 0, 0, ALLOW))
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
program = struct.pack("H6xQ", len(rows), ctypes.addressof(code))
libc = ctypes.CDLL(None)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program):
    sys.exit("no filter")
try:
    time.monotonic()
    print("vdso")
except OSError:
    print("call")
END
}

[ "$(clock_is_read_by)" = vdso ] || fail "clock source $before has no vDSO, so this shows nothing"
echo acpi_pm >$clocks/current_clocksource
undo sh -c "echo $before >$clocks/current_clocksource"
[ "$(cat $clocks/current_clocksource)" = acpi_pm ] || fail "the clock source did not change"
[ "$(clock_is_read_by)" = call ] || fail "the clock is still read without a system call"
ok "clock: with acpi_pm reading it is a system call"

# The worker of the hostile suite calls clock_gettime once it is sealed.
"$build/tests/functional/serve" --worker "$build/tests/hostile/hostile-worker" --target memory \
    --attack permitted_call </dev/null >ends 2>&1 || true
grep -q '^worker: status 200$' ends || fail "$(cat ends)"
ok "clock: which a sealed worker may make"

helper_start
bundle_make "$TEST_DIR/clock"
container_start crun clock "$TEST_DIR/clock"
srv_mount
truncate -s 16M /srv/ublk-oci/clock.img
for target in '--target memory --size 16M' '--target file --backing /srv/ublk-oci/clock.img'; do
    # shellcheck disable=SC2086 # words
    ublk-oci attach --container clock --device /dev/data $target >/dev/null
    crun exec clock sh -c 'dd if=/dev/urandom of=/tmp/data bs=1M count=16 2>/dev/null &&
        dd if=/tmp/data of=/dev/data bs=64k conv=fsync 2>/dev/null && cmp /tmp/data /dev/data' ||
        fail "$target: not what was written"
    ublk-oci inspect ublkb0 --sandbox >"$TEST_DIR/inspect" || fail "$(cat "$TEST_DIR/inspect")"
    ublk-oci detach --container clock --all >/dev/null
    ok "clock: ${target%% --[sb]*}: a sealed worker serves with a clock that has no vDSO"
done
expect_nothing_left
