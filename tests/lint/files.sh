#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: files.sh TOP PATTERN...
#
# The project's own files whose name fits a pattern, one per line, relative to
# TOP: what git tracks or would; from a tarball, or where there is no git, what
# is in its folders. The kernel's header that we carry is not ours to format or
# spell.
set -eu

top=$1
shift
cd "$top"
if [ -e .git ] && command -v git >/dev/null; then
	git -c safe.directory="$PWD" ls-files --cached --others --exclude-standard -- "$@"
else
	for pattern; do
		find driver oci-hook targets policy tests docs README.md -type f -name "$pattern"
	done
fi | grep -v '^driver/worker/uapi/' | sort -u | while read -r file; do
	# Still in the index, gone from the folder.
	[ ! -e "$file" ] || printf '%s\n' "$file"
done
