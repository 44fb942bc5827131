#!/bin/bash
# What doctor says of the audit log, of workers' ids and of limits on I/O, and what to do.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires jq

helper_start

says() { # STATUS, CHECK, PATTERN of what it found, PATTERN of the remedy
    local status=0

    ublk-oci doctor --json >"$TEST_DIR/doctor" || status=$?
    jq -e --arg status "$1" --arg name "$2" --arg finding "$3" --arg remedy "$4" \
        'any(.[]; .name == $name and .status == $status and (.finding | test($finding))
            and (.remedy | test($remedy)))' "$TEST_DIR/doctor" >/dev/null ||
        fail "$2 is not '$1': $(jq -c ".[] | select(.name == \"$2\")" "$TEST_DIR/doctor")"
    if [ "$1" = fail ]; then
        [ $status = 1 ] || fail "$2: exit status $status"
    else
        [ $status = 0 ] || fail "$2: exit status $status: $(ublk-oci doctor | grep ^fail)"
    fi
}

says ok audit '^/var/log/ublk-oci ' '^$'
says ok worker-ids "^$(jq -r '.worker_ids | "\(.first) to \(.first + .count - 1) "' \
    /etc/ublk-oci/policy.json)" '^$'
says ok io-limits '"io"' '^$'
ok "doctor: audit log, workers' ids and limits on I/O are fine as installed"

log=/var/log/ublk-oci
for mode in 0777 0770 0752; do
    chmod $mode $log
    says warn audit 'others than root' 'chmod'
done
chmod 0750 $log
chown 1000 $log
says warn audit 'others than root' 'chown'
chown 0 $log
mount -t tmpfs -o size=4k,mode=750 full $log
undo umount $log
dd if=/dev/zero of=$log/audit.log bs=4k count=2 2>/dev/null || true
says fail audit 'is full: nothing is attached' 'make room'
rm $log/audit.log
says ok audit "^$log " '^$'
mount -o remount,size=1m,nr_inodes=1 $log
says fail audit 'is full: nothing is attached' 'make room'
mount -o remount,ro $log
says fail audit 'cannot be written: nothing is attached' 'remount'
umount $log
undo_list=("${undo_list[@]:0:${#undo_list[@]}-1}")
mv $log "$log.away"
undo mv "$log.away" $log
says warn audit 'No such file' 'systemd-tmpfiles'
: >$log
says fail audit 'is no directory' 'systemd-tmpfiles'
rm $log
ok "doctor: an audit log that takes nothing is found, and what to do about it"

cp /etc/subuid "$TEST_DIR/subuid"
undo cp "$TEST_DIR/subuid" /etc/subuid
jq -r '"somebody:\(.worker_ids.first):1"' /etc/ublk-oci/policy.json >>/etc/subuid
says fail worker-ids '/etc/subuid, line' 'worker_ids'
cp "$TEST_DIR/subuid" /etc/subuid
says ok worker-ids 'nobody else' '^$'
ok "doctor: ids of workers that are somebody's in /etc/subuid are found"

sed 's/\bio\b/iox/' /sys/fs/cgroup/cgroup.controllers >"$TEST_DIR/controllers"
mount --bind "$TEST_DIR/controllers" /sys/fs/cgroup/cgroup.controllers
undo umount /sys/fs/cgroup/cgroup.controllers
says warn io-limits 'no cgroup controller io' 'CONFIG_BLK_DEV_THROTTLING'
ok "doctor: a kernel that limits no I/O is found"
