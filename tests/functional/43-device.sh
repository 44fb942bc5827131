#!/bin/bash
# Devices made ahead: listed for engines (CDI), claimed by one container after the other.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires crun runc jq busybox setpriv

list=/run/cdi/ublk-oci.json
srv_mount
usermod --append --groups ublk-oci "$(id -nu 1000)"

cat >"$TEST_DIR/policy.json" <<'END'
{
    "version": 1,
    "worker_ids": { "first": 2100000000, "count": 100 },
    "rules": [
        { "id": "shared", "principal": { "uid": 0 }, "targets": ["file"], "access": "ro",
          "share_read_only": true, "backing": ["/srv/ublk-oci/"], "max_size": "64M",
          "max_devices_per_container": 4 },
        { "id": "roots", "principal": { "uid": 0 }, "targets": ["memory", "file"],
          "backing": ["/srv/ublk-oci/"], "max_size": "64M", "max_devices_per_container": 2 },
        { "id": "users", "principal": { "uid": 1000 }, "targets": ["memory"],
          "max_size": "8M", "max_devices_per_container": 2 },
        { "id": "users-files", "principal": { "uid": 1000 }, "targets": ["file"],
          "backing": ["/srv/ublk-oci/user/"], "max_size": "8M", "max_devices_per_container": 2 },
        { "id": "given", "principal": { "uid": 1000 }, "targets": ["null"], "hook_claims": true,
          "max_size": "8M", "max_devices_per_container": 2 }
    ]
}
END
helper_start --policy "$TEST_DIR/policy.json"

user() { setpriv --reuid 1000 --regid 1000 --init-groups "$@"; }

# As an engine does: what the list says of NAME goes into the container's config.
cdi_jq() { # NAME...
    local name text='.annotations["run.oci.hooks.stderr"]="/dev/stderr"'

    for name in "$@"; do
        text+=" | $(jq -r --arg name "$name" '.devices[] | select(.name == $name)
            | .containerEdits.hooks[] | ".hooks.\(.hookName) += [\({path, args} | tojson)]"' "$list" |
            paste -sd '|')"
    done
    echo "$text"
}
bundle_with() { # DIR NAME...
    local dir=$1

    shift
    bundle_make "$dir" "$(cdi_jq "$@")"
}
claimed_by() { ublk-oci device list --json | jq -r --arg name "$1" '.[] | select(.name == $name) | .claims[].container.id'; }
is_free() { [ -z "$(claimed_by "$1")" ]; }
written() { "$1" exec "$2" sh -c "echo $4 >/tmp/w; dd if=/tmp/w of=$3 bs=512 count=1 conv=sync,fsync 2>/dev/null"; }
holds() { [ "$("$1" exec "$2" dd "if=$3" bs=${#4} count=1 2>/dev/null)" = "$4" ]; }

[ ! -e "$list" ] || fail "there is a list, and no device"
for name in .hidden end. -x a/b 'a b' "$(printf 'x%.0s' {1..64})" ''; do
    expect_fail 'is no name' ublk-oci device create --target memory --size 1M -- "$name"
done
ok "device: what is no name for an engine is refused"

for runtime in crun runc; do
    ublk-oci device create data --target memory --size 8M
    jq -e '.cdiVersion == "0.3.0" and .kind == "ublk-oci.io/device"
        and [.devices[].name] == ["data"] and (.devices[0].containerEdits | keys) == ["hooks"]' \
        "$list" >/dev/null || fail "the list: $(cat "$list")"
    [ "$(stat -c '%a %u' "$list")" = '644 0' ] || fail "who may read it: $(stat "$list")"
    [ "$(ls -A /run/cdi)" = ublk-oci.json ] || fail "more than the list: $(ls -A /run/cdi)"
    ok "device: $runtime: what is made ahead is listed"
    node=/dev/$(ublk-oci device list --json | jq -r '.[0].device')
    [ "$(stat -c '%a %u' "$node")" = '600 0' ] || fail "the host's node: $(stat "$node")"

    bundle_with "$TEST_DIR/one" data
    container_start "$runtime" one "$TEST_DIR/one"
    [ "$("$runtime" exec one stat -c '%a %F' /dev/data)" = '660 block special file' ] || fail "node"
    written "$runtime" one /dev/data first
    holds "$runtime" one /dev/data first || fail "it does not hold what was written"
    [ "$(claimed_by data)" = one ] || fail "claimed by $(claimed_by data)"
    ublk-oci list | found '^ublkb[0-9]* *(made ahead) */dev/data' || fail "$(ublk-oci list)"
    ublk-oci list | found '^ublkb[0-9]* *one */dev/data' || fail "$(ublk-oci list)"
    ok "device: $runtime: a container finds it, written and read back"

    bundle_with "$TEST_DIR/two" data
    expect_fail 'another container has it' "$runtime" run --bundle "$TEST_DIR/two" two
    "$runtime" delete -f two >/dev/null 2>&1 || true
    bundle_make "$TEST_DIR/two"
    container_start "$runtime" two "$TEST_DIR/two"
    numbers=$(stat -c '%Hr %Lr' "$node")
    # shellcheck disable=SC2086 # words
    mknod "$TEST_DIR/two/rootfs/tmp/other" b $numbers
    ! "$runtime" exec two dd if=/tmp/other of=/dev/null count=1 2>/dev/null || fail "another opens it"
    holds "$runtime" one /dev/data first || fail "the first has lost it"
    ok "device: $runtime: a second container neither claims nor opens it"

    expect_fail 'container one has it' ublk-oci device remove data
    holds "$runtime" one /dev/data first || fail "the first has lost it"
    ok "device: $runtime: it is not removed while a container has it"

    # A descriptor that is kept is no way back: until it is closed the claim does not end.
    pid=$("$runtime" state one | jq .pid)
    "$runtime" exec -d one sh -c 'exec sleep 1000 </dev/data'
    wait_for 10 sh -c "grep -l -x sleep /proc/[0-9]*/comm | sed s/comm/fd/ | xargs -I_ find _ -lname '*data*' 2>/dev/null | grep ."
    expect_fail 'in use.*sleep' ublk-oci detach --container one --device /dev/data
    holds "$runtime" one /dev/data first || fail "it no longer opens"
    kill -KILL "$pid"
    wait_for 20 is_free data
    "$runtime" delete -f one >/dev/null 2>&1 || true
    ok "device: $runtime: a container that is killed has it no more, also without poststop"

    bundle_with "$TEST_DIR/three" data
    container_start "$runtime" three "$TEST_DIR/three"
    holds "$runtime" three /dev/data first || fail "the next one does not see what the first wrote"
    ublk-oci detach --container three --device /dev/data
    ! "$runtime" exec three test -e /dev/data || fail "the node stays"
    is_free data || fail "it is still claimed"
    "$runtime" delete -f three
    ok "device: $runtime: the next container has it, with what the first wrote"

    bundle_with "$TEST_DIR/four" data
    container_start "$runtime" four "$TEST_DIR/four"
    "$runtime" delete -f four
    is_free data || fail "poststop has come and gone, and it is still claimed"
    ok "device: $runtime: poststop ends the claim"

    # The same name, another device.
    bundle_with "$TEST_DIR/stale" data
    ublk-oci device remove data
    [ ! -e "$list" ] || fail "it is still listed"
    expect_fail 'removed, or made again since' "$runtime" run --bundle "$TEST_DIR/stale" stale
    ublk-oci device create data --target memory --size 4M
    expect_fail 'removed, or made again since' "$runtime" run --bundle "$TEST_DIR/stale" stale
    "$runtime" delete -f stale >/dev/null 2>&1 || true
    ok "device: $runtime: an entry of an earlier device of this name is refused"

    bundle_with "$TEST_DIR/five" data
    container_start "$runtime" five "$TEST_DIR/five"
    ublk-oci device remove --force data 2>"$TEST_DIR/lost"
    grep -q 'target memory keeps nothing' "$TEST_DIR/lost" || fail "$(cat "$TEST_DIR/lost")"
    ! "$runtime" exec five test -e /dev/data || fail "the node stays"
    "$runtime" delete -f five
    "$runtime" delete -f two
    expect_nothing_left
    ok "device: $runtime: --force takes it from its container, and nothing is left"
done

# Two of them, and a name is one device.
ublk-oci device create 1st --target memory --size 1M
ublk-oci device create b.2:c --target memory --size 1M
jq -e '.cdiVersion == "0.5.0" and ([.devices[].name] | sort) == ["1st", "b.2:c"]' "$list" \
    >/dev/null || fail "the list: $(cat "$list")"
expect_fail 'another device .*at /dev/1st' ublk-oci device create 1st --target memory --size 2M
ublk-oci device create 1st --target memory --size 1M
[ "$(ublk-oci device list | wc -l)" = 3 ] || fail "$(ublk-oci device list)"
ok "device: a name is one device, and a digit in front needs a later version of the list"

bundle_with "$TEST_DIR/both" 1st b.2:c
container_start crun both "$TEST_DIR/both"
written crun both /dev/1st a && written crun both /dev/b.2:c b
holds crun both /dev/1st a && holds crun both /dev/b.2:c b || fail "not two"
ok "device: one container has two"

# The helper is killed, and what it had written is spoilt: the next one knows, and says it again.
listed() { jq -S '.devices |= sort_by(.name)' "$list"; }
good=$(listed)
kill -KILL "$helper_pid"
wait "$helper_pid" 2>/dev/null || true
echo '{' >"$list"
helper_start --policy "$TEST_DIR/policy.json"
[ "$(listed)" = "$good" ] || fail "the list is another: $(cat "$list")"
[ "$(claimed_by 1st)" = both ] || fail "the claim is gone"
holds crun both /dev/1st a || fail "the container has lost it"
crun exec both sh -c 'echo >/tmp/x'
ok "device: a helper that starts goes on with claims, and writes the list again"

# An entry of no device.
jq '.devices += [.devices[0] | .name = "gone"
    | .containerEdits.hooks[].args[3] = "75626f6300000bad"]' "$list" >"$TEST_DIR/list"
cat "$TEST_DIR/list" >"$list"
ublk-oci repair --dry-run | found '^entry 75626f6300000bad: no record names it: would be removed' ||
    fail "$(ublk-oci repair --dry-run)"
ublk-oci repair | found '^entry 75626f6300000bad: .*: removed' || fail "repair"
[ "$(listed)" = "$good" ] || fail "the list is another: $(cat "$list")"
ok "device: repair finds an entry of no device"

# Another worker comes, and the claim is of the device, not of who serves it.
worker=$(ublk-oci device list --json | jq '.[] | select(.name == "1st") | .worker.pid')
kill -KILL "$worker"
wait_for 20 holds crun both /dev/1st a
ok "device: its worker dies, and the container does not notice"
ublk-oci upgrade --all >/dev/null
holds crun both /dev/1st a || fail "after an upgrade"
[ "$(ublk-oci stats --json | jq length)" = 2 ] || fail "$(ublk-oci stats)"
ok "device: upgrade --all and stats are of devices, not of what containers have of them"
crun delete -f both
wait_for 10 is_free 1st
ublk-oci detach --all
[ "$(ublk-oci device list | wc -l)" = 3 ] || fail "detach --all has removed them"
ublk-oci device remove --all
expect_nothing_left
[ ! -e "$list" ] || fail "the list stays"
ok "device: detach --all leaves them, device remove --all does not"

# Read-only, and the rule shares it: several containers, each until its own end.
dd if=/dev/urandom of=/srv/ublk-oci/image bs=1M count=2 2>/dev/null
wanted=$(sha256sum </srv/ublk-oci/image | cut -d ' ' -f 1)
ublk-oci device create image --target file --backing /srv/ublk-oci/image --access ro
for id in a b; do
    bundle_with "$TEST_DIR/$id" image
    container_start crun $id "$TEST_DIR/$id"
done
[ "$(claimed_by image | sort | paste -sd ,)" = a,b ] || fail "claimed by $(claimed_by image)"
for id in a b; do
    [ "$(crun exec $id sha256sum /dev/image | cut -d ' ' -f 1)" = "$wanted" ] || fail "$id reads"
    ! crun exec $id sh -c 'echo x >/dev/image' 2>/dev/null || fail "$id writes"
done
crun delete -f a
[ "$(claimed_by image)" = b ] || fail "claimed by $(claimed_by image)"
[ "$(crun exec b sha256sum /dev/image | cut -d ' ' -f 1)" = "$wanted" ] || fail "b reads no more"
crun delete -f b
wait_for 10 is_free image
ublk-oci device remove image
ok "device: two containers share what is read-only, and one's end is not the other's"

# Somebody else's.
user ublk-oci device create theirs --target memory --size 1M
user ublk-oci device create given --target null --size 1M
[ "$(user ublk-oci device list | wc -l)" = 3 ] || fail "the user does not see them"
bundle_with "$TEST_DIR/theirs" theirs
expect_fail 'uid 1000 had the device made, and "hook_claims" is not true' \
    crun run --bundle "$TEST_DIR/theirs" theirs
bundle_with "$TEST_DIR/given" given
container_start crun given "$TEST_DIR/given"
[ "$(claimed_by given)" = given ] || fail "not claimed"
crun delete -f given
user ublk-oci device remove theirs given
expect_nothing_left
ok "device: the hook gives a user's device only where its rule says so"

# Everything ends, as by a loss of power: helper, keeper, workers, what is known of them. Then
# they are made again, each as its user, who may open its file.
mkdir /srv/ublk-oci/user
truncate -s 2M /srv/ublk-oci/roots,1.img /srv/ublk-oci/user/disk
chown -R 1000:1000 /srv/ublk-oci/user
ublk-oci device create roots --target file --backing /srv/ublk-oci/roots,1.img --mode 0640 --depth 8
user ublk-oci device create theirs --target file --backing /srv/ublk-oci/user/disk
user ublk-oci device create scratch --target memory --size 1M
ublk-oci device create removed --target memory --size 1M
ublk-oci device remove removed
bundle_with "$TEST_DIR/before" roots
container_start crun before "$TEST_DIR/before"
written crun before /dev/roots kept
kept=/var/lib/ublk-oci/devices
[ "$(find $kept -mindepth 1 -printf '%f %m %u\n' | sort | paste -sd ,)" = \
    'roots.json 600 root,scratch.json 600 root,theirs.json 600 root' ] || fail "$(ls -lA $kept)"
kill -KILL "$helper_pid" "$(cat /sys/fs/cgroup/ublk-oci/keeper/cgroup.procs)"
wait "$helper_pid" 2>/dev/null || true
for cgroup in /sys/fs/cgroup/ublk-oci/workers/*/; do echo 1 >"${cgroup}cgroup.kill"; done
crun delete -f before
rm -f /run/ublk-oci/devices/* /run/ublk-oci/stats/* /run/ublk-oci/*.sock "$list"
helper_start --policy "$TEST_DIR/policy.json"
expect_nothing_left
[ "$(ublk-oci device list | wc -l)" = 1 ] || fail "$(ublk-oci device list)"
chmod 600 /srv/ublk-oci/user/disk
ublk-oci device restore >"$TEST_DIR/restored" 2>&1 || fail "$(cat "$TEST_DIR/restored")"
grep -q '^scratch is ublkb[0-9], and empty: target memory keeps nothing$' "$TEST_DIR/restored" ||
    fail "$(cat "$TEST_DIR/restored")"
ublk-oci device list --json >"$TEST_DIR/list"
jq -e '[.[] | {name, uid: .owner.uid, depth, rule}] | sort_by(.name) == [
    {name: "roots", uid: 0, depth: 8, rule: "roots"},
    {name: "scratch", uid: 1000, depth: 32, rule: "users"},
    {name: "theirs", uid: 1000, depth: 32, rule: "users-files"}]' "$TEST_DIR/list" >/dev/null ||
    fail "$(cat "$TEST_DIR/list")"
bundle_with "$TEST_DIR/after" roots
container_start crun after "$TEST_DIR/after"
[ "$(crun exec after stat -c %a /dev/roots)" = 640 ] || fail "its mode"
holds crun after /dev/roots kept || fail "what was written is gone"
ublk-oci device restore >/dev/null || fail "the second time"
[ "$(ublk-oci device list | wc -l)" = 4 ] || fail "there are more"
ok "device: after the end of everything they come back, as their users', with what was written"

# What has become impossible is said, and is no reason not to make the others.
crun delete -f after
wait_for 10 is_free roots
helper_stop
kill -KILL "$(cat /sys/fs/cgroup/ublk-oci/keeper/cgroup.procs)"
for cgroup in /sys/fs/cgroup/ublk-oci/workers/*/; do echo 1 >"${cgroup}cgroup.kill"; done
rm -f /run/ublk-oci/devices/*
# Of what goes wrong for another reason too, all is there for the next time.
ls $kept >"$TEST_DIR/kept"
helper_start --policy "$TEST_DIR/policy.json" --worker /bin/busybox
expect_fail 'roots: ' ublk-oci device restore
[ "$(ublk-oci device list --json | jq length)" = 0 ] || fail "$(ublk-oci device list)"
ls $kept | cmp - "$TEST_DIR/kept" || fail "forgotten: only $(ls $kept) of $(cat "$TEST_DIR/kept")"
helper_stop
chown root:root /srv/ublk-oci/user/disk
echo nonsense >$kept/aaa.json
helper_start --policy "$TEST_DIR/policy.json"
expect_fail 'theirs: .*you may not open it' ublk-oci device restore
grep -q 'aaa.json: it does not say' <<<"$output" || fail "$output"
[ "$(ublk-oci device list --json | jq -r '.[].name' | sort | paste -sd ,)" = roots,scratch ] ||
    fail "$(ublk-oci device list)"
! user ublk-oci device restore 2>/dev/null || fail "a user restores"
rm $kept/aaa.json $kept/theirs.json
ublk-oci device remove --all
[ -z "$(ls -A $kept)" ] || fail "left in $kept: $(ls -A $kept)"
expect_nothing_left
ok "device: restore says what it cannot make, and makes the others"

grep -q '"request":"claim","verdict":"allowed","rule":"roots"' /var/log/ublk-oci/audit.log ||
    fail "no audit line of a claim"
grep -q '"request":"claim","verdict":"refused".*hook_claims' /var/log/ublk-oci/audit.log ||
    fail "no audit line of a refusal"
ok "device: each claim has its audit line"
