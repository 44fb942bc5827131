#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: run.sh FUZZER FOUND SEEDS...
#
# Every seed once, then inputs made from them, for a moment. What is worth
# keeping goes to the folder FOUND, what crashes too, as crash-*, and crashes
# every later run until it is mended. A longer run:
#   run.sh FUZZER FOUND SEEDS... with FUZZ_SECONDS=3600
set -eu

fuzzer=$1
found=$2
shift 2
for seeds; do
	[ -n "$(ls -A "$seeds")" ] || {
		echo "no seeds in $seeds" >&2
		exit 1
	}
done
mkdir -p "$found"
limits=-runs=20000
[ -z "${FUZZ_SECONDS:-}" ] || limits=-runs=-1
# By default a crash exits with 77, which means "skipped" to meson.
exec "$fuzzer" -error_exitcode=1 \
	"$limits" "-max_total_time=${FUZZ_SECONDS:-20}" -timeout=10 -rss_limit_mb=1024 \
	-print_final_stats=1 "-artifact_prefix=$found/" "$found" "$@"
