#!/bin/bash
# A caller that sends packets of every size to the installed helper: it answers or hangs up, serves
# others within a second, and is afterwards what it was before.
# short: 6.12
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attacked.sh"

attacked_start
attacked_by sizes
