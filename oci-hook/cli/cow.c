/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/cow.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/delta.h"
#include "oci-hook/quote.h"

#define COW_COPY_BYTES (1u << 20)
#define COW_HOLE_BYTES 4096u /* so many zeroes are not written */

#define COW_BASE_OPTION                                                                            \
	{                                                                                          \
		"base", "PATH", 'b', "what it is a delta over"                                     \
	}

static const struct cli_option create_options[] = {
	COW_BASE_OPTION,
	{ "cluster", "BYTES", 'c', "what is copied at least, 4K to 1M; default 64K" },
};

static const struct cli_page create_page = {
	.command = "cow create",
	.synopsis = "cow create DELTA --base PATH [--cluster BYTES]",
	.about =
		"Makes an empty delta over a base, for attach --target cow. The base is only read.",
	.options = create_options,
	.nr_options = ARRAY_SIZE(create_options),
};

static const struct cli_option check_options[] = { COW_BASE_OPTION };

static const struct cli_page check_page = {
	.command = "cow check",
	.synopsis = "cow check DELTA [--base PATH]",
	.about = "Says whether a delta is one, whole, and of this base. It changes nothing.",
	.options = check_options,
	.nr_options = ARRAY_SIZE(check_options),
};

static const struct cli_page map_page = {
	.command = "cow map",
	.synopsis = "cow map DELTA",
	.about = "Lists as JSON what is not the base's: offset and length in bytes.",
};

static const struct cli_option commit_options[] = { COW_BASE_OPTION };

static const struct cli_page commit_page = {
	.command = "cow commit",
	.synopsis = "cow commit DELTA --base PATH IMAGE",
	.about = "Writes what the device shows to a new file. No device may use the delta.",
	.options = commit_options,
	.nr_options = ARRAY_SIZE(commit_options),
};

struct cow_ask {
	const char *delta;
	const char *image;
	const char *base;
	uint32_t cluster_bytes;
};

/* CLI_DONE, or the exit status when *ret_leave is set. words: how many, besides options. */
static int cow_parse(const struct cli_page *page, struct cow_ask *a, int words, int argc,
		     char **argv, bool *ret_leave)
{
	int c, r = 0, status = CLI_DONE;
	struct err e;

	*ret_leave = true;
	while (r == 0 && (c = cli_next(page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		if (c == 'b')
			a->base = optarg;
		else if (c == 'c')
			r = delta_parse_cluster(optarg, &a->cluster_bytes, &e);
	}
	if (r < 0)
		return cli_misuse(page, "cluster: %s", e.text);
	if (argc - optind != words)
		return cli_misuse(page, words == 1 ? "one DELTA is needed"
						   : "DELTA and IMAGE are needed");
	a->delta = argv[optind];
	a->image = words > 1 ? argv[optind + 1] : NULL;
	if (!a->base && (page == &create_page || page == &commit_page))
		return cli_misuse(page, "--base is needed");
	*ret_leave = false;
	return CLI_DONE;
}

static int cow_failed(const struct cli_page *page, const char *path, int r, struct err *e)
{
	char word[QUOTE_SIZE];

	err_prefix(e, r, "%s", quote_text(word, sizeof(word), path));
	return cli_fail(page, e);
}

/* The base, and how large it is. */
static int cow_open_base(const char *path, int *ret_fd, uint64_t *ret_bytes, struct err *e)
{
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (*ret_fd < 0)
		return err_sys(e, errno, "cannot open it");
	return delta_measure(*ret_fd, ret_bytes, e);
}

/* --- create ------------------------------------------------------------------------------ */

static int cow_create(int argc, char **argv)
{
	struct cow_ask a = { .cluster_bytes = COW_CLUSTER_DEFAULT };
	auto_close int base = -1;
	char path[PATH_MAX];
	uint64_t bytes = 0;
	struct err e;
	bool leave;
	int r;

	r = cow_parse(&create_page, &a, 1, argc, argv, &leave);
	if (leave)
		return r;
	r = cow_open_base(a.base, &base, &bytes, &e);
	if (r < 0)
		return cow_failed(&create_page, a.base, r, &e);
	r = delta_create(a.delta, bytes, a.cluster_bytes, 0, realpath(a.base, path) ? path : a.base,
			 &e);
	return r < 0 ? cow_failed(&create_page, a.delta, r, &e) : CLI_DONE;
}

/* --- check ------------------------------------------------------------------------------- */

struct cow_usage {
	uint64_t clusters; /* the delta's own */
	uint64_t stray;	   /* bytes held by others: of changes that never came to be */
};

/* Room that the file holds between two of its bytes. */
static uint64_t cow_held(int fd, uint64_t off, uint64_t end)
{
	uint64_t held = 0;

	while (off < end) {
		off_t data = lseek(fd, (off_t)off, SEEK_DATA);
		off_t hole;

		if (data < 0 || (uint64_t)data >= end)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		off = hole < 0 || (uint64_t)hole > end ? end : (uint64_t)hole;
		held += off - (uint64_t)data;
	}
	return held;
}

static struct cow_usage cow_usage(const struct delta *d)
{
	const struct cow_layout *l = &d->layout;
	struct cow_usage u = { 0 };

	for (uint64_t i = 0, end; i < l->nr_clusters; i = end) {
		end = cow_map_run(d->map, i, l->nr_clusters);
		if (cow_map_get(d->map, i))
			u.clusters += end - i;
		else
			u.stray += cow_held(d->fd, l->data_off + i * l->cluster_bytes,
					    l->data_off + end * l->cluster_bytes);
	}
	return u;
}

static int cow_check_base(const struct cow_ask *a, const struct delta *d, struct err *e)
{
	auto_close int base = -1;
	uint64_t bytes = 0;
	int r;

	if (!a->base)
		return 0;
	r = cow_open_base(a->base, &base, &bytes, e);
	if (r < 0)
		return err_prefix(e, r, "the base");
	if (bytes < d->layout.dev_bytes)
		return err_set(e, EINVAL,
			       "the base has %" PRIu64 " bytes, the delta is for %" PRIu64, bytes,
			       d->layout.dev_bytes);
	return 0;
}

/* What check and commit begin with. */
static int cow_open(const struct cow_ask *a, struct delta *d, struct err *e)
{
	int r;

	r = delta_open(d, a->delta, e);
	if (r == 0 && !cow_map_ok(&d->layout, d->map))
		r = err_set(e, EINVAL, "its map has bits behind its last cluster");
	return r < 0 ? r : cow_check_base(a, d, e);
}

static int cow_check(int argc, char **argv)
{
	char size[NUM_SIZE_TEXT], cluster[NUM_SIZE_TEXT], word[QUOTE_SIZE];
	auto_delta struct delta d = DELTA_INIT;
	struct cow_ask a = { 0 };
	struct cow_usage u;
	struct err e;
	bool leave;
	int r;

	r = cow_parse(&check_page, &a, 1, argc, argv, &leave);
	if (leave)
		return r;
	r = cow_open(&a, &d, &e);
	if (r < 0)
		return cow_failed(&check_page, a.delta, r, &e);
	u = cow_usage(&d);
	printf("%s: sound: %" PRIu64 " of %" PRIu64 " clusters of %s are its own, the device has %s"
	       "%s\n",
	       quote_text(word, sizeof(word), a.delta), u.clusters, d.layout.nr_clusters,
	       num_format_size(d.layout.cluster_bytes, cluster),
	       num_format_size(d.layout.dev_bytes, size),
	       d.header.flags & COW_EPHEMERAL ? ", ephemeral" : "");
	printf("made over %s\n", quote_text(word, sizeof(word), d.header.base));
	if (u.stray)
		printf("%" PRIu64 " bytes are held by changes that were never finished; a later "
		       "change of these clusters uses them\n",
		       u.stray);
	return cli_end(&check_page);
}

/* --- map --------------------------------------------------------------------------------- */

static int cow_map(int argc, char **argv)
{
	auto_json struct json_object *list = json_object_new_array();
	auto_delta struct delta d = DELTA_INIT;
	struct cow_ask a = { 0 };
	struct err e;
	bool leave;
	int r;

	r = cow_parse(&map_page, &a, 1, argc, argv, &leave);
	if (leave)
		return r;
	r = cow_open(&a, &d, &e);
	if (r < 0)
		return cow_failed(&map_page, a.delta, r, &e);
	for (uint64_t i = 0, end; i < d.layout.nr_clusters; i = end) {
		uint64_t off = i * d.layout.cluster_bytes, to;
		struct json_object *o;

		end = cow_map_run(d.map, i, d.layout.nr_clusters);
		if (!cow_map_get(d.map, i))
			continue;
		to = end * d.layout.cluster_bytes;
		o = json_object_new_object();
		show_add_number(o, "offset", off);
		show_add_number(o, "length",
				(to < d.layout.dev_bytes ? to : d.layout.dev_bytes) - off);
		json_object_array_add(list, o);
	}
	show_json_print(list);
	return cli_end(&map_page);
}

/* --- commit ------------------------------------------------------------------------------ */

static bool cow_zeroes(const unsigned char *bytes, size_t size)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1);
}

/* What is zero stays a hole. */
static int cow_write(int fd, const unsigned char *bytes, uint64_t size, uint64_t off)
{
	uint64_t n;

	for (uint64_t i = 0; i < size; i += n) {
		n = size - i < COW_HOLE_BYTES ? size - i : COW_HOLE_BYTES;
		if (!cow_zeroes(bytes + i, n) &&
		    pwrite(fd, bytes + i, n, (off_t)(off + i)) != (ssize_t)n)
			return errno ? -errno : -EIO;
	}
	return 0;
}

static int cow_copy(int to, int from, uint64_t at, uint64_t off, uint64_t size,
		    unsigned char *buffer, struct err *e)
{
	while (size) {
		ssize_t n = pread(from, buffer, size < COW_COPY_BYTES ? size : COW_COPY_BYTES,
				  (off_t)at);
		int r;

		if (n <= 0)
			return err_sys(e, n ? errno : EIO, "cannot read what is to be in it");
		r = cow_write(to, buffer, (uint64_t)n, off);
		if (r < 0)
			return err_sys(e, -r, "cannot write it");
		at += (uint64_t)n;
		off += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return 0;
}

static int cow_copy_all(int to, const struct delta *d, int base, struct err *e)
{
	auto_free unsigned char *buffer = malloc(COW_COPY_BYTES);
	const struct cow_layout *l = &d->layout;
	int r = 0;

	if (!buffer)
		return err_sys(e, ENOMEM, "no memory to copy through");
	if (ftruncate(to, (off_t)l->dev_bytes) < 0)
		return err_sys(e, errno, "cannot make it so large");
	for (uint64_t i = 0, end; r == 0 && i < l->nr_clusters; i = end) {
		bool own = cow_map_get(d->map, i);
		uint64_t off = i * l->cluster_bytes, until;

		end = cow_map_run(d->map, i, l->nr_clusters);
		until = end * l->cluster_bytes < l->dev_bytes ? end * l->cluster_bytes
							      : l->dev_bytes;
		r = cow_copy(to, own ? d->fd : base, off + (own ? l->data_off : 0), off,
			     until - off, buffer, e);
	}
	if (r == 0 && fsync(to) < 0)
		r = err_sys(e, errno, "cannot sync it");
	return r;
}

/* Whole, or not there at all; what is there already stays. */
static int cow_make_image(const char *path, const struct delta *d, int base, struct err *e)
{
	char temporary[PATH_MAX];
	auto_close int fd = -1;
	int r;

	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
		return err_set(e, ENAMETOOLONG, "the path is too long");
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot make it");
	r = cow_copy_all(fd, d, base, e);
	if (r == 0 && link(temporary, path) < 0)
		r = err_sys(e, errno, "cannot make it");
	unlink(temporary);
	return r;
}

static int cow_commit(int argc, char **argv)
{
	auto_delta struct delta d = DELTA_INIT;
	auto_close int base = -1;
	struct cow_ask a = { 0 };
	uint64_t bytes;
	struct err e;
	bool leave;
	int r;

	r = cow_parse(&commit_page, &a, 2, argc, argv, &leave);
	if (leave)
		return r;
	r = cow_open(&a, &d, &e);
	if (r < 0)
		return cow_failed(&commit_page, a.delta, r, &e);
	r = cow_open_base(a.base, &base, &bytes, &e);
	if (r < 0)
		return cow_failed(&commit_page, a.base, r, &e);
	r = cow_make_image(a.image, &d, base, &e);
	return r < 0 ? cow_failed(&commit_page, a.image, r, &e) : CLI_DONE;
}

/* --- which ------------------------------------------------------------------------------- */

static const struct cli_command cow_commands[] = {
	{ "create", cow_create, "make an empty one over a base" },
	{ "check", cow_check, "is it whole, and of this base?" },
	{ "map", cow_map, "what is not the base's, as JSON" },
	{ "commit", cow_commit, "write base and delta to a new image" },
};

static const struct cli_group cow_group = {
	.command = "cow ",
	.about = "Deltas over a base that is only read, see attach --target cow.",
	.more = "",
	.rows = cow_commands,
	.nr_rows = ARRAY_SIZE(cow_commands),
};

int cow_main(int argc, char **argv)
{
	return cli_group_main(&cow_group, argc, argv);
}
