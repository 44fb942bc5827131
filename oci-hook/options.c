/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/options.h"

#include <stdio.h>
#include <stdlib.h>

int options_misuse(const struct options *o)
{
	fputs(o->usage, stderr);
	return OPTIONS_MISUSE;
}

int options_next(const struct options *o, int argc, char **argv, int *ret_status)
{
	int c = getopt_long(argc, argv, "h", o->table, NULL);

	switch (c) {
	case -1:
		return 0;
	case 'h':
		fputs(o->usage, stdout);
		*ret_status = EXIT_SUCCESS;
		return -1;
	case 'v':
		*ret_status = printf("%s\n", o->version) < 0;
		return -1;
	case '?':
		*ret_status = options_misuse(o);
		return -1;
	}
	return c;
}
