# shellcheck shell=bash
# shellcheck disable=SC2016,SC2034,SC2154 # quotes for the container's shell; the tests' variables
# Sourced by the tests of the device node and the device filter of a container,
# which need no helper: two block devices, bundles, checks. Ends with the store
# mounted and the pins' directory made.
. "$(dirname "$0")/../lib.sh"
requires crun runc jq bpftool busybox

top=$(cd "$(dirname "$0")/../.." && pwd)
tool=${NODE_TOOL:-$top/build/tests-gcc/tests/functional/node_tool}
[ -x "$tool" ] || fail "node_tool is not built: $tool"

store=$TEST_DIR/store
export NODE_TOOL_STORE=$store
pins=/sys/fs/bpf/node-test
bad=0

ok() { echo "ok $1"; }
not_ok() {
    echo "not ok $1: $2"
    bad=$((bad + 1))
}

# check NAME COMMAND...: it succeeds.
check() {
    local name=$1
    shift
    if output=$("$@" 2>&1); then ok "$name"; else not_ok "$name" "$output"; fi
}

# refused NAME PATTERN COMMAND...: it fails with these words.
refused() {
    local name=$1 pattern=$2
    shift 2
    if output=$("$@" 2>&1); then
        not_ok "$name" "it succeeded"
    elif grep -q -E -e "$pattern" <<<"$output"; then
        ok "$name"
    else
        not_ok "$name" "no '$pattern' in: $output"
    fi
}

# same NAME WANTED GOT
same() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "'$3' instead of '$2'"; fi; }

# --- two block devices ---------------------------------------------------------

modprobe null_blk nr_devices=0
for name in nodedata nodeother; do
    dir=/sys/kernel/config/nullb/$name
    mkdir "$dir"
    undo rmdir "$dir"
    echo 32 >"$dir/size"
    echo 1 >"$dir/memory_backed"
    echo 1 >"$dir/power"
    undo sh -c "echo 0 >$dir/power"
done
number() { echo "$((0x$(stat -c %t "$1"))):$((0x$(stat -c %T "$1")))"; }
data=$(number /dev/nodedata)
other=$(number /dev/nodeother)
printf 'hello device' | dd of=/dev/nodedata conv=notrunc status=none

# --- containers ----------------------------------------------------------------

# Runs what is written to /tmp/in, a line at a time, output to /tmp/out. That is
# ten times faster than the runtimes' exec.
loop='while :; do read -r line </tmp/in && eval "$line" >/tmp/out 2>&1; done'

# bundle DIR USERNS JQ: a container that runs the loop; JQ changes its config.json.
bundle() {
    local dir=$1 userns=$2 change=$3

    mkdir -p "$dir"/rootfs/{bin,dev,proc,sys,tmp,etc}
    cp "$(command -v busybox)" "$dir/rootfs/bin/busybox"
    for name in sh dd grep stat ln mkdir rm; do ln -s busybox "$dir/rootfs/bin/$name"; done
    mkfifo -m 666 "$dir"/rootfs/tmp/{in,out}
    (cd "$dir" && rm -f config.json && runc spec)
    jq -M --arg loop "$loop" ".process.terminal=false | .root.readonly=false
        | .process.args=[\"sh\",\"-c\",\$loop] | .process.env=[\"PATH=/bin\"] | .linux.cgroupsPath=\"/node-test/$(basename "$dir")\"
        | $change" "$dir/config.json" >"$dir/new.json"
    if [ "$userns" = yes ]; then
        jq -M '.linux.namespaces += [{"type":"user"}]
            | .linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]
            | .linux.gidMappings=[{"containerID":0,"hostID":200000,"size":65536}]' \
            "$dir/new.json" >"$dir/config.json"
        chown -R 100000:200000 "$dir/rootfs"
    else
        mv "$dir/new.json" "$dir/config.json"
    fi
}

# start RUNTIME ID DIR: sets $pid and $cgroup.
start() {
    timeout 60 "$1" run -d --bundle "$3" --pid-file "$3/pid" "$2" </dev/null >"$3/log" 2>&1 ||
        fail "$1 cannot start $2: $(cat "$3/log")"
    undo sh -c "$1 delete -f $2 >/dev/null 2>&1 || true"
    pid=$(cat "$3/pid")
    cgroup=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
}

inside() {
    timeout 10 sh -c 'echo $2 >$1/in; cat $1/out' - "$TEST_DIR/$id/rootfs/tmp" "$1"
}
programs() { bpftool -j cgroup list "$cgroup" | jq -M -c '[.[] | select(.attach_type | test("device")) | .id]'; }
dev_listing() { (cd "/proc/$pid/root/dev" && ls -lR --time-style=+ .); }
nr_pins() { find "$pins" -mindepth 1 | wc -l; }

gone() { # NAME: nothing is left anywhere
    same "$1: the runtime's program is attached again" "$before_programs" "$(programs)"
    same "$1: nothing is pinned" 0 "$(nr_pins)"
    same "$1: the container's /dev is as it was" "$before_dev" "$(dev_listing)"
    same "$1: no mount is left" 0 "$(grep -c ' /dev/ublk\| /dev/other' "/proc/$pid/mountinfo" || true)"
    same "$1: the store is empty" "" "$(ls "$store")"
}

report='t() { dd bs=512 count=1 conv=notrunc "$@" 2>&1 | grep -q "1+0 records out" && echo yes || echo no; };
    r() { t if=$1 of=/dev/null; }; w() { [ -e $1 ] && t if=/dev/zero of=$1 seek=8 || echo no; };
    echo $(r /dev/ublk/data) $(w /dev/ublk/data) $(r /dev/other) $(r /dev/zero);
    stat -c "%u %g %a" /dev/ublk/data'

# --- what the helper does once when it starts ----------------------------------

"$tool" store "$store"
undo umount "$store"
undo umount "$store"
"$tool" filter "$pins"
undo rmdir "$pins"

# The last line of every test.
verdict() { [ $bad = 0 ] || fail "$bad of the checks above"; }
