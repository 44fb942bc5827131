#!/bin/bash
# Which file is meant: the helper finds it by itself, in its own mount namespace, at a path a
# rule allows, or there is no device. The caller is a user; the devices are the host's.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/caller.sh"
requires python3 setpriv unshare chroot

server=$(cd "$(dirname "$0")/../.." && pwd)/build/tests-gcc/tests/functional/fuse_silent
[ -x "$server" ] || fail "it is not built: $server"

srv=/srv/ublk-oci
mkdir -p $srv
mountpoint -q $srv || mount -t tmpfs srv $srv
undo umount -l $srv # mount namespaces that are just ending have it too
# What is mounted in it below does not appear at other mounts of it, to be unmounted there.
mount --make-private $srv
mkdir -p $srv/mine/dir $srv/elsewhere $srv/user $srv/images

# image UID PATH: a file of theirs.
image() {
    truncate -s 1M "$2"
    chown "$1:$1" "$2"
}

for path in mine/image mine/dir/image mine/third elsewhere/image user/image; do
    image 1000 $srv/$path
done
chown -R 1000:1000 $srv/mine $srv/elsewhere $srv/user

cat >"$TEST_DIR/policy.json" <<END
{
    "version": 1,
    "worker_ids": { "first": 2100000000, "count": 100 },
    "rules": [
        { "id": "my-files", "principal": { "uid": 1000 }, "host": true, "targets": ["file"],
          "backing": ["$srv/mine/"], "max_size": "1M", "max_devices": 8 },
        { "id": "images", "principal": { "uid": 1000 }, "host": true, "targets": ["file"],
          "backing": ["$srv/images/"], "backing_owner": "any", "access": "ro",
          "max_size": "1M", "max_devices": 8 }
    ]
}
END
helper_start --policy "$TEST_DIR/policy.json"
caller_start user as 1000

outside='rule "my-files": backing .* is not in its list'
moved='renamed or removed, or has no path on the host'
unknown_mount='on a mount the helper does not have'

# mine PATH: opened by that path it makes a device.
mine() {
    can user open file rw "$1"
    gets user fd=file
}

# not_mine PATTERN PATH: opened by that path it makes none.
not_mine() {
    can user open file rw "$2"
    cannot user "$1" attach fd=file
}

# --- names ---------------------------------------------------------------------

mine $srv/mine/image
mine $srv/mine/dir/../image
mine $srv/elsewhere/../mine/dir/./image
not_mine "$outside" $srv/elsewhere/image
not_mine "$outside" $srv/mine/../elsewhere/image
ok "paths: '..' leads nowhere: what counts is where the file is"

ln -s ../elsewhere/image $srv/mine/out
ln -s ../elsewhere $srv/mine/out-dir
ln -s ../mine/image $srv/elsewhere/in
not_mine "backing $srv/elsewhere/image is not in its list" $srv/mine/out
not_mine "$outside" $srv/mine/out-dir/image
mine $srv/elsewhere/in
ok "paths: neither do symbolic links"

# A directory vouches for what is in it, whatever other names that has.
ln $srv/elsewhere/image $srv/mine/hard
mine $srv/mine/hard
not_mine "$outside" $srv/elsewhere/image
ln $srv/mine/third $srv/elsewhere/third
not_mine "$outside" $srv/elsewhere/third
ok "paths: of a hard link's names the one that was opened counts"

# --- changes after it was opened -------------------------------------------------

can user open file rw $srv/mine/third
mv $srv/mine/third $srv/mine/dir/fourth
gets user fd=file
mv $srv/mine/dir $srv/mine/dir2
gets user fd=file
mv $srv/mine/dir2/fourth $srv/elsewhere/fourth
cannot user "$outside" attach fd=file
mv $srv/elsewhere/fourth $srv/mine/third
gets user fd=file
ok "paths: after a rename the new name counts"

rm $srv/mine/third
cannot user "$moved" attach fd=file
ok "paths: refused: a file that was removed"
image 1000 $srv/mine/third
cannot user "$moved" attach fd=file
image 1000 "$srv/mine/third (deleted)"
cannot user "$moved" attach fd=file
can user open file rw $srv/mine/third
image 1000 $srv/mine/new
mv $srv/mine/new $srv/mine/third
cannot user "$moved" attach fd=file
ok "paths: refused: one that was replaced, and one the kernel's word for that was made the name of"

# A directory on the way that is a link now: the file is where it says, through the link.
mkdir $srv/mine/swap
image 1000 $srv/mine/swap/image
can user open file rw $srv/mine/swap/image
mv $srv/mine/swap $srv/elsewhere/swap
ln -s ../elsewhere/swap $srv/mine/swap
cannot user "$outside" attach fd=file
(
    # 7.3 and 6.12 have renameat2(RENAME_EXCHANGE), coreutils 9.1 has not; so there is a gap.
    while :; do
        rm -f $srv/mine/swap && mv -T $srv/elsewhere/swap $srv/mine/swap
        mv -T $srv/mine/swap $srv/elsewhere/swap && ln -s ../elsewhere/swap $srv/mine/swap
    done 2>/dev/null
) &
swapper=$!
undo box_end $swapper
for ((i = 0; i < 40; i++)); do
    say user attach fd=file
    if [ "$status" = 0 ]; then
        can user detach "$answer"
    elif ! [[ $answer =~ $outside|$moved ]]; then
        fail "while its directory moves: $status $answer"
    fi
done
box_end $swapper
wait_for 10 nothing_left
ok "paths: a directory that is swapped for a link all the time confuses nobody"

# --- mounts ----------------------------------------------------------------------

# One of the host's: root put that directory there, so below it counts as what it is.
mkdir $srv/mine/bound $srv/mounted
mount --bind $srv/elsewhere $srv/mine/bound
undo umount $srv/mine/bound
mine $srv/mine/bound/image
not_mine "$outside" $srv/elsewhere/image
mount --bind $srv/mine $srv/mounted
undo umount $srv/mounted
not_mine "$outside" $srv/mounted/image
ok "paths: below a bind mount of the host its own path counts"

# Opened below a mount that another covers by now.
can user open file rw $srv/mine/image
mount -t tmpfs -o mode=777 cover $srv/mine
image 1000 $srv/mine/image
cannot user "$moved" attach fd=file
umount $srv/mine
gets user fd=file
ok "paths: refused: a file that another mount covers"

# Mounts of the caller's own: the path says what a rule allows, the file is another.
cat >"$TEST_DIR/forge" <<END
#!/bin/bash
set -e
mount --bind $srv/elsewhere/image $srv/mine/image
mount --bind $srv/elsewhere $srv/mine/bound
mount -t tmpfs private $srv/user
truncate -s 1M $srv/user/image
mkdir -p $srv/user/root$srv/mine
truncate -s 1M $srv/user/root$srv/mine/image
cp "$TEST_DIR/fuse_silent" $srv/user/
mkdir $srv/user/fuse
$srv/user/fuse_silent -f -s $srv/user/fuse &
echo \$! >"$TEST_DIR/fuse.pid"
exec "\$@"
END
chmod 755 "$TEST_DIR/forge"
cp "$server" "$TEST_DIR/"
: >"$TEST_DIR/fuse.pid"
chmod 666 "$TEST_DIR/fuse.pid"
caller_start forger as 1000 unshare -U -r -m "$TEST_DIR/forge"
for path in mine/image mine/bound/image user/image user/root$srv/mine/image; do
    can forger open file rw "$srv/$path"
    cannot forger "$unknown_mount" attach fd=file
done
ok "paths: refused: forged by mounts of the caller's own, and files only the caller has"

# What was not mounted over is in a copy of the host's mounts: not the host's either.
can forger open file rw $srv/mine/dir2/image
cannot forger "$unknown_mount" attach fd=file
ok "paths: refused: a file the host has, opened in another mount namespace"

# A filesystem the caller serves: nobody asks it, so nobody waits.
fuse=$(<"$TEST_DIR/fuse.pid")
undo box_end "$fuse"
wait_for 10 is_now "$fuse" fuse_silent
can forger open file rw $srv/user/fuse/image
kill -STOP "$fuse"
begin=${EPOCHREALTIME/./}
say forger attach fd=file
took=$((${EPOCHREALTIME/./} - begin))
kill -CONT "$fuse"
[[ "$status $answer" =~ ^-.*$unknown_mount ]] || fail "FUSE: $status $answer"
[ $took -lt 5000000 ] || fail "it was waited for: $took us"
can forger close file
ok "paths: refused: a FUSE file of the caller's own, without asking its server"

# In a chroot a file has the path the helper sees, not the one its caller sees.
mkdir -p $srv/elsewhere/root/{usr,etc,dev,run}$srv/mine $srv/elsewhere/root$srv/mine
image 1000 $srv/elsewhere/root$srv/mine/image
can user open file rw $srv/elsewhere/root$srv/mine/image
cannot user "$outside" attach fd=file
for dir in usr etc dev run; do
    rm -r $srv/elsewhere/root/${dir:?}/srv
    mount --rbind /$dir $srv/elsewhere/root/$dir
    mount --make-rslave $srv/elsewhere/root/$dir
    undo umount -l $srv/elsewhere/root/$dir
done
for dir in bin lib lib64; do
    [ ! -L /$dir ] || cp -P /$dir $srv/elsewhere/root/
done
caller_start jailed chroot $srv/elsewhere/root setpriv --reuid 1000 --regid 1000 --groups "$group_id"
can jailed open file rw $srv/mine/image
cannot jailed "$outside" attach fd=file
ok "paths: in a chroot a path is what the helper calls it"

# --- the rights of the descriptor --------------------------------------------------

for mode in ro wo path; do
    can user open file $mode $srv/mine/image
    cannot user 'not opened for reading and writing' attach fd=file
done
for mode in wo path; do
    can user open file $mode $srv/mine/image
    cannot user 'not opened for reading' attach fd=file ro
done
can user open file ro $srv/mine/image
gets user fd=file ro
ok "paths: a descriptor gives what it was opened for, and no more"

# --- whose it is -------------------------------------------------------------------

image 1001 $srv/mine/theirs
chmod 666 $srv/mine/theirs
not_mine 'rule "my-files": .* belongs to uid 1001, not to uid 1000' $srv/mine/theirs
ok "paths: refused: another user's file, though everybody may write it"

# root's, which they may read: read-only is what they get, whoever opens it again.
image 0 $srv/images/base
chmod 644 $srv/images/base
can user open file ro $srv/images/base
cannot user 'not opened for reading and writing' attach fd=file
gets user fd=file ro
say user open file rw $srv/images/base
[ "$status" != 0 ] || fail "root's file opens for writing"
chmod 666 $srv/images/base
not_mine "$outside" $srv/images/base
ok "paths: root's file is given as the rule says, read-only"
expect_nothing_left
