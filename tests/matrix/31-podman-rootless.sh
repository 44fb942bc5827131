#!/bin/bash
# podman of a user, who asks for everything themselves.
# short: 6.12
. "$(dirname "$0")/cells.sh"

matrix_setup podman-rootless
note hook '`hooks_dir` has to be in the user'\''s containers.conf'
note CDI 'of devices the user had made'
note mount 'with `trust_raw_writers` in the rule, as the image is the user'\''s'
note userns 'all of them are in one'
note cgroup 'a user cannot load a device filter, so there is none; the container cannot make a node'
note update 'without systemd a user'\''s container has no cgroup of its own, so podman has no limits to change'
note apart "${notes[cgroup]}"
matrix_all
