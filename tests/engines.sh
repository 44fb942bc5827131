# shellcheck shell=bash
# shellcheck disable=SC2034,SC2119,SC2120 # other files use, and give arguments
# Sourced by tests behind lib.sh and containers.sh: containers of every engine, in the same words.
#
#   engine_setup podman                       or crun, runc, podman-rootless, containerd
#   engine_run web hook=data=target=memory,size=8M
#   inside web 'echo hello >/dev/data'        by the container's own process
#   engine_ask ublk-oci attach --container "$(engine_id web)" ...
#   engine_end web
#
# A container's root is $TEST_DIR/NAME/rootfs, its process a shell that does what inside() says.

engines='crun runc podman podman-rootless containerd'

# Whose functions an engine uses: FAMILY_VERB below.
declare -A engine_family=(
    [crun]=oci [runc]=oci [podman]=pod [podman-rootless]=pod [containerd]=ctr
)
engine_do() { "${engine_family[$engine]}_$1" "${@:2}"; }

# engine_setup ENGINE: it can be used until the test ends, and engine_run() uses it.
engine_setup() {
    engine=$1
    chmod 711 "$TEST_DIR"
    engine_do setup
}

# engine_run NAME [WISH...]: a container, with CAP_MKNOD. Wishes:
#   hook=DEVICE=KEYS   the annotation of a device
#   cdi=DEVICE         a device made ahead, by the list
#   userns             a user namespace of its own (of root's containers)
#   attended           a runtime that stays until the container ends, where one can
engine_run() { engine_do run "$@"; }
engine_id() { engine_do id "$1"; }     # as the engine has it
engine_nick() { engine_do nick "$1"; } # what a person would write: a name, or an ID's beginning
engine_pid() { cat "$TEST_DIR/$1/pid"; } # of the container's process, as the host counts
engine_keeper() { engine_do keeper "$1"; } # pid of what stays beside the container
engine_again() { engine_do again "$1"; }   # its process is killed, and it is started again
engine_update() { engine_do update "$1"; } # other limits, and a device list where one can be given
engine_end() { engine_do end "$1"; }

# engine_ask COMMAND...: as who runs this engine's containers.
engine_ask() {
    if [ "$engine" = podman-rootless ]; then as_user "$@"; else "$@"; fi
}

parent_of() { awk '/^PPid:/ { print $2 }' "/proc/$(engine_pid "$1")/status"; }

# --- the container's own process ----------------------------------------------

root_of() { echo "$TEST_DIR/$1/rootfs"; }

# The shell opens what a redirection of its own names; a file says what to do, two pipes when.
ask_make() { # ROOT
    (
        umask 0
        mkdir "$1/ask"
        mkfifo "$1/ask/go" "$1/ask/done"
        : >"$1/ask/said"
        # shellcheck disable=SC2016 # expanded there
        printf '%s\n' 'while :; do' 'read -r word </ask/go || continue' \
            '. /ask/todo >/ask/said 2>&1' 'echo $? >/ask/done' 'done' >"$1/ask/job"
    )
}

# root_make NAME: a root of busybox.
root_make() {
    [ -d "$bundle_template" ] || bundle_template_make
    mkdir -p "$TEST_DIR/$1"
    cp -a "$bundle_template/rootfs" "$TEST_DIR/$1"
    ask_make "$(root_of "$1")"
}

# inside NAME SCRIPT: the container's process does it; output and status are its own. A script
# that exits ends the container.
inside() {
    local ask=$TEST_DIR/$1/rootfs/ask status said

    printf '%s\n' "$2" >"$ask/todo"
    exec 8<>"$ask/go" 9<>"$ask/done"
    echo go >&8
    read -r -t 120 status <&9 || status=124
    exec 8>&- 9>&-
    said=$(<"$ask/said")
    [ -z "$said" ] || printf '%s\n' "$said"
    return "$status"
}

# --- users --------------------------------------------------------------------

# as_user COMMAND...: uid 1000, in a session's cgroup of their own, where cgroups can be a user's.
as_user() {
    (
        [ ! -d $user_session ] || echo "$BASHPID" >$user_session/cgroup.procs
        exec setpriv --reuid 1000 --regid 1000 --init-groups \
            env -u CONTAINERS_STORAGE_CONF HOME=/run/user/1000/home USER="$user_name" \
            LOGNAME="$user_name" XDG_RUNTIME_DIR=/run/user/1000 "$@"
    )
}

user_session=/sys/fs/cgroup/user/shell
user_setup() {
    requires setpriv newuidmap
    user_name=$(id -nu 1000)
    usermod --append --groups ublk-oci "$user_name"
    install -d -o 1000 -g 1000 /run/user/1000/home
    [ -e /sys/fs/cgroup/cgroup.controllers ] || return 0
    mkdir -p $user_session
    chown -R 1000:1000 ${user_session%/*}
}

# --- crun and runc --------------------------------------------------------------

engine_userns_jq='.linux.namespaces += [{"type":"user"}]
    | .linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]
    | .linux.gidMappings=.linux.uidMappings'

# cdi_jq NAME...: jq text; as an engine does, what the list says of a device goes into the config.
cdi_jq() {
    local name text=.

    for name in "$@"; do
        text+=" | $(jq -r --arg name "$name" '.devices[] | select(.name == $name)
            | .containerEdits.hooks[] | ".hooks.\(.hookName) += [\({path, args} | tojson)]"' \
            /run/cdi/ublk-oci.json | paste -sd '|')"
    done
    echo "$text"
}

# A bundle; its config.json is of a container with these wishes.
config_make() { # NAME, WISH...
    local name=$1 wish text devices=()

    text='.process.args=["/bin/sh","/ask/job"]
        | .process.capabilities |= with_entries(.value += ["CAP_MKNOD"])'
    text+=" | .root.path=\"$(root_of "$name")\" | $(hooks_jq)"
    for wish in "${@:2}"; do
        case $wish in
        hook=*) wish=${wish#*=}; text+=" | $(device_jq "${wish%%=*}" "${wish#*=}")" ;;
        cdi=*) devices+=("${wish#*=}") ;;
        userns) text+=" | $engine_userns_jq" ;;
        esac
    done
    bundle_make "$TEST_DIR/$name" "$text | $(cdi_jq "${devices[@]}")"
    ask_make "$(root_of "$name")"
    [[ " $* " != *" userns "* ]] || chown -R 100000:100000 "$(root_of "$name")"
}

oci_setup() { requires "$engine" jq busybox; }

oci_run() {
    config_make "$@"
    if [[ " $* " != *" attended "* ]]; then
        (oci_start "$1" -d) || {
            cat "$TEST_DIR/$1/log"
            return 1
        }
        undo container_delete "$engine" "$1"
        return
    fi
    oci_start "$1" &
    echo $! >"$TEST_DIR/$1/keeper"
    undo container_delete "$engine" "$1"
    wait_for 60 test -s "$TEST_DIR/$1/pid"
}
oci_start() { # NAME, OPTION...
    exec "$engine" run "${@:2}" --pid-file "$TEST_DIR/$1/pid" --bundle "$TEST_DIR/$1" "$1" \
        </dev/null >"$TEST_DIR/$1/log" 2>&1
}
oci_id() { echo "$1"; }
oci_nick() { echo "${1:0:4}"; }
oci_keeper() { cat "$TEST_DIR/$1/keeper"; }
oci_again() {
    kill -KILL "$(engine_pid "$1")"
    oci_end "$1"
    (oci_start "$1" -d)
}
# What has no place in crun's list it takes away; runc leaves lists alone.
oci_update() {
    jq '.linux.resources | .devices += [{"allow": true, "type": "c", "major": 1, "access": "rwm"}]
        | .memory.limit = 268435456' "$TEST_DIR/$1/config.json" >"$TEST_DIR/resources.json"
    "$engine" "${@:2}" update --resources "$TEST_DIR/resources.json" "$1"
}
oci_end() { "$engine" delete -f "$1"; }

# --- podman, root's and users' ----------------------------------------------------

# podman_setup [RUNTIME]: storage in memory, for as long as the test runs.
podman_setup() {
    local dir

    requires podman conmon crun
    [ "$(hostname)" != '(none)' ] || hostname guest
    grep -q -w localhost /etc/hosts 2>/dev/null || echo '127.0.0.1 localhost' >>/etc/hosts
    mkdir -p /run/lock /run/containers /var/tmp /var/lib/containers /etc/containers
    for dir in /var/lib/containers /run/containers; do
        mountpoint -q $dir || { mount -t tmpfs -o mode=755 none $dir && undo umount -l $dir; }
    done
    # Users' podman looks nowhere for hooks by itself.
    cat >"$TEST_DIR/containers.conf" <<END
[containers]
netns = "none"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "${1:-crun}"
hooks_dir = ["/usr/share/containers/oci/hooks.d"]
END
    cat >"$TEST_DIR/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
END
    chmod 644 "$TEST_DIR"/*.conf
    export CONTAINERS_CONF=$TEST_DIR/containers.conf CONTAINERS_STORAGE_CONF=$TEST_DIR/storage.conf
    undo podman_end
}

podman_end() { timeout 120 podman rm --all --force --time 0 >/dev/null 2>&1 || true; }

# podman_run NAME OPTION... -- COMMAND...: in the background, with a root of busybox of its own.
podman_run() {
    local name=$1 options=()

    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    root_make "$name"
    timeout 300 podman run --detach --name "$name" "${options[@]}" --rootfs "$(root_of "$name")" "$@"
}

pod() { engine_ask timeout 300 podman "$@"; }

pod_setup() {
    podman_setup
    [ "$engine" = podman ] || { user_setup && undo pod_user_end; }
}
# The process that keeps a user's namespace stays when the last container is gone.
pod_user_end() {
    pod rm --all --force --time 0 >/dev/null 2>&1
    kill "$(cat /run/user/1000/libpod/tmp/pause.pid)" 2>/dev/null
}

pod_run() {
    local name=$1 wish root options=(--cap-add MKNOD)

    root=$(root_of "$name")
    root_make "$name"
    [ "$engine" = podman ] || chown -R 1000:1000 "$TEST_DIR/$name"
    for wish in "${@:2}"; do
        case $wish in
        # podman 4 divides what stands behind --annotation at commas.
        hook=*) options+=(--annotation "io.ublk-oci.device.$(tr , ';' <<<"${wish#*=}")") ;;
        cdi=*) options+=(--device "ublk-oci.io/device=${wish#*=}") ;;
        # A user's are in one anyway.
        userns) [ "$engine" != podman ] ||
            { options+=(--uidmap 0:100000:65536); chown -R 100000:100000 "$root"; } ;;
        esac
    done
    pod run --detach --name "$name" --pidfile "$TEST_DIR/$name/pid" "${options[@]}" --rootfs "$root" /bin/sh /ask/job \
        >"$TEST_DIR/$name/id" 2>"$TEST_DIR/$name/log" || {
        cat "$TEST_DIR/$name/log"
        return 1
    }
}
pod_id() { cat "$TEST_DIR/$1/id"; }
pod_nick() { echo "$1"; }
pod_keeper() { parent_of "$1"; }
pod_again() {
    kill -KILL "$(engine_pid "$1")"
    pod restart --time 0 "$1" >/dev/null
}
pod_update() { pod update --cpus 0.9 "$1" >/dev/null; }
pod_end() { pod rm --force --time 0 "$1" >/dev/null; }

# --- containerd -------------------------------------------------------------------

# Without what it tries and does not find here, which costs seconds.
ctr_setup() {
    requires containerd ctr runc jq busybox
    mkdir -p /var/lib/containerd
    mountpoint -q /var/lib/containerd || mount -t tmpfs -o mode=755 none /var/lib/containerd
    cat >"$TEST_DIR/containerd.toml" <<'END'
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs"]
END
    containerd --config "$TEST_DIR/containerd.toml" >"$TEST_DIR/containerd.log" 2>&1 &
    containerd_pid=$!
    undo ctr_stop
    wait_for 60 ctr version
}
ctr_stop() {
    kill "$containerd_pid"
    wait "$containerd_pid" || true
}

ctr_run() {
    config_make "$@"
    ctr run --detach --pid-file "$TEST_DIR/$1/pid" --config "$TEST_DIR/$1/config.json" "$1" </dev/null \
        >"$TEST_DIR/$1/log" 2>&1 || {
        cat "$TEST_DIR/$1/log"
        return 1
    }
    undo ctr_gone "$1"
}
ctr_id() { echo "$1"; }
ctr_nick() { echo "${1:0:4}"; }
ctr_keeper() { parent_of "$1"; }
ctr_again() {
    kill -KILL "$(engine_pid "$1")"
    wait_for 30 ctr task delete "$1"
    ctr task start --detach --pid-file "$TEST_DIR/$1/pid" "$1" </dev/null >"$TEST_DIR/$1/log" 2>&1
}
# ctr has no word for it, but the runtime has.
ctr_update() { engine=runc oci_update "$1" --root /run/containerd/runc/default; }
ctr_gone() { ! ctr container info "$1" >/dev/null 2>&1 || ctr_end "$1"; }
ctr_end() {
    ctr task rm --force "$1" >/dev/null 2>&1 || true
    ctr container rm "$1"
}
