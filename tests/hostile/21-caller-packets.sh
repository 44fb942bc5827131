#!/bin/bash
# The same of callers that send words and descriptors that mean harm.
# short: 7.3
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attacked.sh"

attacked_start
attacked_by long heads random mutated kinds counts
