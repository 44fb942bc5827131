# shellcheck shell=bash
# Sourced by tests and the demo: containers of busybox, and the helper to serve them.

# What every bundle begins with, made once: each program costs an emulated guest a tenth of a
# second.
bundle_template=/run/ublk-oci-test/bundle

bundle_template_make() {
    local root=$bundle_template.new/rootfs name

    mkdir -p "$root"/{bin,dev,proc,sys,tmp,etc,mnt,usr}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for name in sh dd stat ls sleep cat id cmp sha256sum mount umount mknod sync true test; do
        ln -s busybox "$root/bin/$name"
    done
    (cd $bundle_template.new && runc spec)
    mv $bundle_template.new $bundle_template
}

# bundle_make DIR [JQ]: an OCI bundle that sleeps; JQ changes its config.json.
bundle_make() {
    local dir=$1 change=${2:-.}

    [ -d $bundle_template ] || bundle_template_make
    rm -rf "$dir"
    cp -a $bundle_template "$dir"
    jq -M ".process.terminal=false | .root.readonly=false | .process.args=[\"sleep\",\"1000000\"]
        | .process.env=[\"PATH=/bin\"] | .linux.cgroupsPath=\"/ublk-oci-test/${dir##*/}\"
        | $change" $bundle_template/config.json >"$dir/config.json"
}

# jq text: the hook at the stages that use it.
hooks_jq() {
    local hook=${HOOK_PROGRAM:-/usr/libexec/ublk-oci/ublk-oci-hook} stages=${1:-createRuntime poststop}
    local stage text=.

    # crun shows a hook's words only when told where to.
    text+=' | .annotations["run.oci.hooks.stderr"]="/dev/stderr"'
    for stage in $stages; do
        text+=" | .hooks.$stage=[{\"path\":\"$hook\",\"args\":[\"ublk-oci-hook\"]}]"
    done
    echo "$text"
}

# jq text: annotation for device NAME with KEYS.
device_jq() { echo ".annotations[\"io.ublk-oci.device.$1\"]=\"$2\""; }

# container_start RUNTIME ID BUNDLE: in the background; ends with the test.
container_start() {
    "$1" run -d --bundle "$3" "$2" </dev/null >"$3/log" 2>&1 || {
        cat "$3/log"
        return 1
    }
    # shellcheck disable=SC2034
    undo container_delete "$1" "$2"
}

container_delete() { ! "$1" state "$2" >/dev/null 2>&1 || "$1" delete -f "$2" >/dev/null 2>&1; }

# helper_start [OPTION...]: the installed helper, stopped at the test's end.
helper_start() {
    /usr/sbin/ublk-ocid "$@" 2>>"$TEST_DIR/helper.log" &
    helper_pid=$!
    undo helper_stop
    helper_answers || fail "the helper does not answer: $(tail -n 5 "$TEST_DIR/helper.log")"
}

helper_answers() {
    local end=$((SECONDS + 30)) # a machine may be busy

    until ublk-oci list >/dev/null 2>&1; do
        kill -0 "$helper_pid" 2>/dev/null && [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

# A test that failed leaves nothing for the next to stumble over; one that passed has to see
# to that itself. (status: run_undo's)
helper_stop() {
    [ "${status:-0}" = 0 ] || ! compgen -G '/dev/ublkc*' >/dev/null ||
        { timeout 30 ublk-oci detach --all; timeout 30 ublk-oci device remove --all --force; } \
            >/dev/null 2>&1 || true
    kill -TERM "$helper_pid" 2>/dev/null || true
    wait "$helper_pid" 2>/dev/null || true
}

# cgroup_opens CGROUP DEVICE: may what is in that cgroup (a directory) open it, to read and write?
# Without a program, which in a container takes a runtime seconds: it is for what is timed.
cgroup_opens() { (echo $BASHPID >"$1/cgroup.procs" && : <>"$2") 2>/dev/null; }

# What must be true when every device is gone: nothing of ours is left anywhere. Asked often,
# and a program costs a tenth of a second in an emulated guest: hence no pgrep, ls or jq.
leftovers() {
    local file name

    [ ! -S /run/ublk-oci/helper.sock ] || ublk-oci list 2>/dev/null | tail -n +2
    compgen -G '/dev/ublk[bc]*' || true
    compgen -G '/run/ublk-oci/devices/*' || true
    compgen -G '/run/ublk-oci/nodes/*' || true
    compgen -G '/run/ublk-oci/stats/*' || true
    compgen -G '/sys/fs/bpf/ublk-oci/*' || true
    compgen -G '/sys/fs/cgroup/ublk-oci/workers/*/' || true
    compgen -G '/sys/fs/cgroup/system.slice/ublk-ocid.service/workers/*/' || true
    for file in /proc/[0-9]*/comm; do
        { read -r name <"$file"; } 2>/dev/null || continue
        [ "$name" != ublk-oci-worker ] || echo "worker ${file//[!0-9]/}"
    done
}

nothing_left() { [ -z "$(leftovers)" ]; }

one_device() { [ "$(nr_devices)" = 1 ]; }

all_live() { ! ublk-oci list | grep -E -w 'attaching|detaching|recovering'; }

nr_devices() { ublk-oci list | tail -n +2 | wc -l; }

# expect_nothing_left: with a little patience, since what ends by itself is noticed, not awaited.
expect_nothing_left() {
    local end=$((SECONDS + 30))

    until nothing_left; do
        [ $SECONDS -lt $end ] || fail "left behind: $(leftovers)"
        sleep 0.1
    done
}
