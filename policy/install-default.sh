#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: install-default.sh DEFAULT FOLDER
#
# Installs the default policy, unless there is one: an update must not change
# who may have what.
set -eu

policy=${DESTDIR:-}$2/policy.json
if [ -e "$policy" ] || [ -L "$policy" ]; then
	echo "$policy is there already: kept"
else
	install -D -m 0644 "$1" "$policy"
	echo "Installed $policy"
fi
