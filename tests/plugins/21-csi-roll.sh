#!/bin/bash
# short: 7.3
# The CSI driver is rolled, or dies, while volumes come and go: what is left is as it should be.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/store.sh"
. "$(dirname "$0")/csi.sh"
requires jq setpriv mkfs.ext4 python3

top=/var/lib/kubelet/roll
rm -rf $top
mkdir -p $top
undo rm -rf --one-file-system $top
csi_policy
start() { helper_start --policy "$TEST_DIR/policy.json"; }
start
store_start --policy "$TEST_DIR/policy.json"
csi_start

PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$here/roll.py" "$csi_socket" $top 20 >"$TEST_DIR/rolled" 2>"$TEST_DIR/roll.log" &
roll=$!
nr=0
while kill -0 $roll 2>/dev/null; do
    sleep 0.$((RANDOM % 8 + 1))
    if ((++nr % 2)); then # dies, or is told to end as by a roll
        kill -KILL "$csi_pid"
        wait "$csi_pid" 2>/dev/null || true
    else
        csi_stop
    fi
    if ((nr == 5)); then
        kill -KILL "$helper_pid"
        wait "$helper_pid" 2>/dev/null || true
        start
    fi
    csi_start
    sleep 1.5
done
wait $roll || fail "after $nr deaths: $(tail -n 15 "$TEST_DIR/roll.log")"
((nr >= 5)) || fail "it died $nr times only"
ok "csi roll: 20 cycles, the driver ended $nr times, $(cat "$TEST_DIR/rolled") calls were made again"

! grep -q "$top" /proc/1/mountinfo || fail "mounted: $(grep "$top" /proc/1/mountinfo)"
[ -z "$(ls -A $top)" ] || fail "left: $(ls $top)"
[ -z "$(volume_names)" ] || fail "volumes are left: $(volume_names)"
csi_stop
expect_nothing_left
[ "$(ublk-oci repair)" = 'nothing is there that belongs to nobody' ] || fail "$(ublk-oci repair)"
ok "csi roll: no mount, no device, no volume is left"
