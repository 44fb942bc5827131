#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: spell.sh TOP
#
# No common misspellings in documents, C, scripts and build files. A word that
# is right and taken for wrong goes into the list below, with its reason.
set -eu

top=$1
command -v codespell >/dev/null || {
	echo "codespell is not installed" >&2
	exit 1
}
# The fixed inputs of tests are what they are.
files=$("$(dirname "$0")/files.sh" "$top" '*.c' '*.h' '*.md' '*.scd' '*.json' '*.py' '*.sh' \
	'*.build' | grep -v -e '^tests/unit/policy/' -e '^tests/fuzz/corpus/')
[ -n "$files" ]
cd "$top"
# fo, ro: short names of variables and options; inflight: a file of sysfs; devcie: a key a test
# gets wrong on purpose; te: a field of HTTP
# shellcheck disable=SC2086
codespell --ignore-words-list=fo,ro,inflight,devcie,te $files
echo "$(echo "$files" | wc -l) files"
