#!/bin/bash
# Attached and detached, round by round, while the container's other device is kept busy. A second
# container, of another runtime and with a device of its own, learns each number and never opens it.
# MATRIX_ROUNDS=50 is the long form.
# short: 7.3
. "$(dirname "$0")/cells.sh"

rounds=${MATRIX_ROUNDS:-4}

matrix_setup crun
engine_run busy
engine=runc engine_run onlooker
for name in busy onlooker; do
    ublk-oci attach --container $name --device /dev/steady --target memory --size 4M
done

# Writes and reads back until it is told to stop.
inside busy 'dd if=/dev/urandom of=/ask/load bs=64k count=8 2>/dev/null
    (n=0; while ! test -e /ask/stop; do
        dd if=/ask/load of=/dev/steady bs=64k conv=fsync 2>/dev/null &&
            dd if=/dev/steady bs=64k count=8 iflag=direct 2>/dev/null | cmp - /ask/load || echo >>/ask/bad
        n=$((n + 1)); echo $n >/ask/count; sleep 0.05
    done; echo >/ask/stopped) >/dev/null 2>&1 &'
# The file may be looked at between being emptied and being written.
count() {
    local n=""

    until [ -n "$n" ]; do read -r n <"$(root_of busy)/ask/count" || true; done
    echo "$n"
}
wait_for 30 test -s "$(root_of busy)/ask/count"

for ((i = 1; i <= rounds; i++)); do
    before=$(count)
    ublk-oci attach --container busy --device /dev/round --target memory --size 4M
    number=$(number_of busy /dev/round)
    used busy /dev/round
    node_make busy kept "$number"
    node_make onlooker other "$number"
    opens busy /ask/kept || fail "round $i: its own"
    expect_fail 'Operation not permitted' inside onlooker 'true 7</ask/other'
    opens onlooker /dev/steady || fail "round $i: the other's own"

    ublk-oci detach --container busy --device /dev/round
    ! inside busy 'test -e /dev/round' || fail "round $i: the node stays"
    opens_no_more busy /ask/kept
    opens_no_more onlooker /ask/other
    inside busy 'rm /ask/kept' && inside onlooker 'rm /ask/other'
    [ "$(nr_programs busy)" = 1 ] || fail "round $i: $(nr_programs busy) programs"
    wait_for 30 eval "[ \$(count) -gt $before ]"
done
ok "rounds: $rounds times attached, used and detached beside a busy device; nobody else opens it"

inside busy 'echo >/ask/stop'
wait_for 30 test -e "$(root_of busy)/ask/stopped"
[ ! -e "$(root_of busy)/ask/bad" ] || fail "the busy device was read otherwise than written"
ublk-oci detach --all
expect_nothing_left
ok "rounds: the busy device was written and read $(count) times, always the same"
