/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON text as a tree in which every value knows its line and column.
 *
 * Stricter than json-c's strict mode, which keeps the last of two equal keys
 * silently, takes NaN, clamps numbers that do not fit and knows no positions:
 * a policy must mean what a reader of the file thinks it means. Two parsers
 * that have to agree would be worse than one, so this is the only one; the
 * tests and the fuzzer hold it against json-c.
 *
 * Accepted is RFC 8259 in UTF-8, without: a byte order mark, equal keys in an
 * object, control characters in strings (also escaped ones), more than
 * DOCUMENT_DEPTH_MAX levels, more than DOCUMENT_MEMBERS_MAX keys in an object.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"

#define DOCUMENT_DEPTH_MAX 16
#define DOCUMENT_MEMBERS_MAX 64

enum document_type {
	DOCUMENT_NONE,
	DOCUMENT_OBJECT,
	DOCUMENT_ARRAY,
	DOCUMENT_STRING,
	DOCUMENT_NUMBER,
	DOCUMENT_BOOL,
	DOCUMENT_NULL,
};

struct document_node {
	enum document_type type;
	unsigned int line;   /* of the value; both count from 1 */
	unsigned int column; /* characters, not bytes; a tab is one */
	unsigned int key_line;
	unsigned int key_column;
	unsigned int index; /* which of its parent's values */
	const char *key;    /* NULL when the parent is no object */
	const char *text;   /* string: decoded; number: as it is written */
	bool whole;	    /* number: without sign, fraction, exponent, and it fits 64 bits */
	uint64_t number;    /* valid when whole */
	bool truth;
	struct document_node *parent;
	struct document_node *first; /* value inside, in the order of the text */
	struct document_node *last;
	struct document_node *next;  /* in the same parent */
	struct document_node *older; /* made before this one, for freeing */
};

struct document;

/* -EINVAL: not such a text; e says "line L, column C: ...". */
int document_parse(struct document **ret, const char *text, size_t size, struct err *e);
void document_free(struct document *d);
void document_freep(struct document **d);
#define auto_document __attribute__((cleanup(document_freep)))

const struct document_node *document_root(const struct document *d);

/* The value of a key of an object; NULL when it is not there. */
const struct document_node *document_find(const struct document_node *object, const char *key);

/* What a value is, in words: "an object", "a string". */
const char *document_type_words(enum document_type type);

/* What a value is, as far as it fits into an error: itself, or its type. */
#define DOCUMENT_FOUND_SIZE 80
const char *document_found(const struct document_node *n, char buf[DOCUMENT_FOUND_SIZE]);

/*
 * -EINVAL with "line L, column C: rules[2].max_size: " in front of the reason.
 * The first points at the value, the second at its key.
 */
int document_error(const struct document_node *n, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int document_key_error(const struct document_node *n, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
