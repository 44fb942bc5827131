#!/bin/bash
# A device node and its device filter in a running container: both runtimes,
# with and without a user namespace.
# short: 7.3
. "$(dirname "$0")/node.sh"

check "mounting the store twice" "$tool" store "$store"
same "one tmpfs is mounted" 1 "$(grep -c " $store .* - tmpfs ublk-oci " /proc/self/mountinfo)"
same "the store's mode" 700 "$(stat -c %a "$store")"
check "making the directory of the pins twice" "$tool" filter "$pins"

running() { # RUNTIME USERNS
    local runtime=$1 userns=$2 id=run-$1-$2 what="$1, userns $2" pid cgroup made
    local before_programs before_dev ours

    bundle "$TEST_DIR/$id" "$userns" .
    start "$runtime" "$id" "$TEST_DIR/$id"
    before_programs=$(programs)
    before_dev=$(dev_listing)

    made=$("$tool" insert "$pid" "$store" /dev/ublk/data "$data" 0 1001 640)
    same "$what: one directory was made" 1 "$made"
    refused "$what: the filter refuses before it is told" 'EACCES: the device filter' \
        "$tool" try "$pid" /dev/ublk/data "$data"
    check "$what: allow" "$tool" allow "$pid" "$pins" "$data" rw
    check "$what: it opens from inside" "$tool" try "$pid" /dev/ublk/data "$data"
    ours=$(programs)
    check "$what: allow twice" "$tool" allow "$pid" "$pins" "$data" rw
    same "$what: allowing twice changes no program" "$ours" "$(programs)"
    same "$what: one program is attached" 1 "$(jq length <<<"$ours")"
    "$tool" insert "$pid" "$store" /dev/other "$other" 0 0 600 >/dev/null
    refused "$what: an unlisted device stays closed" 'EACCES' "$tool" try "$pid" /dev/other "$other"
    same "$what: seen by the container itself" "yes yes no yes 0 1001 640" \
        "$(inside "$report" | tr '\n' ' ' | sed 's/ $//')"
    refused "$what: a taken path is refused" 'EEXIST: /dev/ublk/data exists' \
        "$tool" insert "$pid" "$store" /dev/ublk/data 259:1048000 0 0 600

    check "$what: allow for reading" "$tool" allow "$pid" "$pins" "$data" ro
    check "$what: a second device" "$tool" allow "$pid" "$pins" "$other" rw
    same "$what: writing is refused, the second opens" "yes no yes yes" "$(inside "$report" | head -n 1)"

    check "$what: revoke" "$tool" revoke "$pid" "$pins" "$data"
    same "$what: revoked at once, the second stays" "no no yes yes" "$(inside "$report" | head -n 1)"
    check "$what: remove" "$tool" remove "$pid" /dev/ublk/data "$data" "$made"
    check "$what: remove the second" "$tool" remove "$pid" /dev/other "$other" 0
    check "$what: revoke the second" "$tool" revoke "$pid" "$pins" "$other"
    gone "$what"
    check "$what: remove twice" "$tool" remove "$pid" /dev/ublk/data "$data" "$made"
    check "$what: revoke twice" "$tool" revoke "$pid" "$pins" "$data"
    same "$what: /dev/zero still works" "no no no yes" "$(inside "$report" | head -n 1)"
}

for runtime in crun runc; do
    running $runtime no
    running $runtime yes
done
verdict
