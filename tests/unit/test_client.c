/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/wire/packet.h"
#include "oci-hook/cli/find.h"
#include "oci-hook/client.h"
#include "targets/catalog.h"
#include "tests/fake/helper_fake.h"

/* What was asked is as wire.h says, with two fds of which the first is the pidfd's. */
static void answer_attach(int fd, const struct packet *p)
{
	const struct wire_attach *a = (const void *)p->bytes;
	bool ok = p->size == sizeof(*a) && a->head.magic == WIRE_MAGIC &&
		  a->head.version == WIRE_VERSION && a->head.type == WIRE_ATTACH &&
		  a->head.size == sizeof(*a) && a->head.nr_fds == 2 && p->nr_fds == 2 &&
		  a->timeout_ms == 1234 && a->target == TARGET_FILE &&
		  !strcmp(a->container, "c1") && !strcmp(a->path, "/dev/x");
	struct stat first, null;
	struct wire_reply r;

	ok = ok && !fstat(p->fds[0], &first) && !stat("/dev/null", &null) &&
	     first.st_rdev == null.st_rdev;
	r = ok ? reply_make(0, "be warned") : reply_make(-EINVAL, "wrong request");
	send_bytes(fd, &r, sizeof(r));
}

static void test_attach_sends_what_the_wire_says(void **state)
{
	struct wire_attach req = { .target = TARGET_FILE, .container = "c1", .path = "/dev/x" };
	auto_close int first = open("/dev/null", O_RDONLY), second = open("/dev/zero", O_RDONLY);
	struct wire_reply reply;
	struct fake f;
	struct err e;

	fake_start(&f, answer_attach);
	assert_int_equal(client_attach(&req, first, &second, 1, 1234, &reply, NULL, &e), 0);
	assert_int_equal(reply.dev_id, 7);
	assert_true(reply.generation == 42);
	assert_string_equal(reply.reason, "be warned");
	fake_end(&f);
}

/* Says what it took, then its answer; what the request wants is in its flags. */
static void answer_timed(int fd, const struct packet *p)
{
	const struct wire_detach *d = (const void *)p->bytes;
	struct wire_reply r = reply_make(0, "");
	struct wire_timing t = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_TIMING, sizeof(t), 0 },
		.total_us = 5,
		.spans = { { WIRE_STEP_STOP, d->generation == 1 ? 6 : 4 } },
	};

	if (d->generation != 2)
		send_bytes(fd, &t, sizeof(t));
	send_bytes(fd, &r, sizeof(r));
}

static const struct {
	const char *what;
	uint64_t generation; /* tells answer_timed() what to do */
	uint32_t flags;
	int r;
	const char *word;
} timed[] = {
	{ "asked for, and told", 3, WIRE_DETACH_TIMED, 0, "" },
	{ "more than the whole", 1, WIRE_DETACH_TIMED, -EPROTO, "times that are none" },
	{ "asked for, not told", 2, WIRE_DETACH_TIMED, -EPROTO, "no times" },
	{ "told unasked", 3, 0, -EPROTO, "not a reply" },
};

static void test_what_it_took_comes_before_the_answer(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(timed); i++) {
		struct client_call call = { .fd = -1 };
		struct wire_timing timing = { 0 };
		struct wire_reply reply = { 0 };
		struct err e = { "" };
		struct fake f;
		int r;

		fake_start(&f, answer_timed);
		assert_int_equal(client_detach_begin(&call, timed[i].generation, timed[i].flags,
						     SHORT_MS, &e),
				 0);
		r = client_detach_end(&call, &reply, &timing, &e);
		fake_end(&f);
		if (r != timed[i].r || !strstr(e.text, timed[i].word))
			print_error("%s: %d %s\n", timed[i].what, r, e.text);
		assert_int_equal(r, timed[i].r);
		assert_int_equal(call.fd, -1);
		if (r < 0) {
			assert_non_null(strstr(e.text, timed[i].word));
			continue;
		}
		assert_int_equal(reply.dev_id, 7);
		assert_int_equal(timing.spans[0].us, 4);
	}
}

static void answer_detach(int fd, const struct packet *p)
{
	const struct wire_detach *d = (const void *)p->bytes;
	bool ok = p->size == sizeof(*d) && d->generation == 42 && d->flags == WIRE_DETACH_FORCE &&
		  !p->nr_fds;
	struct wire_reply r = ok ? reply_make(-EBUSY, "it is mounted by 17")
				 : reply_make(-EINVAL, "wrong request");

	send_bytes(fd, &r, sizeof(r));
}

static void test_a_refusal_has_the_helpers_words(void **state)
{
	struct fake f;
	struct err e;

	fake_start(&f, answer_detach);
	assert_int_equal(client_detach(42, WIRE_DETACH_FORCE, 1000, NULL, &e), -EBUSY);
	assert_string_equal(e.text, "it is mounted by 17");
	fake_end(&f);
}

static void test_a_refusal_comes_through_when_the_request_was_not_read(void **state)
{
	struct client_devices d = { 0 };
	struct fake f;
	struct err e;

	fake_start(&f, NULL);
	assert_int_equal(client_list(&d, 5000, &e), -EAGAIN);
	assert_string_equal(e.text, "too many requests at once");
	fake_end(&f);
}

static void answer_list(int fd, const struct packet *p)
{
	struct wire_reply end = reply_make(0, "");

	for (uint32_t i = 0; i < 40; i++) {
		struct wire_device d = device_make(39 - i, i % 2 ? "abc1" : "abc", "/dev/x");

		send_bytes(fd, &d, sizeof(d));
	}
	send_bytes(fd, &end, sizeof(end));
}

static void test_a_list_is_complete_and_in_order(void **state)
{
	auto_client_devices struct client_devices d = { 0 };
	struct fake f;
	struct err e;

	fake_start(&f, answer_list);
	assert_int_equal(client_list(&d, 5000, &e), 0);
	assert_int_equal(d.nr, 40);
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(d.rows[i].dev_id, i);
	assert_int_equal(client_device_matches(&d.rows[1], "abc"), 2);
	assert_int_equal(client_device_matches(&d.rows[0], "abc"), 1);
	assert_int_equal(client_device_matches(&d.rows[0], "abc1"), 2);
	assert_int_equal(client_device_matches(&d.rows[0], "b"), 0);
	assert_int_equal(client_device_matches(&d.rows[0], ""), 0);
	fake_end(&f);
}

static void test_what_is_mounted_on_the_host_is_found_by_its_place(void **state)
{
	struct wire_device rows[] = {
		device_make(1, "", "/"),
		device_make(2, "c", "/srv/a"),
		device_make(3, "", "/srv/a"),
		device_make(4, "", "/"),
	};
	const struct client_devices all = { .rows = rows, .nr = ARRAY_SIZE(rows) };
	struct wire_device found;
	struct err e;

	rows[0].flags = rows[2].flags = rows[3].flags = WIRE_HOST;
	rows[1].filesystem = rows[2].filesystem = rows[3].filesystem = FILESYSTEM_EXT4;
	assert_int_equal(find_on_host(&found, &all, "/srv/a", &e), 0);
	assert_int_equal(found.dev_id, 3);
	assert_int_equal(find_on_host(&found, &all, "/proc/..", &e), 0);
	assert_int_equal(found.dev_id, 4);
	assert_int_equal(find_on_host(&found, &all, "/srv/b", &e), -ENODEV);
	assert_non_null(strstr(e.text, "/srv/b"));
}

static void answer_details(int fd, const struct packet *p)
{
	const struct wire_inspect *ask = (const void *)p->bytes;
	struct wire_details d = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_DETAILS, sizeof(d), 0 },
		.device = device_make(3, "c", "/dev/x"),
	};

	d.device.generation = ask->generation;
	send_bytes(fd, &d, sizeof(d));
}

static void test_details_are_handed_on(void **state)
{
	struct wire_details d;
	struct fake f;
	struct err e;

	fake_start(&f, answer_details);
	assert_int_equal(client_inspect(9, 0, 5000, &d, &e), 0);
	assert_true(d.device.generation == 9);
	assert_string_equal(d.device.container, "c");
	fake_end(&f);
}

static struct wire_loss loss_make(const char *text)
{
	struct wire_loss m = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_LOSS, sizeof(m), 0 },
	};

	strcpy(m.text, text);
	return m;
}

static void answer_losses(int fd, const struct packet *p)
{
	const struct wire_loss losses[] = { loss_make("one"), loss_make("two") };
	struct wire_reply r = reply_make(0, "");

	for (size_t i = 0; i < ARRAY_SIZE(losses); i++)
		send_bytes(fd, &losses[i], sizeof(losses[i]));
	send_bytes(fd, &r, sizeof(r));
}

static void answer_endless_loss(int fd, const struct packet *p)
{
	struct wire_loss m = loss_make("");

	memset(m.text, 'x', sizeof(m.text));
	send_bytes(fd, &m, sizeof(m));
}

static void note_lost(void *arg, const char *text)
{
	strcat(arg, text);
	strcat(arg, ";");
}

static void test_what_is_lost_comes_before_the_answer(void **state)
{
	static const struct {
		script *answer;
		bool listens;
		int r;
		const char *heard;
	} cases[] = {
		{ answer_losses, true, 0, "one;two;" },
		{ answer_detach, true, -EBUSY, "" },
		{ answer_losses, false, -EPROTO, "" }, /* it was not asked for */
		{ answer_endless_loss, true, -EPROTO, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct client_call call;
		struct wire_reply reply;
		char heard[64] = "";
		struct fake f;
		struct err e;

		fake_start(&f, cases[i].answer);
		assert_int_equal(client_detach_begin(&call, 42, WIRE_DETACH_FORCE, SHORT_MS, &e),
				 0);
		call.lost = cases[i].listens ? note_lost : NULL;
		call.arg = heard;
		assert_int_equal(client_detach_end(&call, &reply, NULL, &e), cases[i].r);
		assert_string_equal(heard, cases[i].heard);
		fake_end(&f);
	}
}

static struct wire_orphan orphan_make(uint32_t kind, uint32_t outcome)
{
	return (struct wire_orphan){
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_ORPHAN, sizeof(struct wire_orphan), 0 },
		.kind = kind,
		.outcome = outcome,
		.name = "ublkb7",
	};
}

static void answer_orphans(int fd, const struct packet *p)
{
	const struct wire_repair *ask = (const void *)p->bytes;
	struct wire_orphan o = orphan_make(WIRE_ORPHAN_DEVICE, WIRE_OUTCOME_FOUND);
	struct wire_reply r = reply_make(0, "there is more: ask again");

	if (p->size != sizeof(*ask) || ask->head.type != WIRE_REPAIR ||
	    ask->flags != WIRE_REPAIR_DRY_RUN)
		return;
	send_bytes(fd, &o, sizeof(o));
	send_bytes(fd, &o, sizeof(o));
	send_bytes(fd, &r, sizeof(r));
}

static void answer_strange_kind(int fd, const struct packet *p)
{
	struct wire_orphan o = orphan_make(WIRE_ORPHAN_END, WIRE_OUTCOME_FOUND);

	send_bytes(fd, &o, sizeof(o));
}

static void answer_strange_outcome(int fd, const struct packet *p)
{
	struct wire_orphan o = orphan_make(WIRE_ORPHAN_DEVICE, WIRE_OUTCOME_END);

	send_bytes(fd, &o, sizeof(o));
}

static void test_orphans_are_handed_on(void **state)
{
	static const struct {
		script *answer;
		int r;
		size_t nr;
	} cases[] = {
		{ answer_orphans, 0, 2 },
		{ answer_detach, -EINVAL, 0 },
		{ answer_device, -EPROTO, 0 },
		{ answer_strange_kind, -EPROTO, 0 },
		{ answer_strange_outcome, -EPROTO, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_client_orphans struct client_orphans found = { 0 };
		struct wire_reply reply = { 0 };
		struct fake f;
		struct err e;

		fake_start(&f, cases[i].answer);
		assert_int_equal(client_repair(WIRE_REPAIR_DRY_RUN, SHORT_MS, &found, &reply, &e),
				 cases[i].r);
		assert_int_equal(found.nr, cases[i].nr);
		if (cases[i].nr) {
			assert_string_equal(found.rows[1].name, "ublkb7");
			assert_string_equal(reply.reason, "there is more: ask again");
		}
		fake_end(&f);
	}
}

static struct wire_access access_make(uint32_t outcome)
{
	return (struct wire_access){
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_ACCESS, sizeof(struct wire_access), 0 },
		.generation = 42,
		.dev_id = 7,
		.outcome = outcome,
		.path = "/dev/data",
		.why = "its device filter was replaced",
	};
}

static void answer_accesses(int fd, const struct packet *p)
{
	const struct wire_repair *ask = (const void *)p->bytes;
	struct wire_access open = access_make(WIRE_ACCESS_OPEN),
			   lost = access_make(WIRE_ACCESS_LOST);
	struct wire_reply r = reply_make(0, "");

	if (p->size != sizeof(*ask) || ask->head.type != WIRE_REPAIR || ask->generation != 42)
		return;
	send_bytes(fd, &open, sizeof(open));
	send_bytes(fd, &lost, sizeof(lost));
	send_bytes(fd, &r, sizeof(r));
}

static void answer_strange_access(int fd, const struct packet *p)
{
	struct wire_access a = access_make(WIRE_ACCESS_END);

	send_bytes(fd, &a, sizeof(a));
}

static void answer_unended_access(int fd, const struct packet *p)
{
	struct wire_access a = access_make(WIRE_ACCESS_OPEN);

	memset(a.why, 'a', sizeof(a.why));
	send_bytes(fd, &a, sizeof(a));
}

static void test_accesses_are_handed_on(void **state)
{
	static const struct {
		script *answer;
		int r;
		size_t nr;
	} cases[] = {
		{ answer_accesses, 0, 2 },
		{ answer_detach, -EINVAL, 0 },
		{ answer_orphans, -ECONNRESET, 0 },
		{ answer_device, -EPROTO, 0 },
		{ answer_strange_access, -EPROTO, 0 },
		{ answer_unended_access, -EPROTO, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_client_accesses struct client_accesses seen = { 0 };
		struct fake f;
		struct err e;

		fake_start(&f, cases[i].answer);
		assert_int_equal(client_repair_container(42, 0, SHORT_MS, &seen, &e), cases[i].r);
		assert_int_equal(seen.nr, cases[i].nr);
		if (cases[i].nr) {
			assert_int_equal(seen.rows[1].outcome, WIRE_ACCESS_LOST);
			assert_string_equal(seen.rows[1].path, "/dev/data");
		}
		fake_end(&f);
	}
}

static void test_a_list_cut_short_is_an_error(void **state)
{
	auto_client_devices struct client_devices d = { 0 };
	struct fake f;
	struct err e;

	fake_start(&f, answer_device);
	assert_int_equal(client_list(&d, SHORT_MS, &e), -ECONNRESET);
	assert_int_equal(d.nr, 0);
	fake_end(&f);
}

static void test_an_absent_helper_is_named(void **state)
{
	struct err e;

	setenv(CLIENT_SOCKET_VARIABLE, "/nonexistent/sock", 1);
	/* -ENOENT would be a device that is not there, and need not be removed. */
	assert_int_equal(client_detach(1, 0, SHORT_MS, NULL, &e), -ECONNREFUSED);
	assert_non_null(strstr(e.text, "/nonexistent/sock: is ublk-ocid running?"));
}

static void answer_containers(int fd, const struct packet *p)
{
	struct wire_device rows[] = {
		device_make(1, "web", "/dev/x"),
		device_make(2, "web", "/dev/y"),
		device_make(3, "web2", "/dev/x"),
		device_make(4, "db-17", "/dev/x"),
		device_make(5, "twin", "/dev/x"),
		device_make(6, "twin", "/dev/x"),
		device_make(7, "queue1", "/dev/x"),
		device_make(8, "queue2", "/dev/x"),
		device_make(9, "", ""),
	};
	struct wire_reply end = reply_make(0, "");

	rows[8].flags = WIRE_HOST;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		send_bytes(fd, &rows[i], sizeof(rows[i]));
	send_bytes(fd, &end, sizeof(end));
}

static const struct {
	const char *id;
	const char *path; /* NULL: all */
	int r;
	size_t nr;
	uint32_t first; /* dev_id */
} places[] = {
	{ "web", "/dev/x", 0, 1, 1 },
	{ "web", NULL, 0, 2, 1 },
	{ "web2", NULL, 0, 1, 3 },
	{ "db", "/dev/x", 0, 1, 4 },
	{ "we", NULL, -ENOTUNIQ, 0, 0 },
	{ "queue", "/dev/x", -ENOTUNIQ, 0, 0 },
	{ "twin", "/dev/x", -ENOTUNIQ, 0, 0 },
	{ "twin", NULL, 0, 2, 5 },
	{ "web", "/dev/z", -ENODEV, 0, 0 },
	{ "cache", NULL, -ENODEV, 0, 0 },
	{ "", NULL, -ENODEV, 0, 0 },
};

static void test_a_device_is_found_by_container_and_path(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		auto_client_devices struct client_devices d = { 0 };
		struct fake f;
		struct err e;

		fake_start(&f, answer_containers);
		assert_int_equal(find_in_container(&d, places[i].id, places[i].path, 5000, &e),
				 places[i].r);
		fake_end(&f);
		assert_int_equal(d.nr, places[i].nr);
		if (d.nr)
			assert_int_equal(d.rows[0].dev_id, places[i].first);
	}
}

static const struct {
	const char *name;
	int r;
	uint32_t dev_id;
} names[] = {
	{ "7", 0, 7 },
	{ "ublkb7", 0, 7 },
	{ "/dev/ublkb9", 0, 9 },
	{ "0000000000000069", 0, 5 }, /* generation 105 */
	{ "00000000000000ff", -ENODEV, 0 },
	{ "70", -ENODEV, 0 },
};

static void test_a_device_is_found_by_its_own_name(void **state)
{
	static const char *const none[] = { "",	  "ublkb", "ublkc7", "/dev/xvda",
					    "7 ", "-1",	   "0x7",    "0000000000000000" };
	struct wire_device d;
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct fake f;

		fake_start(&f, answer_containers);
		assert_int_equal(find_by_name(&d, names[i].name, 5000, &e), names[i].r);
		fake_end(&f);
		if (!names[i].r)
			assert_int_equal(d.dev_id, names[i].dev_id);
	}
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_int_equal(find_by_name(&d, none[i], 5000, &e), -EINVAL);
}

/* The generation that is asked for says what is wrong with the answer. */
static void answer_counters(int fd, const struct packet *p)
{
	const struct wire_stats *ask = (const void *)p->bytes;
	int fds[2] = { open("/dev/null", O_RDONLY), open("/dev/zero", O_RDONLY) };
	struct wire_counters c = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_COUNTERS, sizeof(c), 1 },
		.device = device_make(5, "c", "/dev/x"),
	};

	c.device.nr_queues = 2;
	c.device.depth = 32;
	if (ask->generation == 2)
		c.head.nr_fds = 0;
	if (ask->generation == 3)
		c.head.nr_fds = 2;
	if (ask->generation == 4)
		c.device.nr_queues = 17;
	if (ask->generation == 5)
		c.device.nr_queues = 0;
	if (ask->generation == 6)
		c.device.depth = 0;
	if (ask->generation == 7)
		memset(c.device.rule, 'a', sizeof(c.device.rule));
	packet_send(fd, &c, sizeof(c), fds, c.head.nr_fds, 1000);
}

static void test_counters_come_with_a_descriptor(void **state)
{
	static const struct {
		script *answer;
		uint64_t generation;
		int r;
		const char *word;
	} rows[] = {
		{ answer_counters, 1, 0, "" },
		{ answer_counters, 2, -EPROTO, "file descriptors" },
		{ answer_counters, 3, -EPROTO, "file descriptors" },
		{ answer_counters, 4, -EPROTO, "without queues" },
		{ answer_counters, 5, -EPROTO, "without queues" },
		{ answer_counters, 6, -EPROTO, "without queues" },
		{ answer_counters, 7, -EPROTO, "text without an end" },
		{ answer_device, 1, -EPROTO, "not counters" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_close int fd = -1;
		struct wire_device device;
		struct err e = { "" };
		struct stat got, null;
		struct fake f;

		fake_start(&f, rows[i].answer);
		assert_int_equal(client_counters(rows[i].generation, SHORT_MS, &device, &fd, &e),
				 rows[i].r);
		fake_end(&f);
		assert_non_null(strstr(e.text, rows[i].word));
		assert_int_equal(fd >= 0, rows[i].r == 0);
		if (rows[i].r)
			continue;
		assert_int_equal(device.dev_id, 5);
		assert_int_equal(fstat(fd, &got), 0);
		assert_int_equal(stat("/dev/null", &null), 0);
		assert_int_equal(got.st_rdev, null.st_rdev);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attach_sends_what_the_wire_says),
		cmocka_unit_test(test_what_it_took_comes_before_the_answer),
		cmocka_unit_test(test_a_refusal_has_the_helpers_words),
		cmocka_unit_test(test_a_refusal_comes_through_when_the_request_was_not_read),
		cmocka_unit_test(test_a_list_is_complete_and_in_order),
		cmocka_unit_test(test_what_is_mounted_on_the_host_is_found_by_its_place),
		cmocka_unit_test(test_details_are_handed_on),
		cmocka_unit_test(test_counters_come_with_a_descriptor),
		cmocka_unit_test(test_what_is_lost_comes_before_the_answer),
		cmocka_unit_test(test_orphans_are_handed_on),
		cmocka_unit_test(test_accesses_are_handed_on),
		cmocka_unit_test(test_a_list_cut_short_is_an_error),
		cmocka_unit_test(test_a_device_is_found_by_container_and_path),
		cmocka_unit_test(test_a_device_is_found_by_its_own_name),
		cmocka_unit_test(test_an_absent_helper_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
