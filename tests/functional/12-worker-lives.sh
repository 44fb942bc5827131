#!/bin/bash
# Who may die without the others.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/serve.sh"

no_process() { ! kill -0 "$1" 2>/dev/null; }
no_device() { [ ! -e "$1" ]; }

# The parent dies: the device goes on.
serve --target memory --size 64M
kill -KILL "$SERVE_PID"
wait "$SERVE_PID" 2>/dev/null || true
dd if=/dev/urandom of=written bs=1M count=4 status=none
dd if=written of="$DEV" bs=1M oflag=direct status=none
dd if="$DEV" bs=1M count=4 iflag=direct status=none | cmp - written
# Then the worker: the device ends, and nobody is left.
kill -KILL "$WORKER_PID"
wait_for 10 no_device "$DEV"
wait_for 10 no_process "$WORKER_PID"
"$build/tests/functional/serve" --delete "${DEV#/dev/ublkb}"

# The worker dies under load: requests fail, none hangs. The time-out is for
# kernels that notice a worker's end only by it when no tag is idle.
serve --target memory --size 64M
echo 1000 >"/sys/block/${DEV#/dev/}/queue/io_timeout"
fio --name=load --filename="$DEV" --allow_file_create=0 --direct=1 --ioengine=libaio \
    --iodepth=16 --rw=randwrite --bs=16k --size=64M --time_based --runtime=60 >fio.out 2>&1 &
load=$!
sleep 1
kill -KILL "$WORKER_PID"
wait_for 20 no_process $load
wait "$SERVE_PID" && fail "serve did not notice"
grep -q '^worker: signal 9$' serve.out || fail "wrong end: $(cat serve.out)"
