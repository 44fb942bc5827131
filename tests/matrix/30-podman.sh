#!/bin/bash
# podman as root: the installed hook, the list of devices, names.
# short: 7.3
. "$(dirname "$0")/cells.sh"

matrix_setup podman
note hook 'by the installed hooks.d, for containers with the annotation'
note CDI '`--device ublk-oci.io/device=NAME`'
note apart 'with `--uidmap` podman 4.3 sets no device filter; such a container cannot make a node'
matrix_all
