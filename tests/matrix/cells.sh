# shellcheck shell=bash
# shellcheck disable=SC2154 # engine: tests/engines.sh
# Sourced by the tests beside it: the columns of docs/compatibility.md, for any engine. Each
# ends with a line that table.py reads.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
. "$here/../containers.sh"
. "$here/../engines.sh"

works() { ok "cell: $engine: $1: works${2:+: $2}"; }
cannot() { ok "cell: $engine: $1: cannot: $2"; }

declare -A notes
note() { notes[$1]=$2; } # COLUMN, what a reader has to know of it with this engine

ublk_oci() { engine_ask ublk-oci "$@"; }

# matrix_setup ENGINE: policy, helper, engine, and a place for files of theirs.
matrix_setup() {
    mkdir -p /srv/ublk-oci
    mountpoint -q /srv/ublk-oci || mount -t tmpfs -o size=300M srv /srv/ublk-oci
    undo umount -l /srv/ublk-oci
    install -d -o 1000 -g 1000 /srv/ublk-oci/user
    cat >"$TEST_DIR/policy.json" <<'END'
{
    "version": 1,
    "worker_ids": { "first": 2100000000, "count": 100 },
    "rules": [
        { "id": "root", "principal": { "uid": 0 }, "may": ["attach", "mount"],
          "targets": ["memory", "file"], "backing": ["/srv/ublk-oci/"], "max_size": "64M",
          "max_devices_per_container": 8,
          "mount": { "under": ["/data"], "filesystems": ["ext4"] } },
        { "id": "hook", "principal": { "user": "ublk-oci-hook" }, "targets": ["memory"],
          "max_size": "64M", "max_devices_per_container": 8 },
        { "id": "user", "principal": { "uid": 1000 }, "may": ["attach", "mount"],
          "targets": ["memory", "file"], "backing": ["/srv/ublk-oci/user/"], "max_size": "64M",
          "max_devices_per_container": 8,
          "mount": { "under": ["/data"], "filesystems": ["ext4"], "trust_raw_writers": true } }
    ]
}
END
    helper_start --policy "$TEST_DIR/policy.json"
    undo matrix_words
    engine_setup "$1"
}

# An engine that swallows the hook's words leaves those of the helper. (status: run_undo's)
# shellcheck disable=SC2317
matrix_words() { [ "${status:-0}" = 0 ] || tail -n 5 "$TEST_DIR/helper.log"; }

# --- what is looked at ----------------------------------------------------------

# Opened by the container's own process, written, flushed; read back past the page cache.
used() { # CONTAINER PATH
    inside "$1" "dd if=/dev/urandom of=/ask/wanted bs=64k count=4 2>/dev/null &&
        { dd if=/ask/wanted bs=64k conv=fsync 2>/dev/null >&7; } 7<>$2 &&
        dd if=$2 of=/ask/got bs=64k count=4 iflag=direct 2>/dev/null && cmp /ask/wanted /ask/got" ||
        fail "$1: $2: not read as written"
}
opens() { inside "$1" "true 7<$2" >/dev/null; } # CONTAINER PATH

# By the filter, or since nothing is behind that number any more.
refused='Operation not permitted|No such device or address'
opens_no_more() { # CONTAINER PATH
    expect_fail "$refused" inside "$1" "true 7<$2"
}

# show_device CONTAINER PATH JQ: something of its device; fails when there is none.
show_device() {
    ublk-oci list --json | jq -e -r --arg id "$(engine_id "$1")" --arg path "$2" \
        ".[] | select(.container.id == \$id and .path == \$path) | $3"
}
number_of() { show_device "$1" "$2" '"\(.major) \(.minor)"'; }
has_no_device() { ! show_device "$1" "$2" .device; }

# node_make CONTAINER NAME NUMBER: by the container itself where that may be, else it is given one.
node_make() {
    inside "$1" "mknod /ask/$2 b $3" >/dev/null || {
        # shellcheck disable=SC2086 # two numbers
        mknod -m 666 "$(root_of "$1")/ask/$2" b $3
    }
}
makes_nodes() { inside "$1" "mknod /ask/try b 7 0 && rm /ask/try" >/dev/null; }

# ends_of ID DEVICE: how often a container's end took it away: what the helper saw by itself, and what
# somebody asked for that was done.
ends_of() {
    awk -v id="$1" -v device="$2" 'index($0, device ": container " id " ended") ||
        (/"request":"detach"/ && index($0, "\"" id "\"") && index($0, "\"" device "\"")) { n++ }
        END { print n + 0 }' "$TEST_DIR/helper.log"
}

# once CONTAINER PATH COMMAND...: the command ends it, which takes the device once.
once() {
    local id device before now

    id=$(engine_id "$1")
    device=$(show_device "$1" "$2" .device)
    before=$(ends_of "$id" "$device")
    "${@:3}" "$1" "$2"
    now=$(ends_of "$id" "$device")
    [ "$now" = $((before + 1)) ] ||
        fail "$3: detached $((now - before)) times: $(tail -n 20 "$TEST_DIR/helper.log")"
}

claimed_by() {
    ublk-oci device list --json |
        jq -r --arg name "$1" '.[] | select(.name == $name) | .claims[].container.id'
}
is_free() { [ -z "$(claimed_by "$1")" ]; }

# How many programs filter the container's devices.
nr_programs() {
    local cgroup

    cgroup=/sys/fs/cgroup$(cgroup_of "$(engine_pid "$1")")
    bpftool -j cgroup list "$cgroup" | { grep -o '"attach_type":"[^"]*device"' || true; } | wc -l
}

# A block device of the machine that is nobody's.
foreign_number() {
    local disks=(/sys/block/vd*)

    tr : ' ' <"${disks[0]}/dev"
}

# --- the columns ------------------------------------------------------------------

column_hook() { # CONTAINER, its device
    used "$1" "$2"
    ublk-oci list --json | jq -e --arg id "$(engine_id "$1")" --arg path "$2" \
        'any(.[]; .container.id == $id and .path == $path and .state == "live")' >/dev/null ||
        fail "list: $(ublk-oci list)"
    works hook "$3"
}

column_cdi() { # CONTAINER, device
    used "$1" "/dev/$2"
    [ "$(claimed_by "$2")" = "$(engine_id "$1")" ] || fail "claimed by $(claimed_by "$2")"
    works CDI "$3"
}

column_live() { # CONTAINER
    local id number

    id=$(engine_id "$1")
    ublk_oci attach --container "$(engine_nick "$1")" --device /dev/live --target memory --size 4M
    used "$1" /dev/live
    number=$(number_of "$1" /dev/live)
    works 'live attach' "$2"
    column_cgroup_v2 "$1"

    node_make "$1" kept "$number"
    opens "$1" /ask/kept || fail "a node of an attached device does not open"
    ublk_oci detach --container "${id:0:12}" --device /dev/live
    ! inside "$1" 'test -e /dev/live' || fail "the node is still there"
    opens_no_more "$1" /ask/kept
    inside "$1" 'rm /ask/kept' >/dev/null || rm "$(root_of "$1")/ask/kept"
    works 'live detach' "a kept node: $(grep -E -o -m 1 "$refused" <<<"$output")"
}

column_cgroup_v2() { # CONTAINER, which has a device
    local nr

    nr=$(nr_programs "$1")
    if [ "$engine" = podman-rootless ]; then
        [ "$nr" = 0 ] || fail "$nr programs"
        ! makes_nodes "$1" || fail "it makes nodes"
        works 'cgroup v2' "${notes[cgroup]}"
        return
    fi
    [ "$nr" = 1 ] || fail "$nr programs"
    node_make "$1" foreign "$(foreign_number)"
    opens_no_more "$1" /ask/foreign
    grep -q 'not permitted' <<<"$output" || fail "the filter does not count: $output"
    inside "$1" 'dd if=/dev/zero of=/dev/null count=1 2>/dev/null' || fail "/dev/zero"
    works 'cgroup v2' "${notes[cgroup]:-}"
}

column_mount() { # CONTAINER
    local image=/srv/ublk-oci/fs.img

    [ "$engine" != podman-rootless ] || image=/srv/ublk-oci/user/fs.img
    rm -f "$image"
    truncate -s 16M "$image"
    mkfs.ext4 -q -F "$image"
    [ "$engine" != podman-rootless ] || chown 1000:1000 "$image"
    ublk_oci attach --container "$(engine_nick "$1")" --mount /data --fs ext4 --target file \
        --backing "$image" >/dev/null
    inside "$1" 'dd if=/dev/urandom of=/data/f bs=64k count=4 2>/dev/null && sync &&
        cp /data/f /ask/f' || fail "the container cannot write to it"
    ublk_oci detach --container "$(engine_nick "$1")" --mount /data
    ! inside "$1" 'test -e /data/f' || fail "it is still mounted"
    debugfs -R 'cat f' "$image" 2>/dev/null | cmp - "$(root_of "$1")/ask/f" ||
        fail "what was written is not on the disk"
    works mount "$2"
}

# Two that have a device each, at the same path, and know the other's number. A container that has no
# filter must be one that cannot make a node.
column_apart() { # CONTAINER, CONTAINER, path
    local one two

    one=$(number_of "$1" "$3")
    two=$(number_of "$2" "$3")
    [ "$one" != "$two" ] || fail "both have $one"
    refused_to "$1" "$two"
    refused_to "$2" "$one"
    opens "$1" "$3" || fail "$1: its own does not open"
    opens "$2" "$3" || fail "$2: its own does not open"
    works 'kept apart' "${notes[apart]:-}"
}
refused_to() { # CONTAINER, number
    if [ "$(nr_programs "$1")" = 0 ]; then
        ! makes_nodes "$1" || fail "$1 has no device filter, and makes nodes"
        return
    fi
    node_make "$1" other "$2"
    expect_fail 'Operation not permitted' inside "$1" 'true 7</ask/other'
}

# The ways to end, each with all the runtime does then.
by_engine() { # CONTAINER PATH
    engine_end "$1"
    wait_for 60 has_no_device "$1" "$2"
}
# First what stays beside the container, then, where it outlives that, the container.
by_keeper() {
    kill -KILL "$(engine_keeper "$1")"
    sleep 1
    kill -KILL "$(engine_pid "$1")" 2>/dev/null || true
    wait_for 60 has_no_device "$1" "$2"
    engine_end "$1" 2>/dev/null || true
}
# Killed, and started with the same ID: it has one again.
by_restart() {
    engine_again "$1"
    [ "$(show_device "$1" "$2" .state)" = live ] || fail "not one: $(ublk-oci list)"
    used "$1" "$2"
}

# What an update takes away comes back within seconds.
column_update() { # CONTAINER, its device
    if [ "$engine" = podman-rootless ]; then
        expect_fail 'cpu.max' engine_update "$1"
        used "$1" "$2"
        cannot 'engine update' "$3"
        return
    fi
    engine_update "$1" >"$TEST_DIR/update" 2>&1 || fail "update: $(cat "$TEST_DIR/update")"
    wait_for 10 opens "$1" "$2"
    used "$1" "$2"
    works 'engine update' "$3"
}

# matrix_all: everything, with three containers. What a reader has to know of how it is done with
# this engine is in $notes.
matrix_all() {
    ublk_oci device create shelf --target memory --size 4M
    engine_run alpha hook=data=target=memory,size=4M cdi=shelf
    column_hook alpha /dev/data "${notes[hook]:-}"
    column_cdi alpha shelf "${notes[CDI]:-}"
    column_live alpha "${notes[live]:-}"
    column_mount alpha "${notes[mount]:-}"

    engine_run bravo userns hook=data=target=memory,size=4M
    used bravo /dev/data
    [ "$(awk '{ print $2; exit }' "/proc/$(engine_pid bravo)/uid_map")" != 0 ] || fail "no user namespace"
    works 'user namespace' "${notes[userns]:-}"
    column_apart alpha bravo /dev/data
    once bravo /dev/data by_engine

    engine_run carol attended hook=data=target=memory,size=4M
    used carol /dev/data
    once carol /dev/data by_keeper
    once alpha /dev/data by_restart
    works 'container end' "${notes[end]:-}"
    column_update alpha /dev/data "${notes[update]:-}"
    engine_end alpha
    wait_for 30 is_free shelf
    ublk_oci device remove shelf
    expect_nothing_left
}
