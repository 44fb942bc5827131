/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of programs that are started by others, not by people: a table, and a text for who
 * asks. Commands have theirs in oci-hook/cli/cli.h.
 */
#pragma once

#include <getopt.h>

#define OPTIONS_MISUSE 2 /* exit status */

struct options {
	const char *version;	    /* one line: the program and its version */
	const char *usage;	    /* whole lines */
	const struct option *table; /* ends with OPTIONS_LAST */
};

/* The last rows of a table; others have other characters, and not '?'. */
#define OPTIONS_LAST                                                                               \
	{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' },                 \
	{                                                                                          \
		0                                                                                  \
	}

/*
 * The next option: its code, with optarg; 0 when there are no more. -1: leave with *ret_status,
 * everything was said.
 */
int options_next(const struct options *o, int argc, char **argv, int *ret_status);

/* Says how it is used; OPTIONS_MISUSE. */
int options_misuse(const struct options *o);
