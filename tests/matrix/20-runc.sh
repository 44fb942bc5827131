#!/bin/bash
# runc by itself: what its config.json says, and what the command line does.
# short: 6.12
. "$(dirname "$0")/cells.sh"

matrix_setup runc
note CDI 'the hooks of the list in config.json; a runtime does not read the list itself'
note update 'runc leaves the device list alone'
matrix_all
