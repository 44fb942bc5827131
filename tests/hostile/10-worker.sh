#!/bin/bash
# A worker that tries to break out of the real sandbox, once per attempt.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../functional/serve.sh"

hostile_worker=$build/tests/hostile/hostile-worker
failed=0

# Every attempt ends before the device starts, in the way attack.h says.
attempt() { # name, expected end
    local end

    end=$("$build/tests/functional/serve" --worker "$hostile_worker" --target memory --attack "$1" \
        </dev/null 2>serve.err | sed -n 's/^worker: //p')
    if [ "$end" = "$2" ]; then
        echo "ok $1"
    else
        echo "not ok $1: ended with '$end', not '$2'; $(head -n 1 serve.err)"
        failed=$((failed + 1))
    fi
}

"$build/tests/functional/serve" --list-attacks >attacks
[ -s attacks ] || fail "no attacks"
while read -r name end; do
    attempt "$name" "$end" || fail "$name: serve itself failed"
done <attacks
[ $failed = 0 ] || fail "$failed of $(wc -l <attacks) attempts did not end as they must"
