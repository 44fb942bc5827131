#!/bin/bash
# crun by itself: what its config.json says, and what the command line does.
# short: 7.3
. "$(dirname "$0")/cells.sh"

matrix_setup crun
note CDI 'the hooks of the list in config.json; a runtime does not read the list itself'
matrix_all
