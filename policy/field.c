/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/field.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "policy/policy_shown.h"

#define FIELD_LIST_MAX 256

int field_no_memory(const struct field_reader *p)
{
	return err_sys(p->e, ENOMEM, "cannot read the policy");
}

static int read_type(const struct field_reader *p, const struct document_node *n,
		     enum document_type type)
{
	char found[DOCUMENT_FOUND_SIZE];

	if (n->type == type)
		return 0;
	return document_error(n, p->e, "expected %s, found %s", document_type_words(type),
			      document_found(n, found));
}

/* "a, b": what does not fit is cut off. */
static void words_add(char words[ERR_TEXT_SIZE], const char *word)
{
	size_t used = strlen(words);

	snprintf(words + used, ERR_TEXT_SIZE - used, "%s%s", used ? ", " : "", word);
}

static const struct field *field_find(const struct field *fields, size_t nr, const char *key)
{
	for (size_t i = 0; i < nr; i++) {
		if (!strcmp(fields[i].key, key))
			return &fields[i];
	}
	return NULL;
}

static int unknown_key(const struct field_reader *p, const struct document_node *n,
		       const struct field *fields, size_t nr)
{
	char known[ERR_TEXT_SIZE] = "";

	for (size_t i = 0; i < nr; i++)
		words_add(known, fields[i].key);
	return document_key_error(n, p->e, "unknown key, expected one of %s", known);
}

int field_read_all(const struct field_reader *p, const struct document_node *n,
		   const struct field *fields, size_t nr, void *into)
{
	const struct field *f;
	int r;

	r = read_type(p, n, DOCUMENT_OBJECT);
	if (r < 0)
		return r;
	for (const struct document_node *m = n->first; m; m = m->next) {
		f = field_find(fields, nr, m->key);
		if (!f)
			return unknown_key(p, m, fields, nr);
		r = f->read(p, m, f, into);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < nr; i++) {
		if (fields[i].required && !document_find(n, fields[i].key))
			return document_error(n, p->e, "expected the key \"%s\"", fields[i].key);
	}
	return 0;
}

static int read_number(const struct field_reader *p, const struct document_node *n,
		       const struct field *f, uint64_t *ret)
{
	char found[DOCUMENT_FOUND_SIZE];

	if (n->whole && n->number >= f->min && n->number <= f->max) {
		*ret = n->number;
		return 0;
	}
	if (f->min == f->max)
		return document_error(n, p->e, "expected %" PRIu64 ", found %s", f->min,
				      document_found(n, found));
	return document_error(n, p->e,
			      "expected a whole number from %" PRIu64 " to %" PRIu64 ", found %s",
			      f->min, f->max, document_found(n, found));
}

FIELD_READ(constant)
{
	uint64_t number;

	return read_number(p, n, f, &number);
}

FIELD_READ(u64)
{
	return read_number(p, n, f, FIELD_AT(uint64_t, into, f));
}

FIELD_READ(u32)
{
	uint64_t number = *FIELD_AT(uint32_t, into, f);
	int r;

	r = read_number(p, n, f, &number);
	*FIELD_AT(uint32_t, into, f) = (uint32_t)number;
	return r;
}

FIELD_READ(bool)
{
	*FIELD_AT(bool, into, f) = n->truth;
	return read_type(p, n, DOCUMENT_BOOL);
}

FIELD_READ(size)
{
	char found[DOCUMENT_FOUND_SIZE];
	uint64_t bytes = n->number;
	bool ok = n->whole;

	if (n->type == DOCUMENT_STRING)
		ok = !num_parse_size(n->text, &bytes);
	if (!ok || bytes < f->min || bytes > f->max)
		return document_error(n, p->e,
				      "expected a size such as \"64M\" or \"1G\", or bytes, from "
				      "%" PRIu64 " to %" PRIu64 ", found %s",
				      f->min, f->max, document_found(n, found));
	*FIELD_AT(uint64_t, into, f) = bytes;
	return 0;
}

FIELD_READ(choice)
{
	char found[DOCUMENT_FOUND_SIZE];

	for (size_t i = 0; n->type == DOCUMENT_STRING && i < ARRAY_SIZE(f->words); i++) {
		if (!strcmp(n->text, f->words[i])) {
			*FIELD_AT(bool, into, f) = i;
			return 0;
		}
	}
	return document_error(n, p->e, "expected \"%s\" or \"%s\", found %s", f->words[0],
			      f->words[1], document_found(n, found));
}

FIELD_READ(true)
{
	char found[DOCUMENT_FOUND_SIZE];

	if (n->truth)
		return 0;
	return document_error(n, p->e, "expected true, found %s", document_found(n, found));
}

static int read_text(const struct field_reader *p, const struct document_node *n,
		     const struct field *f)
{
	int r;

	r = read_type(p, n, DOCUMENT_STRING);
	if (r < 0)
		return r;
	return f->ok(n->text) ? 0 : document_error(n, p->e, "%s", f->expected);
}

FIELD_READ(text)
{
	char **text = FIELD_AT(char *, into, f);
	int r;

	r = read_text(p, n, f);
	if (r < 0)
		return r;
	*text = strdup(n->text);
	return *text ? 0 : field_no_memory(p);
}

static int read_once(const struct field_reader *p, const struct document_node *n)
{
	char shown[POLICY_SHOWN_SIZE];

	for (const struct document_node *o = n->parent->first; o != n; o = o->next) {
		if (!strcmp(o->text, n->text))
			return document_error(n, p->e, "\"%s\" is here twice",
					      policy_shown(n->text, shown));
	}
	return 0;
}

/* An array of 1 to FIELD_LIST_MAX values. */
static int read_array(const struct field_reader *p, const struct document_node *n)
{
	int r;

	r = read_type(p, n, DOCUMENT_ARRAY);
	if (r < 0)
		return r;
	if (n->first && n->last->index < FIELD_LIST_MAX)
		return 0;
	return document_error(n, p->e, "expected 1 to %d values, found %u", FIELD_LIST_MAX,
			      n->first ? n->last->index + 1 : 0);
}

FIELD_READ(list)
{
	int r;

	r = read_array(p, n);
	if (r < 0)
		return r;
	for (const struct document_node *m = n->first; m; m = m->next) {
		r = read_text(p, m, f);
		if (!r)
			r = read_once(p, m);
		if (!r && texts_add(FIELD_AT(struct texts, into, f), m->text) < 0)
			r = field_no_memory(p);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_bit(const struct field_reader *p, const struct document_node *n,
		    const struct field *f, uint32_t *bits)
{
	char known[ERR_TEXT_SIZE] = "", found[DOCUMENT_FOUND_SIZE];
	const char *name;

	for (unsigned int bit = (unsigned int)f->min; (name = f->name(bit)); bit++) {
		if (n->type == DOCUMENT_STRING && !strcmp(name, n->text)) {
			*bits |= 1u << bit;
			return 0;
		}
		words_add(known, name);
	}
	return document_error(n, p->e, "expected one of %s, found %s", known,
			      document_found(n, found));
}

FIELD_READ(set)
{
	uint32_t *bits = FIELD_AT(uint32_t, into, f);
	int r;

	r = read_array(p, n);
	*bits = 0;
	for (const struct document_node *m = n->first; m && !r; m = m->next) {
		r = read_bit(p, m, f, bits);
		if (!r)
			r = read_once(p, m);
	}
	return r;
}

static int read_name(const struct field_reader *p, const struct document_node *n, const char *what,
		     int (*find)(const char *name, uint32_t *ret_id), uint32_t *ret)
{
	char shown[POLICY_SHOWN_SIZE];
	int r;

	r = read_type(p, n, DOCUMENT_STRING);
	if (r < 0)
		return r;
	if (!field_name_ok(n->text))
		return document_error(n, p->e, "expected the name of a %s; others by their number",
				      what);
	r = find(n->text, ret);
	if (r == -ENOENT)
		return document_error(n, p->e, "there is no %s \"%s\" on this system", what,
				      policy_shown(n->text, shown));
	if (r < 0)
		return document_error(n, p->e, "cannot look up %s \"%s\": %s", what,
				      policy_shown(n->text, shown), strerror(-r));
	return 0;
}

FIELD_READ(user)
{
	return read_name(p, n, "user", p->names->find_user, FIELD_AT(uint32_t, into, f));
}

FIELD_READ(group)
{
	return read_name(p, n, "group", p->names->find_group, FIELD_AT(uint32_t, into, f));
}

bool field_name_ok(const char *text)
{
	return text_name_ok(text, FIELD_NAME_MAX);
}

int field_needed_if(const struct field_reader *p, const struct document_node *object,
		    const char *key, bool may, const char *when)
{
	if (may && !document_find(object, key))
		return document_error(object, p->e, "expected the key \"%s\", as %s", key, when);
	return field_only_if(p, object, key, may, when);
}

int field_only_if(const struct field_reader *p, const struct document_node *object, const char *key,
		  bool may, const char *when)
{
	const struct document_node *n = document_find(object, key);

	if (!n || may)
		return 0;
	return document_key_error(n, p->e, "expected only where %s", when);
}
