#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: run.sh FUZZER FOUND SEEDS...
#
# Every seed once, then inputs made from them, for a moment, or for
# $FUZZ_SECONDS. What is worth keeping goes to the folder FOUND, what crashes
# too, as crash-*, and crashes every later run until it is mended. The fuzzer's
# own words are in FOUND.log; the last line printed says what was done:
#
#   fuzz: NAME: N executions, N/s, N edges covered, corpus N
set -eu

fuzzer=$1
found=$2
shift 2
name=$(basename "$fuzzer" | sed 's/^fuzz_//')
for seeds; do
	[ -n "$(ls -A "$seeds")" ] || {
		echo "no seeds in $seeds" >&2
		exit 1
	}
done
mkdir -p "$found"
seconds=${FUZZ_SECONDS:-4}
runs=-1
[ -n "${FUZZ_SECONDS:-}" ] || runs=20000

# In namespaces of its own it sees /proc as the helper does, and can hurt nobody.
apart="unshare --user --map-root-user --pid --fork --kill-child --mount-proc"
$apart true 2>/dev/null || apart=""

# By default a crash exits with 77, which means "skipped" to meson. What ASan keeps to
# see a use after free is memory that the machine has other uses for.
status=0
begin_ms=$(date +%s%3N)
# shellcheck disable=SC2086 # a command and its options
ASAN_OPTIONS=quarantine_size_mb=64${ASAN_OPTIONS:+:$ASAN_OPTIONS} \
	timeout -k 5 $((seconds + 120)) $apart \
	"$fuzzer" -error_exitcode=1 "-runs=$runs" "-max_total_time=$seconds" -timeout=10 \
	-rss_limit_mb=1024 -print_final_stats=1 "-artifact_prefix=$found/" "$found" "$@" \
	>"$found.log" 2>&1 || status=$?
if [ "$status" != 0 ]; then
	echo "fuzz: $name: failed with exit status $status" >&2
	tail -n 60 "$found.log" >&2
	exit 1
fi
# "#N DONE cov: N ft: N corp: N/NKb ...", "stat::NAME: N"
awk -v name="$name" -v ms=$(($(date +%s%3N) - begin_ms + 1)) '
	/ cov: / { for (i = 1; i < NF; i++) {
		if ($i == "cov:") edges = $(i + 1)
		if ($i == "corp:") corpus = $(i + 1) } }
	$1 == "stat::number_of_executed_units:" { executions = $2 }
	END {
		sub("/.*", "", corpus)
		if (!executions || !edges)
			exit 1
		printf "fuzz: %s: %d executions, %d/s, %d edges covered, corpus %d\n",
			name, executions, executions * 1000 / ms, edges, corpus
	}' "$found.log"
