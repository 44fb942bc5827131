/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an object of a policy may hold, as a table: one row per key, with how
 * its value is read and where in a struct it goes. Errors say which value, and
 * what is expected in its place.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "policy/document.h"
#include "policy/policy.h"
#include "policy/texts.h"

#define FIELD_NAME_MAX 63
#define FIELD_ID_LAST 4294967294u /* 4294967295 means "no id" to the kernel */

struct field_reader {
	const struct policy_names *names;
	struct err *e;
};

/* read() checks the value and puts it at offset in the struct the object becomes. */
struct field {
	const char *key;
	int (*read)(const struct field_reader *p, const struct document_node *n,
		    const struct field *f, void *into);
	size_t offset;
	bool required;
	uint64_t min; /* of a number or a size */
	uint64_t max;
	const char *words[2];		       /* of a choice: what is false, what is true */
	bool (*ok)(const char *text);	       /* of a text, or of each in a list */
	const char *expected;		       /* what ok() says yes to */
	const char *(*name)(unsigned int bit); /* of a set; NULL at min and everywhere it ends */
};

/* Where the value of a field goes. */
#define FIELD_AT(type, into, field) ((type *)(void *)((char *)(into) + (field)->offset))

/* An object whose keys are exactly those of the table, less the optional ones. */
int field_read_all(const struct field_reader *p, const struct document_node *n,
		   const struct field *fields, size_t nr, void *into);

#define FIELD_READ(what)                                                                           \
	int field_##what(const struct field_reader *p, const struct document_node *n,              \
			 const struct field *f, void *into)

FIELD_READ(constant); /* min, and there is nothing to put anywhere */
FIELD_READ(u32);
FIELD_READ(u64);
FIELD_READ(size); /* u64 */
FIELD_READ(bool);
FIELD_READ(choice); /* bool */
FIELD_READ(true);   /* true is all it may be, and there is nothing to put anywhere */
FIELD_READ(text);   /* char *, to be freed */
FIELD_READ(list);   /* struct texts: 1 to 256 texts, none twice */
FIELD_READ(set);    /* u32, a bit for each name */
FIELD_READ(user);   /* u32, of a name */
FIELD_READ(group);

/* For lists of names: of pools, of filesystems. */
bool field_name_ok(const char *text);
#define FIELD_NAME_EXPECTED                                                                        \
	"expected 1 to 63 characters of A-Z a-z 0-9 . _ + : @ -, the first of them not . or -"

int field_no_memory(const struct field_reader *p);

/* A key that is needed when it may be there, or one that only may. */
int field_needed_if(const struct field_reader *p, const struct document_node *object,
		    const char *key, bool may, const char *when);
int field_only_if(const struct field_reader *p, const struct document_node *object, const char *key,
		  bool may, const char *when);
