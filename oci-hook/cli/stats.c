/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/stats.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/num.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/find.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/cli/stats_show.h"
#include "oci-hook/client.h"

#define STATS_INTERVAL_MAX 86400 /* seconds */

static const struct cli_option stats_options[] = {
	{ "watch", NULL, 'w', "again every second, until it is interrupted" },
	{ "interval", "SECONDS", 'i', "--watch in another interval" },
	{ "json", NULL, 'j', "everything, as JSON" },
};

static const struct cli_page stats_page = {
	.command = "stats",
	.synopsis = "stats [DEVICE]... [--watch] [--interval SECONDS] [--json]",
	.about = "Shows what devices do: since they were attached, then with --watch since the\n"
		 "table before. DEVICE is N, ublkbN, /dev/ublkbN or a generation.",
	.options = stats_options,
	.nr_options = ARRAY_SIZE(stats_options),
};

struct stats {
	char **names; /* of the devices that are wanted; none: all */
	size_t nr_names;
	int interval_s; /* 0: once */
	bool json;
	struct stats_row *rows;
	size_t nr_rows;
};

static void stats_row_fini(struct stats_row *row)
{
	close_fdp(&row->fd);
	free(row->now);
	free(row->before);
}

static void stats_fini(struct stats *s)
{
	for (size_t i = 0; i < s->nr_rows; i++)
		stats_row_fini(&s->rows[i]);
	free(s->rows);
}

static int stats_parse(struct stats *s, int argc, char **argv, bool *ret_leave)
{
	int c, status = CLI_DONE;
	uint64_t seconds;

	*ret_leave = true;
	while ((c = cli_next(&stats_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		if (c == 'j') {
			s->json = true;
		} else if (c == 'w') {
			s->interval_s = s->interval_s ? s->interval_s : 1;
		} else {
			if (num_parse_u64(optarg, STATS_INTERVAL_MAX, &seconds) < 0 || !seconds)
				return cli_misuse(&stats_page, "--interval takes 1 to %d seconds",
						  STATS_INTERVAL_MAX);
			s->interval_s = (int)seconds;
		}
	}
	s->names = argv + optind;
	s->nr_names = (size_t)(argc - optind);
	*ret_leave = false;
	return CLI_DONE;
}

static struct stats_row *stats_find(const struct stats *s, uint64_t generation)
{
	for (size_t i = 0; i < s->nr_rows; i++) {
		if (s->rows[i].device.generation == generation)
			return &s->rows[i];
	}
	return NULL;
}

static int stats_add(struct stats *s, uint64_t generation, struct err *e)
{
	struct stats_row row = { .fd = -1 }, *rows;
	int r;

	r = client_counters(generation, CLIENT_TIMEOUT_MS, &row.device, &row.fd, e);
	if (r < 0)
		return r;
	row.now = counters_new(row.device.nr_queues);
	rows = row.now ? reallocarray(s->rows, s->nr_rows + 1, sizeof(*rows)) : NULL;
	if (!rows) {
		stats_row_fini(&row);
		return err_sys(e, ENOMEM, "cannot keep the counters");
	}
	s->rows = rows;
	s->rows[s->nr_rows++] = row;
	return 0;
}

/* Those that were named, each of which must be there. */
static int stats_add_named(struct stats *s, const struct client_devices *all, struct err *e)
{
	struct wire_device device;
	int r = 0;

	for (size_t i = 0; i < s->nr_names && r == 0; i++) {
		r = find_among(&device, all, s->names[i], e);
		if (r == 0 && !stats_find(s, device.generation))
			r = stats_add(s, device.generation, e);
	}
	return r;
}

/* One that is just coming or going has no counters, and is no reason to fail. */
static int stats_add_all(struct stats *s, const struct client_devices *all, struct err *e)
{
	int r;

	for (size_t i = 0; i < all->nr; i++) {
		if (all->rows[i].state != WIRE_STATE_LIVE || all->rows[i].flags & WIRE_CLAIMED ||
		    stats_find(s, all->rows[i].generation))
			continue;
		r = stats_add(s, all->rows[i].generation, e);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

/* What has come since the last time. Of those that are known the helper need not be asked. */
static int stats_look(struct stats *s, bool first, struct err *e)
{
	auto_client_devices struct client_devices all = { 0 };
	int r;

	if (s->nr_names && !first)
		return 0;
	r = client_list(&all, CLIENT_TIMEOUT_MS, e);
	if (r == 0)
		r = s->nr_names ? stats_add_named(s, &all, e) : stats_add_all(s, &all, e);
	return first ? r : 0; /* a helper that is just restarted is back at the next table */
}

static int stats_read_row(struct stats_row *row, struct err *e)
{
	struct counters *spare = row->before;

	if (row->now->read_ns) {
		row->before = row->now;
		row->now = spare ? spare : counters_new(row->before->nr_queues);
		if (!row->now)
			return err_sys(e, ENOMEM, "cannot read the counters");
	}
	return counters_read(row->now, row->fd, e);
}

/* May the others be shown without it? A worker that spoils its counters spoils no more. */
static bool stats_leave_out(const struct stats *s, const struct stats_row *row, int r,
			    const struct err *e)
{
	if (r == -EPROTO && !s->nr_names)
		fprintf(stderr, CLI_NAME ": stats: ublkb%" PRIu32 " is left out: %s\n",
			row->device.dev_id, e->text);
	return r == -ENODEV || (r == -EPROTO && !s->nr_names);
}

/* A device that is gone leaves the table. */
static int stats_read(struct stats *s, struct err *e)
{
	size_t nr = 0, i;
	int r = 0;

	for (i = 0; i < s->nr_rows; i++) {
		r = stats_read_row(&s->rows[i], e);
		if (r < 0 && !stats_leave_out(s, &s->rows[i], r, e))
			break;
		if (r == 0)
			s->rows[nr++] = s->rows[i];
		else
			stats_row_fini(&s->rows[i]);
		r = 0;
	}
	for (; i < s->nr_rows; i++)
		s->rows[nr++] = s->rows[i];
	s->nr_rows = nr;
	if (r == 0 && s->nr_names && !nr)
		return err_set(e, ENODEV, "the device is gone");
	return r;
}

static void stats_print(const struct stats *s, bool first)
{
	auto_json struct json_object *list = NULL;

	if (s->json) {
		list = stats_show_json(s->rows, s->nr_rows);
		show_json_print(list);
		return;
	}
	if (!first)
		putchar('\n');
	stats_show_table(s->rows, s->nr_rows);
}

static int stats_run(struct stats *s, struct err *e)
{
	bool first = true;
	int r;

	for (;;) {
		r = stats_look(s, first, e);
		if (r == 0)
			r = stats_read(s, e);
		if (r < 0)
			return r;
		stats_print(s, first);
		if (!s->interval_s || fflush(stdout) || ferror(stdout))
			return 0;
		first = false;
		clock_sleep_ms(s->interval_s * 1000);
	}
}

int stats_main(int argc, char **argv)
{
	__attribute__((cleanup(stats_fini))) struct stats s = { 0 };
	struct err e = { "" };
	bool leave;
	int r;

	r = stats_parse(&s, argc, argv, &leave);
	if (leave)
		return r;
	if (stats_run(&s, &e) < 0)
		return cli_fail(&stats_page, &e);
	return cli_end(&stats_page);
}
