/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/document.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "policy/policy_shown.h"

#define DOCUMENT_PATH_SIZE 128

struct document {
	struct document_node *root;
	struct document_node *newest;
	char *strings; /* keys and texts, each with its end; as large as they can get */
	size_t strings_size;
};

struct reader {
	struct document *d;
	const char *p;
	const char *end;
	unsigned int line;
	unsigned int column;
	unsigned int depth;
	struct document_node *in;	/* the object or array that is being read, or NULL */
	const struct document_node *at; /* the value errors are about: in, or one inside it */
	struct err *e;
};

static int read_value(struct reader *r, struct document_node *n);

/* "rules[2].principal.user"; the whole document is "". What does not fit loses its beginning. */
static const char *document_path(const struct document_node *n, char buf[DOCUMENT_PATH_SIZE])
{
	char piece[POLICY_SHOWN_SIZE + 16], shown[POLICY_SHOWN_SIZE];
	char *p = buf + DOCUMENT_PATH_SIZE - 1;
	size_t len;

	*p = '\0';
	for (; n && n->parent; n = n->parent) {
		if (n->key)
			snprintf(piece, sizeof(piece), "%s%s", n->parent->parent ? "." : "",
				 policy_shown(n->key, shown));
		else
			snprintf(piece, sizeof(piece), "[%u]", n->index);
		len = strlen(piece);
		if (len > (size_t)(p - buf))
			break;
		p -= len;
		memcpy(p, piece, len);
	}
	return p;
}

static int document_error_at(const struct document_node *n, unsigned int line, unsigned int column,
			     struct err *e, const char *fmt, va_list ap)
{
	char path[DOCUMENT_PATH_SIZE], words[ERR_TEXT_SIZE];
	const char *p = document_path(n, path);

	vsnprintf(words, sizeof(words), fmt, ap);
	return err_set(e, EINVAL, "line %u, column %u: %s%s%s", line, column, p, *p ? ": " : "",
		       words);
}

int document_error(const struct document_node *n, struct err *e, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = document_error_at(n, n->line, n->column, e, fmt, ap);
	va_end(ap);
	return r;
}

int document_key_error(const struct document_node *n, struct err *e, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = document_error_at(n, n->key_line, n->key_column, e, fmt, ap);
	va_end(ap);
	return r;
}

/* An error where the reader stands. */
static int __attribute__((format(printf, 2, 3))) read_error(struct reader *r, const char *fmt, ...)
{
	va_list ap;
	int code;

	va_start(ap, fmt);
	code = document_error_at(r->at, r->line, r->column, r->e, fmt, ap);
	va_end(ap);
	return code;
}

static int reader_peek(const struct reader *r)
{
	return r->p < r->end ? (unsigned char)*r->p : EOF;
}

static void reader_step(struct reader *r)
{
	unsigned char c = (unsigned char)*r->p++;

	if (c == '\n') {
		r->line++;
		r->column = 1;
	} else if ((c & 0xc0) != 0x80) {
		r->column++;
	}
}

static int read_space(struct reader *r)
{
	while (r->p < r->end && strchr(" \t\r\n", *r->p) && *r->p)
		reader_step(r);
	if (reader_peek(r) == '/' || reader_peek(r) == '#')
		return read_error(r, "JSON has no comments");
	return 0;
}

static void strings_put(struct document *d, char c)
{
	d->strings[d->strings_size++] = c;
}

static void strings_put_utf8(struct document *d, uint32_t c)
{
	if (c < 0x80) {
		strings_put(d, (char)c);
		return;
	}
	if (c < 0x800) {
		strings_put(d, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			strings_put(d, (char)(0xe0 | c >> 12));
		} else {
			strings_put(d, (char)(0xf0 | c >> 18));
			strings_put(d, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		strings_put(d, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	strings_put(d, (char)(0x80 | (c & 0x3f)));
}

static int hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_hex4(struct reader *r, uint32_t *ret)
{
	uint32_t n = 0;

	for (int i = 0; i < 4; i++) {
		int v = hex_value(reader_peek(r));

		if (v < 0)
			return read_error(r, "expected four hexadecimal digits after \\u");
		n = n << 4 | (uint32_t)v;
		reader_step(r);
	}
	*ret = n;
	return 0;
}

/* Behind "\u": one character, which may be written as a pair of surrogates. */
static int read_escaped_unicode(struct reader *r, uint32_t *ret)
{
	uint32_t high = 0, low = 0;
	int code;

	code = read_hex4(r, &high);
	if (code < 0)
		return code;
	*ret = high;
	if (high < 0xd800 || high > 0xdfff)
		return 0;
	if (high > 0xdbff || r->end - r->p < 2 || r->p[0] != '\\' || r->p[1] != 'u')
		return read_error(r, "expected a pair of surrogates");
	reader_step(r);
	reader_step(r);
	code = read_hex4(r, &low);
	if (code < 0)
		return code;
	if (low < 0xdc00 || low > 0xdfff)
		return read_error(r, "expected a pair of surrogates");
	*ret = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
	return 0;
}

static int read_escape(struct reader *r)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *at;
	uint32_t c;
	int code;

	reader_step(r);
	if (reader_peek(r) == 'u') {
		reader_step(r);
		code = read_escaped_unicode(r, &c);
		if (code < 0)
			return code;
	} else {
		at = reader_peek(r) > 0 ? strchr(names, reader_peek(r)) : NULL;
		if (!at)
			return read_error(r, "expected one of \" \\ / b f n r t u after \\");
		c = (unsigned char)values[at - names];
		reader_step(r);
	}
	if (c < 0x20 || c == 0x7f)
		return read_error(r, "a string may not hold control characters");
	strings_put_utf8(r->d, c);
	return 0;
}

/* Bytes of the well-formed UTF-8 sequence at p, or 0. */
static size_t utf8_size(const char *text, const char *end)
{
	static const struct {
		unsigned char mask, lead, second_min, second_max, size;
	} forms[] = {
		{ 0x80, 0x00, 0x00, 0x00, 1 }, { 0xff, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xff, 0xed, 0x80, 0x9f, 3 }, { 0xf0, 0xe0, 0x80, 0xbf, 3 },
		{ 0xff, 0xf0, 0x90, 0xbf, 4 }, { 0xff, 0xf4, 0x80, 0x8f, 4 },
		{ 0xfc, 0xf0, 0x80, 0xbf, 4 }, { 0xe0, 0xc0, 0x80, 0xbf, 2 },
	};
	const unsigned char *p = (const unsigned char *)text;

	if (*p == 0xc0 || *p == 0xc1)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if ((*p & forms[i].mask) != forms[i].lead)
			continue;
		if (end - text < forms[i].size)
			return 0;
		if (forms[i].size > 1 && (p[1] < forms[i].second_min || p[1] > forms[i].second_max))
			return 0;
		for (size_t k = 2; k < forms[i].size; k++) {
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		}
		return forms[i].size;
	}
	return 0;
}

/* From the '"' it begins with to behind the one it ends with. */
static int read_string(struct reader *r, const char **ret)
{
	const char *start = r->d->strings + r->d->strings_size;
	size_t size;
	int c, code;

	reader_step(r);
	while ((c = reader_peek(r)) != '"') {
		if (c == EOF)
			return read_error(r, "expected the end of a string");
		if (c < 0x20 || c == 0x7f)
			return read_error(r, "a string may not hold control characters");
		if (c == '\\') {
			code = read_escape(r);
			if (code < 0)
				return code;
			continue;
		}
		size = utf8_size(r->p, r->end);
		if (!size)
			return read_error(r, "expected UTF-8");
		for (; size; size--) {
			strings_put(r->d, *r->p);
			reader_step(r);
		}
	}
	reader_step(r);
	strings_put(r->d, '\0');
	*ret = start;
	return 0;
}

static bool reader_digit(const struct reader *r)
{
	return reader_peek(r) >= '0' && reader_peek(r) <= '9';
}

static int read_digits(struct reader *r)
{
	if (!reader_digit(r))
		return read_error(r, "expected a digit");
	while (reader_digit(r))
		reader_step(r);
	return 0;
}

static int read_number(struct reader *r, struct document_node *n)
{
	const char *start = r->p;
	int code;

	if (reader_peek(r) == '-')
		reader_step(r);
	if (reader_peek(r) == '0' && r->end - r->p > 1 && r->p[1] >= '0' && r->p[1] <= '9')
		return read_error(r, "a number may not begin with 0");
	code = read_digits(r);
	if (!code && reader_peek(r) == '.') {
		reader_step(r);
		code = read_digits(r);
	}
	if (!code && (reader_peek(r) == 'e' || reader_peek(r) == 'E')) {
		reader_step(r);
		if (reader_peek(r) == '+' || reader_peek(r) == '-')
			reader_step(r);
		code = read_digits(r);
	}
	if (code < 0)
		return code;
	n->type = DOCUMENT_NUMBER;
	n->text = r->d->strings + r->d->strings_size;
	for (; start < r->p; start++)
		strings_put(r->d, *start);
	strings_put(r->d, '\0');
	n->whole = !num_parse_u64(n->text, UINT64_MAX, &n->number);
	return 0;
}

static int read_word(struct reader *r, struct document_node *n)
{
	static const struct {
		const char *word;
		enum document_type type;
		bool truth;
	} words[] = {
		{ "true", DOCUMENT_BOOL, true },
		{ "false", DOCUMENT_BOOL, false },
		{ "null", DOCUMENT_NULL, false },
	};
	size_t size;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size = strlen(words[i].word);
		if ((size_t)(r->end - r->p) < size || memcmp(r->p, words[i].word, size))
			continue;
		for (; size; size--)
			reader_step(r);
		n->type = words[i].type;
		n->truth = words[i].truth;
		return 0;
	}
	return read_error(r, "expected a value");
}

/* A new last value of the object or array that is being read; NULL when there is no memory. */
static struct document_node *node_new(struct reader *r)
{
	struct document_node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->older = r->d->newest;
	r->d->newest = n;
	n->line = r->line;
	n->column = r->column;
	n->parent = r->in;
	if (r->in) {
		n->index = r->in->last ? r->in->last->index + 1 : 0;
		if (r->in->last)
			r->in->last->next = n;
		else
			r->in->first = n;
		r->in->last = n;
	}
	return n;
}

/* The key of n and what stands up to its value. */
static int read_key(struct reader *r, struct document_node *n)
{
	const struct document_node *same;
	const char *key;
	int code;

	n->key_line = r->line;
	n->key_column = r->column;
	code = read_string(r, &key);
	if (code < 0)
		return code;
	same = document_find(r->in, key);
	n->key = key;
	if (same)
		return document_key_error(n, r->e, "this key is here twice, first on line %u",
					  same->key_line);
	if (n->index >= DOCUMENT_MEMBERS_MAX)
		return document_key_error(n, r->e, "expected at most %d keys in an object",
					  DOCUMENT_MEMBERS_MAX);
	code = read_space(r);
	if (code < 0)
		return code;
	if (reader_peek(r) != ':')
		return read_error(r, "expected ':' after a key");
	reader_step(r);
	return read_space(r);
}

static int read_member(struct reader *r)
{
	struct document_node *n;
	int code = 0;

	if (r->in->type == DOCUMENT_OBJECT && reader_peek(r) != '"')
		return read_error(r, "expected a key in double quotes");
	n = node_new(r);
	if (!n)
		return err_sys(r->e, ENOMEM, "cannot read the document");
	if (r->in->type == DOCUMENT_OBJECT)
		code = read_key(r, n);
	if (!code)
		code = read_value(r, n);
	if (code < 0)
		return code;
	r->at = r->in;
	return read_space(r);
}

/* What is inside an object or an array, and its closing bracket. */
static int read_members(struct reader *r, char close)
{
	int code;

	reader_step(r);
	code = read_space(r);
	if (code < 0)
		return code;
	if (reader_peek(r) == close) {
		reader_step(r);
		return 0;
	}
	for (;;) {
		code = read_member(r);
		if (code < 0)
			return code;
		if (reader_peek(r) != ',')
			break;
		reader_step(r);
		code = read_space(r);
		if (code < 0)
			return code;
	}
	if (reader_peek(r) != close)
		return read_error(r, "expected ',' or '%c'", close);
	reader_step(r);
	return 0;
}

static int read_value(struct reader *r, struct document_node *n)
{
	int c = reader_peek(r), code;

	r->at = n;
	n->line = r->line;
	n->column = r->column;
	if (c == '"') {
		n->type = DOCUMENT_STRING;
		return read_string(r, &n->text);
	}
	if (c == '-' || reader_digit(r))
		return read_number(r, n);
	if (c != '{' && c != '[')
		return read_word(r, n);
	if (r->depth == DOCUMENT_DEPTH_MAX)
		return read_error(r, "expected at most %d levels", DOCUMENT_DEPTH_MAX);
	n->type = c == '{' ? DOCUMENT_OBJECT : DOCUMENT_ARRAY;
	r->depth++;
	r->in = n;
	code = read_members(r, c == '{' ? '}' : ']');
	if (code < 0)
		return code;
	r->in = n->parent;
	r->at = n->parent;
	r->depth--;
	return 0;
}

static int read_document(struct reader *r)
{
	int code;

	code = read_space(r);
	if (code < 0)
		return code;
	r->d->root = node_new(r);
	if (!r->d->root)
		return err_sys(r->e, ENOMEM, "cannot read the document");
	code = read_value(r, r->d->root);
	if (!code)
		code = read_space(r);
	if (!code && r->p < r->end)
		code = read_error(r, "expected nothing behind the document");
	return code;
}

int document_parse(struct document **ret, const char *text, size_t size, struct err *e)
{
	auto_document struct document *d = calloc(1, sizeof(*d));
	struct reader r = { .d = d, .p = text, .end = text + size, .line = 1, .column = 1, .e = e };
	int code;

	if (!d)
		return err_sys(e, ENOMEM, "cannot read the document");
	/* Decoding never lengthens; a number gains an end, and has at least one byte. */
	d->strings = malloc(2 * size + 1);
	if (!d->strings)
		return err_sys(e, ENOMEM, "cannot read the document");
	code = read_document(&r);
	if (code < 0)
		return code;
	*ret = ptr_take(d);
	return 0;
}

void document_free(struct document *d)
{
	struct document_node *older;

	if (!d)
		return;
	for (struct document_node *n = d->newest; n; n = older) {
		older = n->older;
		free(n);
	}
	free(d->strings);
	free(d);
}

void document_freep(struct document **d)
{
	document_free(*d);
}

const struct document_node *document_root(const struct document *d)
{
	return d->root;
}

const struct document_node *document_find(const struct document_node *object, const char *key)
{
	for (const struct document_node *n = object->first; n; n = n->next) {
		if (n->key && !strcmp(n->key, key))
			return n;
	}
	return NULL;
}

static const char *const type_words[] = {
	[DOCUMENT_NONE] = "nothing",	[DOCUMENT_OBJECT] = "an object",
	[DOCUMENT_ARRAY] = "an array",	[DOCUMENT_STRING] = "a string",
	[DOCUMENT_NUMBER] = "a number", [DOCUMENT_BOOL] = "true or false",
	[DOCUMENT_NULL] = "null",
};

const char *document_type_words(enum document_type type)
{
	return type_words[type];
}

const char *document_found(const struct document_node *n, char buf[DOCUMENT_FOUND_SIZE])
{
	const char *quote = n->type == DOCUMENT_STRING ? "\"" : "";
	char shown[POLICY_SHOWN_SIZE];

	if (n->type == DOCUMENT_BOOL)
		return n->truth ? "true" : "false";
	if (!n->text)
		return type_words[n->type];
	snprintf(buf, DOCUMENT_FOUND_SIZE, "%s%s%s", quote, policy_shown(n->text, shown), quote);
	return buf;
}
