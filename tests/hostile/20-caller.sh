#!/bin/bash
# Callers that mean harm, against the installed helper: it answers or hangs up, serves others
# within a second, and is afterwards what it was before.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../containers.sh"
. "$(dirname "$0")/../functional/serve.sh"

helper_start
"$build/tests/hostile/hostile-caller" "$helper_pid" || fail "see above"
kill -0 "$helper_pid" || fail "the helper ended"
expect_nothing_left
ok "caller: nothing is left"
