#!/bin/bash
# Who asks for more queues than all have gets a thread for each: data, seal, processors, counters,
# and the end. With two processors a device has two queues at most.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
requires fio jq

cat >"$TEST_DIR/policy.json" <<'END'
{ "version": 1, "worker_ids": { "first": 2100000000, "count": 1000 }, "rules": [ {
    "id": "host", "principal": { "uid": 0 }, "host": true, "max_size": "1G", "max_devices": 10,
    "targets": ["null", "memory", "file"], "backing": ["/run/"], "zero_copy": true,
    "max_queues": 16, "max_depth": 256 } ] }
END
helper_start --policy "$TEST_DIR/policy.json"
cpus=$(nproc)
[ "$cpus" -ge 2 ] || fail "there is one processor"

# attached KEY...: sets $dev, $pid, and $is from inspect: "4 threads, zero-copy latency".
attached() {
    dev=$(ublk-oci attach --host --target memory --size 32M "$@" | grep -o '/dev/ublkb[0-9]*' | head -n 1)
    ublk-oci inspect --json "$dev" >inspected
    pid=$(jq .worker.pid inspected)
    is=$(jq -r '"\(.queues) queues, \(.threads) threads, \(.data_path) \(.profile)"' inspected)
}

# Not those the kernel made for its rings: they have no program.
tasks() {
    local task name

    for task in "/proc/$pid/task/"*; do
        { read -r name <"$task/comm"; } 2>/dev/null || continue
        [[ $name = iou-wrk* ]] || echo "$task"
    done | sort -V
}

# What inspect says of each thread, read here too.
sealed() {
    local task field

    ublk-oci inspect --sandbox "$dev" >sandbox 2>&1 || fail "$is: $(tail -n 1 sandbox)"
    [ "$(tasks | wc -l)" = "$1" ] || fail "$is: $(tasks | wc -l) tasks"
    for task in $(tasks); do
        for field in 'Seccomp 2' 'NoNewPrivs 1' 'CapEff 0000000000000000' \
            'CapBnd 0000000000000000'; do
            grep -q "^${field% *}:[[:space:]]*${field#* }$" "$task/status" ||
                fail "$is: ${task##*/} of $pid: $(grep "^${field% *}:" "$task/status")"
        done
    done
}

# Thread n runs where the requests of queue n come from.
placed() {
    local task queue=0 wanted got

    for task in $(tasks); do
        wanted=$(tr -d ' ' <"/sys/block/${dev#/dev/}/mq/$queue/cpu_list")
        got=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "$task/status")
        [ "$got" = "$wanted" ] || fail "$is: thread $queue may run on $got, its queue's are $wanted"
        queue=$((queue + 1))
    done
}

serves() {
    fio --filename="$dev" --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
        --bsrange=4k-1M --size=8M --offset_increment=8M --numjobs="$cpus" --verify=crc32c \
        --verify_fatal=1 --cpus_allowed="0-$((cpus - 1))" --cpus_allowed_policy=split \
        --name=jobs --minimal >fio.out 2>&1 || fail "$is: $(tail -n 3 fio.out)"
}

gone() { [ ! -e "$dev" ] && [ ! -e "/proc/$pid" ]; }

attached
[[ $is = "2 queues, 1 threads, "* ]] || fail "not asked: $is"
sealed 1
ublk-oci detach "$dev" >/dev/null
attached --queues 2
[[ $is = "2 queues, 1 threads, "* ]] || fail "asked for two: $is"
[ "$(jq .threads inspected)" = 1 ] || fail "asked for two: $is"
ublk-oci detach "$dev" >/dev/null
ok "one thread unless more queues are asked for"

for keys in '--data-path copy' '' '--profile throughput' '--data-path copy --profile throughput'; do
    # shellcheck disable=SC2086
    attached --queues 16 $keys
    [[ $is = "$cpus queues, $cpus threads, "* ]] || fail "$keys: $is"
    placed
    sealed "$cpus"
    serves
    # Whoever waits for a disk does so on a thread of the kernel's, which is sealed as well.
    ublk-oci inspect --sandbox "$dev" >sandbox 2>&1 || fail "$is: after I/O: $(tail -n 1 sandbox)"
    ublk-oci stats --json "$dev" | jq -e '.[0].queues | length > 1 and all(.write.ios > 0 and .read.ios > 0)' \
        >/dev/null || fail "$is: $(ublk-oci stats --json "$dev" | jq -c '.[0].queues')"
    ublk-oci detach "$dev" >/dev/null
    gone || fail "$is: it is still there"
    ok "$is: data comes back, each thread is sealed, in its place, and counts"
done

# Its end, however it comes, is the end of all its threads; the next worker has as many.
for victim in first last; do
    attached --queues 16
    threads=$(tasks | wc -l)
    fio --filename="$dev" --direct=1 --ioengine=libaio --iodepth=8 --rw=randread --bs=4k --time_based \
        --runtime=10 --numjobs="$cpus" --name=jobs --minimal >fio.out 2>&1 &
    fio=$!
    wait_for 10 sh -c "ublk-oci stats --json $dev | jq -e '.[0].queues | all(.read.ios > 0)'"
    kill -KILL "$(basename "$(tasks | sed -n "$([ $victim = first ] && echo 1 || echo '$')p")")"
    wait_for 20 sh -c "! test -e /proc/$pid"
    wait "$fio" || fail "fio: $(tail -n 3 fio.out)"
    pid=$(ublk-oci inspect --json "$dev" | jq .worker.pid)
    sealed "$threads"
    ok "$is: killed by its $victim thread it ends, and the next one has as many"
    ublk-oci detach "$dev" >/dev/null
done
expect_nothing_left
