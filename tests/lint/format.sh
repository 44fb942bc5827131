#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: format.sh TOP
#
# Every C file is as clang-format with the tree's .clang-format writes it. To
# repair one: clang-format -i FILE. A missing clang-format is a failure: a
# check that is not made must not look like one that passed.
set -eu

top=$1
command -v clang-format >/dev/null || {
	echo "clang-format is not installed" >&2
	exit 1
}
files=$("$(dirname "$0")/files.sh" "$top" '*.c' '*.h')
[ -n "$files" ]
cd "$top"
# File names of this tree have no spaces.
# shellcheck disable=SC2086
clang-format --dry-run -Werror $files
echo "$(echo "$files" | wc -l) files"
