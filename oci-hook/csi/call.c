/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oci-hook/csi/ids.h"
#include "oci-hook/quote.h"

struct call_block {
	struct call_block *next;
	max_align_t bytes[];
};

void call_fini(struct call *c)
{
	while (c->blocks) {
		struct call_block *b = c->blocks;

		c->blocks = b->next;
		free(b);
	}
}

void *call_alloc(struct call *c, size_t size)
{
	struct call_block *b = NULL;

	if (size <= SIZE_MAX - sizeof(*b))
		b = calloc(1, sizeof(*b) + size);
	if (!b)
		_exit(EXIT_FAILURE);
	b->next = c->blocks;
	c->blocks = b;
	return b->bytes;
}

void *call_message(struct call *c, const ProtobufCMessageDescriptor *descriptor)
{
	void *message = call_alloc(c, descriptor->sizeof_message);

	protobuf_c_message_init(descriptor, message);
	return message;
}

char *call_text(struct call *c, const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		_exit(EXIT_FAILURE);
	text = call_alloc(c, (size_t)n + 1);
	va_start(args, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, args);
	va_end(args);
	return text;
}

static void *allocator_alloc(void *arg, size_t size)
{
	return call_alloc(arg, size);
}

static void allocator_free(void *arg, void *bytes)
{
}

ProtobufCAllocator call_allocator(struct call *c)
{
	return (ProtobufCAllocator){ allocator_alloc, allocator_free, c };
}

enum code call_refuse(struct call *c, enum code code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(c->e.text, sizeof(c->e.text), fmt, args);
	va_end(args);
	return code;
}

enum code call_lacks(struct call *c, const char *field)
{
	return call_refuse(c, CODE_INVALID_ARGUMENT, "the request lacks %s", field);
}

/*
 * A byte of a file without content stands for an id. Record locks are a process's own and end with
 * it, so whoever is killed leaves none. Two ids of one byte wait for each other, no more.
 */
enum code call_lock(struct call *c, const char *id, bool shared)
{
	struct flock lock = {
		.l_type = shared ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)(ids_number(id) & INT64_MAX >> 1),
		.l_len = 1,
	};
	char word[QUOTE_SIZE];

	if (c->locks_fd < 0 || fcntl(c->locks_fd, F_SETLK, &lock) == 0)
		return CODE_OK;
	if (errno == EAGAIN || errno == EACCES)
		return call_refuse(c, CODE_ABORTED, "another call is at work on %s",
				   quote_text(word, sizeof(word), id));
	return call_refuse(c, CODE_INTERNAL, "cannot lock %s: %s",
			   quote_text(word, sizeof(word), id), strerror(errno));
}
