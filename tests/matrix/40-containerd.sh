#!/bin/bash
# containerd, by ctr: what the spec says that ctr is given.
# short: 6.12
. "$(dirname "$0")/cells.sh"

matrix_setup containerd
note hook 'by `ctr run --config`, of a spec with annotations and hooks'
note CDI 'the hooks of the list in the spec; `ctr` before 1.7 knows no CDI'
note userns 'by `ctr run --config`'
note update 'by `runc --root /run/containerd/runc/NAMESPACE update`; `ctr` has no such command'
matrix_all
