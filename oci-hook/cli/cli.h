/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands have in common: options with their help, errors of one line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "driver/base/err.h"
#include "targets/catalog.h"

#define CLI_NAME "ublk-oci"

enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1, /* or refused */
	CLI_USAGE = 2,
};

/* Codes of cli_next() for the keys of the catalog, see cli_page.keys. */
#define CLI_KEY_CODE 256

struct cli_option {
	const char *name;
	const char *value; /* what stands behind it in help; NULL: takes none */
	int code;	   /* 1..255, of cli_next() */
	const char *help;
};

/* A subcommand's `--help`, and the options it takes. --help itself is understood. */
struct cli_page {
	const char *command;
	const char *synopsis; /* one line per form, without the program's name */
	const char *about;
	const struct cli_option *options;
	size_t nr_options;
	bool keys;	 /* the keys of the catalog are options too */
	bool first_word; /* options end at the first word that is none */
};

/*
 * The next option: its code, with optarg; CLI_KEY_CODE + key for a key of the
 * catalog; 0 when there are no more. -1: leave with *ret_status, everything
 * was said.
 */
int cli_next(const struct cli_page *page, int argc, char **argv, int *ret_status);

/* Commands that one word chooses from; each has pages of its own. */
struct cli_command {
	const char *name;
	int (*main)(int argc, char **argv); /* argv[0] is the name */
	const char *help;
};

struct cli_group {
	const char *command; /* the words before, with a blank behind; "" of the program itself */
	const char *about;
	const char *more; /* where else to read */
	const struct cli_command *rows;
	size_t nr_rows;
};

/* Runs the command argv[1] names, or says what there is; its exit status. */
int cli_group_main(const struct cli_group *group, int argc, char **argv);

/* "ublk-oci: COMMAND: REASON"; CLI_FAILED. */
int cli_fail(const struct cli_page *page, const struct err *e);

/* The same for a wrong use, with a pointer to --help; CLI_USAGE. */
int cli_misuse(const struct cli_page *page, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Flushes stdout: a full disk must not look like success. CLI_DONE or CLI_FAILED. */
int cli_end(const struct cli_page *page);
