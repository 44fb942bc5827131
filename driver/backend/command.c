/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/backend/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "targets/image_format.h"

#define COMMAND_QSD "/usr/bin/qemu-storage-daemon"
#define COMMAND_IMG "/usr/bin/qemu-img"

static int command_add(struct command *c, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int command_add(struct command *c, struct err *e, const char *fmt, ...)
{
	size_t left = sizeof(c->text) - c->used;
	va_list args;
	int n;

	if (c->nr + 1 >= COMMAND_ARGS_MAX)
		return err_set(e, E2BIG, "too many arguments");
	va_start(args, fmt);
	n = vsnprintf(c->text + c->used, left, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= left)
		return err_set(e, E2BIG, "the arguments are too long");
	c->argv[c->nr++] = c->text + c->used;
	c->used += (size_t)n + 1;
	return 0;
}

/*
 * The file, and its format above it; "image" is what is exported, "imageN" what is behind it. What
 * a header says of a file behind that was not handed over is looked for, and is not there: so
 * an image whose chain is incomplete is an error, never one that reads as zeroes.
 */
static int command_add_layer(struct command *c, const struct backend_start *start, uint32_t i,
			     struct err *e)
{
	const char *read_only = i || start->flags & BACKEND_READ_ONLY ? "true" : "false";
	char behind[48] = "", name[16] = "image";
	int r;

	if (i)
		snprintf(name, sizeof(name), "image%" PRIu32, i);
	if (i + 1 < start->nr_files)
		snprintf(behind, sizeof(behind), ",\"backing\":\"image%" PRIu32 "\"", i + 1);
	r = command_add(c, e, "--blockdev");
	if (r == 0)
		r = command_add(c, e,
				"{\"driver\":\"file\",\"node-name\":\"file%" PRIu32
				"\",\"filename\":\"" BACKEND_IMAGE_DIR "/%" PRIu32
				"\",\"read-only\":%s,\"discard\":\"unmap\"}",
				i, i, read_only);
	if (r == 0)
		r = command_add(c, e, "--blockdev");
	if (r == 0)
		r = command_add(c, e,
				"{\"driver\":\"%s\",\"node-name\":\"%s\",\"file\":\"file%" PRIu32
				"\",\"read-only\":%s,\"discard\":\"unmap\"%s}",
				image_format_name(start->formats[i]), name, i, read_only, behind);
	return r;
}

/*
 * writethrough: what was answered is in the image, its tables too, so that it survives the
 * program, as with every other target.
 */
static int command_add_export(struct command *c, const struct backend_start *start, struct err *e)
{
	int r;

	r = command_add(c, e, "--nbd-server");
	if (r == 0)
		r = command_add(c, e, "addr.type=fd,addr.str=%d,max-connections=16",
				BACKEND_LISTEN_FD);
	if (r == 0)
		r = command_add(c, e, "--export");
	if (r == 0)
		r = command_add(c, e,
				"type=nbd,id=device,node-name=image,name=,writable=%s,"
				"writethrough=on",
				start->flags & BACKEND_READ_ONLY ? "off" : "on");
	return r;
}

static int command_make_image(struct command *c, const struct backend_start *start, struct err *e)
{
	int r;

	r = command_add(c, e, COMMAND_QSD);
	/* A node is named after it is there. */
	for (uint32_t i = start->nr_files; r == 0 && i > 0; i--)
		r = command_add_layer(c, start, i - 1, e);
	return r < 0 ? r : command_add_export(c, start, e);
}

/*
 * qemu-img, which never makes it smaller unless it is told to. It is given the whole chain, since
 * what is behind the image is not where its header says.
 */
static int command_make_grow(struct command *c, const struct backend_start *start, struct err *e)
{
	char options[512], prefix[64] = "";
	size_t used = 0, behind = 0;
	int n;

	for (uint32_t i = 0; i < start->nr_files; i++) {
		n = snprintf(options + used, sizeof(options) - used,
			     "%s%sdriver=%s,%sfile.driver=file,%sfile.filename=" BACKEND_IMAGE_DIR
			     "/%" PRIu32,
			     i ? "," : "", prefix, image_format_name(start->formats[i]), prefix,
			     prefix, i);
		if (n < 0 || used + (size_t)n >= sizeof(options))
			return err_set(e, E2BIG, "the arguments are too long");
		used += (size_t)n;
		memcpy(prefix + behind, "backing.", sizeof("backing."));
		behind += sizeof("backing.") - 1;
	}
	if (command_add(c, e, COMMAND_IMG) < 0 || command_add(c, e, "resize") < 0 ||
	    command_add(c, e, "--image-opts") < 0 || command_add(c, e, "%s", options) < 0)
		return -E2BIG;
	return command_add(c, e, "%" PRIu64, start->size_bytes);
}

/*
 * Of the image alone: what is behind it is not opened. Who serves it has it open for writing, and
 * locked (-U); nobody changes its list of snapshots meanwhile.
 */
static int command_make_snapshots(struct command *c, const struct backend_start *start,
				  struct err *e)
{
	static const char *const words[] = { COMMAND_IMG, "info", "-U", "--output=json",
					     "--image-opts" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(words); i++)
		r = command_add(c, e, "%s", words[i]);
	return r < 0 ? r
		     : command_add(c, e,
				   "driver=%s,file.driver=file,file.filename=" BACKEND_IMAGE_DIR
				   "/0",
				   image_format_name(start->formats[0]));
}

static int command_make_exec(struct command *c, const struct backend_start *start, struct err *e)
{
	const char *arg = start->args, *end = arg + sizeof(start->args);
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < start->nr_args; i++) {
		size_t n = strnlen(arg, (size_t)(end - arg));

		if (arg + n >= end)
			return err_set(e, EPROTO, "an argument has no end");
		r = command_add(c, e, "%s", arg);
		arg += n + 1;
	}
	if (r == 0 && (!c->nr || c->argv[0][0] != '/'))
		return err_set(e, EPROTO, "the program has no absolute path");
	return r;
}

static int command_check_files(const struct backend_start *start, struct err *e)
{
	if (!start->nr_files || start->nr_files > BACKEND_FILES_MAX)
		return err_set(e, EPROTO, "an image is of 1 to %d files", BACKEND_FILES_MAX);
	for (uint32_t i = 0; i < start->nr_files; i++) {
		if (!image_format_name(start->formats[i]))
			return err_set(e, EPROTO, "format %" PRIu32 " is none", start->formats[i]);
	}
	return 0;
}

bool command_serves(const struct backend_start *start)
{
	return start->kind == BACKEND_IMAGE || start->kind == BACKEND_EXEC;
}

bool command_answers(const struct backend_start *start)
{
	return start->kind == BACKEND_SNAPSHOTS;
}

int command_make(struct command *c, const struct backend_start *start, struct err *e)
{
	int r;

	memset(c, 0, sizeof(*c));
	switch ((enum backend_kind)start->kind) {
	case BACKEND_IMAGE:
		r = command_check_files(start, e);
		return r < 0 ? r : command_make_image(c, start, e);
	case BACKEND_GROW:
		r = command_check_files(start, e);
		return r < 0 ? r : command_make_grow(c, start, e);
	case BACKEND_SNAPSHOTS:
		r = command_check_files(start, e);
		return r < 0 ? r : command_make_snapshots(c, start, e);
	case BACKEND_EXEC:
		return command_make_exec(c, start, e);
	case BACKEND_NONE:
	case BACKEND_KINDS:
		break;
	}
	return err_set(e, EPROTO, "kind %" PRIu32 " of back end is none", start->kind);
}
