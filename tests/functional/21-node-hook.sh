#!/bin/bash
# A device node put into a container that is being created, by a createRuntime
# hook: both runtimes, with and without a user namespace.
# short: 7.3
. "$(dirname "$0")/node.sh"

hooked() { # RUNTIME USERNS
    local runtime=$1 userns=$2 id=hook-$1-$2 what="$1, userns $2, createRuntime" pid cgroup

    cat >"$TEST_DIR/$id.sh" <<END
#!/bin/bash
exec >$TEST_DIR/$id.out 2>&1
[[ \$(cat) =~ \"pid\":\ *([0-9]+) ]]
pid=\${BASH_REMATCH[1]}
$tool insert \$pid $store /dev/ublk/data $data 0 0 600 &&
    $tool allow \$pid $pins $data rw && $tool try \$pid /dev/ublk/data $data && echo fine
END
    chmod 755 "$TEST_DIR/$id.sh"
    bundle "$TEST_DIR/$id" "$userns" ".hooks={createRuntime:[{path:\"$TEST_DIR/$id.sh\"}]}
        | .process.args=[\"sh\",\"-c\",\"dd if=/dev/ublk/data bs=12 count=1 >/tmp/read 2>&1; \"+\$loop]"
    start "$runtime" "$id" "$TEST_DIR/$id"
    same "$what: the hook's calls" "1 fine" "$(tr '\n' ' ' <"$TEST_DIR/$id.out" | sed 's/ $//')"
    wait_for 10 grep -q 'records out' "$TEST_DIR/$id/rootfs/tmp/read"
    check "$what: the container's first process reads it" \
        grep -q 'hello device' "$TEST_DIR/$id/rootfs/tmp/read"
    same "$what: one program" 1 "$(programs | jq length)"
    check "$what: try after pivot_root" "$tool" try "$pid" /dev/ublk/data "$data"
    same "$what: the host's plain directory is untouched" "" "$(ls "$TEST_DIR/$id/rootfs/dev")"
    check "$what: remove" "$tool" remove "$pid" /dev/ublk/data "$data" 1
    check "$what: revoke" "$tool" revoke "$pid" "$pins" "$data"
    same "$what: nothing is pinned" 0 "$(nr_pins)"
    same "$what: no file is left" 0 "$(dev_listing | grep -c ublk || true)"
    same "$what: the store is empty" "" "$(ls "$store")"
}

for runtime in crun runc; do
    hooked $runtime no
    hooked $runtime yes
done
verdict
