#!/bin/bash
# The same of callers that leave, do not read, or say nothing.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attacked.sh"

attacked_start
attacked_by leavers slow crowd user-crowd
