/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/stats_show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/show.h"

#define STATS_CELL_SIZE 32
#define STATS_NUMBER_SIZE 48

/* One device or queue: what it did in some time. */
struct view {
	const char *name;
	struct stats_queue did;
	double seconds;
	unsigned int tags;
};

/* --- the table --------------------------------------------------------------- */

static void cell_rate(const struct view *v, enum stats_op op, char *cell)
{
	snprintf(cell, STATS_CELL_SIZE, "%.0f", (double)v->did.ops[op].ios / v->seconds);
}

static void cell_bytes(const struct view *v, enum stats_op op, char *cell)
{
	snprintf(cell, STATS_CELL_SIZE, "%.1f", (double)v->did.ops[op].bytes / v->seconds / 1e6);
}

static void cell_time(double ns, char *cell)
{
	if (ns < 1e6)
		snprintf(cell, STATS_CELL_SIZE, "%.*fus", ns < 1e4 ? 1 : 0, ns / 1e3);
	else if (ns < 1e9)
		snprintf(cell, STATS_CELL_SIZE, "%.1fms", ns / 1e6);
	else
		snprintf(cell, STATS_CELL_SIZE, "%.1fs", ns / 1e9);
}

static void cell_mean(const struct view *v, enum stats_op op, char *cell)
{
	if (counters_timed(&v->did, op))
		cell_time(counters_mean_ns(&v->did, op), cell);
	else
		strcpy(cell, "-");
}

static void cell_p99(const struct view *v, enum stats_op op, char *cell)
{
	if (counters_timed(&v->did, op))
		cell_time((double)counters_percentile_ns(&v->did, op, 99), cell);
	else
		strcpy(cell, "-");
}

static void cell_device(const struct view *v, enum stats_op op, char *cell)
{
	snprintf(cell, STATS_CELL_SIZE, "%s", v->name);
}

static void cell_fill(const struct view *v, enum stats_op op, char *cell)
{
	snprintf(cell, STATS_CELL_SIZE, "%.0f%%",
		 100 * counters_fill(&v->did, v->seconds, v->tags));
}

static void cell_errors(const struct view *v, enum stats_op op, char *cell)
{
	double errors = 0;

	for (size_t i = 0; i < STATS_OP_END; i++)
		errors += (double)v->did.ops[i].errors;
	snprintf(cell, STATS_CELL_SIZE, "%.0f", errors);
}

static const struct {
	const char *name;
	void (*cell)(const struct view *v, enum stats_op op, char *cell);
	enum stats_op op;
} columns[] = {
	{ "DEVICE", cell_device },	     { "READ/s", cell_rate, STATS_READ },
	{ "MB/s", cell_bytes, STATS_READ },  { "MEAN", cell_mean, STATS_READ },
	{ "P99", cell_p99, STATS_READ },     { "WRITE/s", cell_rate, STATS_WRITE },
	{ "MB/s", cell_bytes, STATS_WRITE }, { "MEAN", cell_mean, STATS_WRITE },
	{ "P99", cell_p99, STATS_WRITE },    { "FILL", cell_fill },
	{ "ERRORS", cell_errors },
};

/* Of the same width in every table, so that one below the other can be read. */
static void table_row(const struct view *v)
{
	char cell[STATS_CELL_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		if (v)
			columns[i].cell(v, columns[i].op, cell);
		else
			strcpy(cell, columns[i].name);
		printf(i ? " %8s" : "%-10s", cell);
	}
	putchar('\n');
}

static struct view row_view(const struct stats_row *row, char name[STATS_CELL_SIZE])
{
	snprintf(name, STATS_CELL_SIZE, "ublkb%" PRIu32, row->device.dev_id);
	return (struct view){
		.name = name,
		.did = counters_sum(row->now, row->before),
		.seconds = counters_seconds(row->now, row->before),
		.tags = (unsigned int)row->device.nr_queues * row->device.depth,
	};
}

void stats_show_table(const struct stats_row *rows, size_t nr)
{
	char name[STATS_CELL_SIZE];
	struct view v;

	table_row(NULL);
	for (size_t i = 0; i < nr; i++) {
		v = row_view(&rows[i], name);
		table_row(&v);
	}
}

/* --- JSON --------------------------------------------------------------------- */

static void add_real(struct json_object *o, const char *key, double number, int digits)
{
	char text[STATS_NUMBER_SIZE];

	snprintf(text, sizeof(text), "%.*f", digits, number);
	json_object_object_add(o, key, json_object_new_double_s(number, text));
}

static void add_op(struct json_object *o, const char *key, const struct view *v, enum stats_op op)
{
	const struct stats_ops *row = &v->did.ops[op];
	uint64_t timed = counters_timed(&v->did, op);
	struct json_object *own = json_object_new_object();

	show_add_number(own, "ios", row->ios);
	show_add_number(own, "bytes", row->bytes);
	show_add_number(own, "errors", row->errors);
	add_real(own, "ios_per_second", (double)row->ios / v->seconds, 1);
	add_real(own, "bytes_per_second", (double)row->bytes / v->seconds, 0);
	show_add_number(own, "timed", timed);
	if (timed)
		add_real(own, "mean_us", counters_mean_ns(&v->did, op) / 1e3, 3);
	else
		json_object_object_add(own, "mean_us", NULL);
	if (timed && (op == STATS_READ || op == STATS_WRITE))
		add_real(own, "p99_us", (double)counters_percentile_ns(&v->did, op, 99) / 1e3, 3);
	else
		json_object_object_add(own, "p99_us", NULL);
	json_object_object_add(o, key, own);
}

/* in_flight: of now. */
static void add_view(struct json_object *o, const struct view *v, uint64_t in_flight)
{
	show_add_number(o, "in_flight", in_flight);
	add_real(o, "fill", counters_fill(&v->did, v->seconds, v->tags), 4);
	add_op(o, "read", v, STATS_READ);
	add_op(o, "write", v, STATS_WRITE);
	add_op(o, "flush", v, STATS_FLUSH);
	add_op(o, "discard", v, STATS_DISCARD);
	show_add_number(o, "refused", v->did.ops[STATS_REFUSED].ios);
	show_add_number(o, "by_hand", v->did.by_hand);
	show_add_number(o, "unregistered", v->did.unregistered);
}

static struct json_object *row_json(const struct stats_row *row)
{
	struct json_object *o = json_object_new_object(), *queues = json_object_new_array();
	uint64_t in_flight = 0, own_in_flight;
	char name[STATS_CELL_SIZE];
	struct view v = row_view(row, name), own = v;

	own.tags = row->device.depth;
	for (unsigned int i = 0; i < row->now->nr_queues; i++) {
		struct json_object *queue = json_object_new_object();

		own.did = counters_queue(row->now, row->before, i);
		own_in_flight = counters_in_flight(&row->now->queues[i], own.tags);
		add_view(queue, &own, own_in_flight);
		json_object_array_add(queues, queue);
		in_flight += own_in_flight;
	}
	show_add_text(o, "device", name);
	show_add_number(o, "dev_id", row->device.dev_id);
	show_add_hex(o, "generation", row->device.generation);
	add_real(o, "seconds", v.seconds, 3);
	add_view(o, &v, in_flight);
	json_object_object_add(o, "queues", queues);
	return o;
}

struct json_object *stats_show_json(const struct stats_row *rows, size_t nr)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < nr; i++)
		json_object_array_add(list, row_json(&rows[i]));
	return list;
}
