#!/bin/bash
# A confined back end alone: what it serves, what it is, what it cannot reach, how it ends.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
requires qemu-storage-daemon qemu-img qemu-io nbdkit python3

here=$(cd "$(dirname "$0")" && pwd)
tool=$here/../../build/tests-gcc/tests/functional/backend_tool
[ -x "$tool" ] || fail "it is not built: $tool"
uid=2100000007 cgroup=/sys/fs/cgroup/backend-test sock=$TEST_DIR/nbd.sock
mkdir -p "$TEST_DIR/images"
mount -t tmpfs -o size=256M none "$TEST_DIR/images"
undo umount "$TEST_DIR/images"
undo cd /
cd "$TEST_DIR/images" || exit
chmod 700 .

# start ARG...: sets $pid. What it says is in $TEST_DIR/said.
start() {
    rm -f "$TEST_DIR/said"
    mkfifo "$TEST_DIR/end"
    exec 5<>"$TEST_DIR/end"
    rm "$TEST_DIR/end"
    "$tool" $cgroup "$sock" $uid "$@" <&5 >"$TEST_DIR/said" 2>&1 5>&- &
    tool_pid=$!
    wait_for 20 test -s "$TEST_DIR/said"
    pid=$(sed -n 's/^pid //p' "$TEST_DIR/said")
    [ -n "$pid" ] || fail "it does not start: $(cat "$TEST_DIR/said")"
}
finish() { # sets $said to its last line
    echo >&5
    wait $tool_pid || true
    said=$(tail -n 1 "$TEST_DIR/said")
}
io() { qemu-io -f raw "nbd+unix:///?socket=$sock" "$@" >io.out 2>&1 && ! grep -q -i 'error\|failed' io.out; }

# Written through it: sound, and what was written. The file is root's, and stays it.
qemu-img create -q -f qcow2 a.qcow2 64M
chmod 600 a.qcow2
truncate -s 64M want.raw
start image qcow2 a.qcow2
for io in 'write -P 3 0 64k' 'write -P 4 1M 2M' 'write -z 2M 64k' 'discard 0 64k' 'write -P 7 63M 1M'; do
    commands+=(-c "$io")
done
io "${commands[@]}" -c flush -c 'read -P 4 1M 1M' || fail "io: $(cat io.out)"
qemu-io -f raw "${commands[@]}" want.raw >/dev/null
said=$(tr '\t' ' ' <"/proc/$pid/status")
for line in 'Name: qemu-storage-da' "Uid: $uid $uid $uid $uid" "Gid: $uid $uid $uid $uid" \
    'CapInh: 0000000000000000' 'CapPrm: 0000000000000000' 'CapEff: 0000000000000000' \
    'CapBnd: 0000000000000000' 'CapAmb: 0000000000000000' 'NoNewPrivs: 1' 'Seccomp: 2'; do
    grep -q -x "$line" <<<"$said" || fail "not '$line' but: $said"
done
for name in user pid mnt net ipc uts; do
    [ "$(readlink "/proc/$pid/ns/$name")" != "$(readlink "/proc/self/ns/$name")" ] ||
        fail "it is in our $name namespace"
done
[ "$(cgroup_of "$pid")" = /backend-test ] || fail "its cgroup: $(cgroup_of "$pid")"
[ "$(cd "/proc/$pid/root" && echo * image/* etc/* dev/*)" = \
    'bin dev etc image lib lib64 sbin tmp usr image/0 etc/ld.so.cache dev/null' ] ||
    fail "its root: $(cd "/proc/$pid/root" && echo * image/* etc/* dev/*)"
[ "$(tr '\0' '\n' <"/proc/$pid/environ" | grep -c .)" = 8 ] || fail "its environment is more"
for fd in /proc/"$pid"/fd/*; do
    case $(readlink "$fd") in
    /dev/null | /memfd:words* | socket:* | anon_inode:* | /image/0 | '') ;;
    *) fail "it has $(readlink "$fd")" ;;
    esac
done
finish
[ "$said" = ended ] || fail "it ended so: $(cat "$TEST_DIR/said")"
[ ! -e $cgroup ] || fail "its cgroup is left"
qemu-img check -q a.qcow2 || fail "the image is not sound"
qemu-img compare -q -f qcow2 -F raw a.qcow2 want.raw || fail "the image is not what was written"
[ "$(stat -c '%u:%g %a' a.qcow2)" = '0:0 600' ] || fail "the image is $(stat -c '%u:%g %a' a.qcow2) now"
ok "backend: qcow2 written through it is sound and equal; it has no right and sees one file"

# What was answered survives its death, tables too.
start image qcow2 a.qcow2
io -c 'write -P 9 8M 1M' || fail "io: $(cat io.out)"
kill -KILL "$pid"
wait $tool_pid || true
qemu-img check a.qcow2 >check.out 2>&1 || [ $? = 3 ] || fail "$(cat check.out)"
qemu-io -f qcow2 -r -c 'read -P 9 8M 1M' a.qcow2 >io.out || fail "$(cat io.out)"
grep -q failed io.out && fail "$(cat io.out)"
ok "backend: killed behind an answered write, it has lost nothing"

# A chain that was handed over whole, and one that was not; the base is not written.
qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 top.qcow2
hash=$(sha256sum <a.qcow2)
start image qcow2 top.qcow2 qcow2 a.qcow2
io -c 'read -P 9 8M 1M' -c 'write -P 5 8M 4k' -c 'read -P 5 8M 4k' || fail "io: $(cat io.out)"
finish
[ "$(sha256sum <a.qcow2)" = "$hash" ] || fail "the base was written"
start image qcow2 top.qcow2
io -c 'read 0 4k' && fail "it serves an image without its base"
wait_for 10 grep -q "^died: .*a.qcow2" "$TEST_DIR/said"
wait $tool_pid || true
ok "backend: a chain is served whole or not at all"

# Hostile and broken ones.
grep -q . /etc/shadow || echo 'root:*:1:0:99999:7:::' >>/etc/shadow
for points_at in /etc/shadow json:'{"driver":"file","filename":"/etc/shadow"}' nbd:unix:/run/docker.sock; do
    cp a.qcow2 evil.qcow2
    qemu-img rebase -q -u -F raw -b "$points_at" evil.qcow2
    start image qcow2 evil.qcow2
    io -c 'read 0 4k' && fail "it serves what $points_at names"
    wait_for 10 grep -q '^died: .*' "$TEST_DIR/said"
    wait $tool_pid || true
done
grep -q 'Function not implemented\|No such file' "$TEST_DIR/said" || fail "$(cat "$TEST_DIR/said")"
dd if=/dev/urandom of=evil.qcow2 bs=1k count=1 seek=1 conv=notrunc status=none
dd if=/dev/urandom of=evil.qcow2 bs=8 count=1 seek=3 conv=notrunc status=none
start image qcow2 evil.qcow2
wait_for 10 grep -q '^died: .*' "$TEST_DIR/said"
wait $tool_pid || true
start image vmdk a.qcow2
wait_for 10 grep -q '^died: .*' "$TEST_DIR/said"
wait $tool_pid || true
ok "backend: an image that names other files, and a broken one, are refused by it in words"

for format in raw vmdk vhdx vdi qed vpc; do
    options=()
    [ $format != vpc ] || options=(-o force_size=on)
    qemu-img create -q -f $format "${options[@]}" "f.$format" 32M
    start image $format f.$format
    io -c 'write -P 6 1M 1M' -c 'read -P 6 1M 1M' -c flush || fail "$format: $(cat io.out "$TEST_DIR/said")"
    finish
    [ "$said" = ended ] || fail "$format: $(cat "$TEST_DIR/said")"
    case $format in
    vdi | qed | vmdk | vhdx) qemu-img check -q -f $format f.$format || fail "$format is not sound" ;;
    esac
done
start --read-only image qcow2 a.qcow2
io -c 'write 0 4k' && fail "it writes a read-only image"
finish
mkdir small
expect_fail 'a regular file' "$tool" $cgroup "$sock" $uid image raw /dev/null </dev/null
ok "backend: raw, vmdk, vhdx, vdi, qed and vpc; read-only; no device"

# A program of somebody else's, which tells us what it can do.
mkdir -p /usr/libexec/backend-test
undo rm -r /usr/libexec/backend-test
cp "$here/backend_probe.py" /usr/libexec/backend-test/probe.py
cat >/usr/libexec/backend-test/plugin <<'END'
#!/bin/sh
# nbdkit's sh plug-in: a disk of what the probe says.
case $1 in
get_size) [ -s /tmp/disk ] || { /usr/bin/python3 -I /usr/libexec/backend-test/probe.py >/tmp/said 2>&1
    cat /tmp/said >/tmp/disk; truncate -s 8192 /tmp/disk; }; echo 8192 ;;
pread) tail -c +$(($4 + 1)) /tmp/disk | head -c "$3" ;;
*) exit 2 ;;
esac
END
chmod 755 /usr/libexec/backend-test/plugin
start exec /usr/bin/nbdkit --foreground sh /usr/libexec/backend-test/plugin
: >"/run/backend-secret"
undo rm /run/backend-secret
qemu-img convert -f raw -O raw "nbd+unix:///?socket=$sock" said.raw || fail "$(cat "$TEST_DIR/said")"
tr -d '\0' <said.raw >said
[ "$(tail -n 1 said)" = 'done' ] || fail "the probe: $(cat said)"
grep -q '^REACHED' said && fail "it reached: $(grep ^REACHED said)"
[ "$(grep -c ^refused said)" -ge 20 ] || fail "the probe tried little: $(cat said)"
finish
[ "$said" = ended ] || fail "it ended so: $(cat "$TEST_DIR/said")"
expect_fail 'cannot execute' "$tool" $cgroup "$sock" $uid exec /usr/libexec/backend-test/none </dev/null
ok "backend: a shell script behind nbdkit, which reaches no file, process, network or ring"
