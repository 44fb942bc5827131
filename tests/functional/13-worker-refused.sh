#!/bin/bash
# Births that fail say at which step, and leave nothing behind.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/serve.sh"

serve_program=$build/tests/functional/serve

refused() { # pattern, arguments of serve
    local pattern=$1

    shift
    expect_fail "$pattern" "$serve_program" "$@" </dev/null
    ! grep -q -x ublk-oci-worker /proc/[0-9]*/comm 2>/dev/null || fail "a worker is left"
    [ -z "$(find /dev -name 'ublk[bc]*')" ] || fail "a device is left"
}

# A program that needs the dynamic linker: the worker's root is empty.
refused 'cannot execute the worker program: No such file' --worker /bin/sleep --target null --size 64M
printf 'no program\n' >text
chmod 755 text
refused 'cannot execute the worker program: Exec format' --worker "$PWD/text" --target null --size 64M
cp "$worker_program" private
chmod 700 private
refused 'cannot execute the worker program: Permission denied' \
    --worker "$PWD/private" --target null --size 64M

# The worker's own words.
truncate -s 16M small
refused 'the worker gave up: target file: the backing file is shorter than the device' \
    --worker "$worker_program" --target file --backing small --size 32M
refused 'the worker gave up: .*512 tags' \
    --worker "$worker_program" --target null --size 64M --depth 512

# The kernel's: fewer bytes per request than a page, no such block size.
refused 'SET_PARAMS of ublk device' --worker "$worker_program" --target null --size 64M --block 256

# START_DEV before anybody fetches ends at its deadline; the device can still be started.
serve --target memory --size 64M --early
dd if="$DEV" of=/dev/null bs=1M iflag=direct status=none
serve_end
