/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/privileged/registry.h"
#include "targets/catalog.h"

static const char rules[] =
	"{\"version\":1,\"worker_ids\":{\"first\":910000,\"count\":2},\"rules\":["
	"{\"id\":\"all\",\"principal\":{\"any\":true},\"targets\":[\"memory\",\"file\"],"
	"\"backing\":[\"/srv/\"],\"max_size\":\"1G\",\"max_devices_per_container\":2}]}";

struct fixture {
	struct registry reg;
	struct policy *policy;
	char dir[32];
};

static int no_name(const char *name, uint32_t *ret)
{
	return -ENOENT;
}

static int setup(void **state)
{
	static const struct policy_names names = { no_name, no_name };
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	log_open("test_registry", LOG_LEVEL_ERROR);
	strcpy(f->dir, "/tmp/registry.XXXXXX");
	if (!mkdtemp(f->dir) || journal_open(f->dir, &f->reg.journal_fd, &e) < 0)
		return -1;
	if (policy_parse(&f->policy, rules, strlen(rules), &names, &e) < 0) {
		print_error("%s\n", e.text);
		return -1;
	}
	f->reg.policy = f->policy;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[64];

	while (f->reg.nr_devices)
		registry_drop(&f->reg, f->reg.devices[0]->rec.generation, NULL);
	registry_fini(&f->reg);
	close(f->reg.journal_fd);
	policy_free(f->policy);
	snprintf(path, sizeof(path), "%s/devices", f->dir);
	/* Fails when a record was left behind. */
	if (rmdir(path) < 0 || rmdir(f->dir) < 0)
		return -1;
	free(f);
	return 0;
}

static struct record claim(int container, const char *path)
{
	struct record rec = {
		.target = TARGET_MEMORY,
		.size_bytes = 1 << 20,
		.asked_bytes = 1 << 20,
		.nr_queues = 2,
		.depth = 32,
		.container_pid = container,
		.container_start = 7,
		.worker_pid = 0,
	};

	strcpy(rec.path, path);
	return rec;
}

static int reserve(struct fixture *f, struct record *rec)
{
	struct registry_peer peer = { .uid = rec->peer_uid, .op_pid = 1 };
	struct err e;

	return registry_reserve(&f->reg, &peer, rec, &e);
}

static void make_live(struct fixture *f, struct record *rec)
{
	rec->state = WIRE_STATE_LIVE;
	assert_int_equal(registry_update(&f->reg, rec, NULL), 0);
}

static void test_the_same_attach_twice_is_one(void **state)
{
	struct fixture *f = *state;
	struct record first = claim(100, "/dev/a"), second = claim(100, "/dev/a");

	assert_int_equal(reserve(f, &first), 0);
	assert_string_equal(first.rule, "all");
	assert_int_equal(reserve(f, &second), -EAGAIN);
	make_live(f, &first);
	assert_int_equal(reserve(f, &second), -EALREADY);
	assert_true(second.generation == first.generation);
	assert_int_equal(f->reg.nr_devices, 1);
}

static void test_a_different_attach_at_the_same_path_is_refused(void **state)
{
	struct fixture *f = *state;
	struct record first = claim(100, "/dev/a"), other = claim(100, "/dev/a");

	assert_int_equal(reserve(f, &first), 0);
	other.asked_bytes = other.size_bytes = 2 << 20;
	assert_int_equal(reserve(f, &other), -EEXIST);
	other = claim(100, "/dev/a");
	other.peer_uid = 5;
	assert_int_equal(reserve(f, &other), -EEXIST);
	other = claim(101, "/dev/a");
	assert_int_equal(reserve(f, &other), 0);
}

static void test_a_container_whose_pid_is_reused_is_another(void **state)
{
	struct fixture *f = *state;
	struct record first = claim(100, "/dev/a"), other = claim(100, "/dev/a");

	assert_int_equal(reserve(f, &first), 0);
	other.container_start = 8;
	assert_int_equal(reserve(f, &other), 0);
	assert_int_not_equal(other.worker_uid, first.worker_uid);
}

static void test_a_backing_file_has_one_writer_or_only_readers(void **state)
{
	static const struct {
		uint32_t first, second;
		int r;
	} cases[] = {
		{ 0, 0, -EBUSY },
		{ 0, WIRE_READ_ONLY, -EBUSY },
		{ WIRE_READ_ONLY, 0, -EBUSY },
		{ WIRE_READ_ONLY, WIRE_READ_ONLY, 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct record a = claim(100, "/dev/a"), b = claim(101, "/dev/b");

		a.target = b.target = TARGET_FILE;
		a.backing_dev = b.backing_dev = 1;
		a.backing_inode = b.backing_inode = 2;
		strcpy(a.backing, "/srv/x");
		strcpy(b.backing, "/srv/x");
		a.flags = cases[i].first;
		b.flags = cases[i].second;
		assert_int_equal(reserve(f, &a), 0);
		assert_int_equal(reserve(f, &b), cases[i].r);
		registry_drop(&f->reg, a.generation, NULL);
		if (!cases[i].r)
			registry_drop(&f->reg, b.generation, NULL);
	}
}

static void test_limits_count_what_is_reserved(void **state)
{
	struct fixture *f = *state;
	struct record a = claim(100, "/dev/a"), b = claim(100, "/dev/b"), c = claim(100, "/dev/c");

	assert_int_equal(reserve(f, &a), 0);
	assert_int_equal(reserve(f, &b), 0);
	assert_int_equal(reserve(f, &c), -EPERM);
	assert_int_equal(registry_drop(&f->reg, a.generation, NULL), 0);
	assert_int_equal(reserve(f, &c), 0);
}

static void test_workers_of_one_container_share_a_uid_nobody_else_has(void **state)
{
	struct fixture *f = *state;
	struct record a = claim(100, "/dev/a"), b = claim(100, "/dev/b"), c = claim(101, "/dev/a");
	struct record d = claim(102, "/dev/a");

	assert_int_equal(reserve(f, &a), 0);
	assert_int_equal(reserve(f, &b), 0);
	assert_int_equal(reserve(f, &c), 0);
	assert_int_equal(a.worker_uid, 910000);
	assert_int_equal(b.worker_uid, 910000);
	assert_int_equal(c.worker_uid, 910001);
	assert_int_equal(reserve(f, &d), -EUSERS);
}

static void test_numbers_are_the_lowest_free(void **state)
{
	struct fixture *f = *state;
	struct record a = claim(100, "/dev/a"), b = claim(101, "/dev/b"), c = claim(100, "/dev/c");

	assert_int_equal(reserve(f, &a), 0);
	assert_int_equal(reserve(f, &b), 0);
	assert_int_equal(a.dev_id, 0);
	assert_int_equal(b.dev_id, 1);
	registry_drop(&f->reg, a.generation, NULL);
	assert_int_equal(reserve(f, &c), 0);
	assert_int_equal(c.dev_id, 0);
	assert_true(c.generation != a.generation);
}

static void test_one_at_a_time_undoes_a_device(void **state)
{
	struct fixture *f = *state;
	struct record a = claim(100, "/dev/a"), same = claim(100, "/dev/a"), taken;
	int journal_fd;

	assert_int_equal(reserve(f, &a), 0);
	assert_int_equal(registry_take(&f->reg, a.generation, 2, &taken, NULL), -EAGAIN);
	make_live(f, &a);
	assert_int_equal(registry_take(&f->reg, a.generation, 2, &taken, NULL), 0);
	assert_int_equal(taken.state, WIRE_STATE_LIVE);
	assert_int_equal(registry_take(&f->reg, a.generation, 3, &taken, NULL), -EAGAIN);
	assert_int_equal(registry_take(&f->reg, a.generation + 1, 3, &taken, NULL), -ENOENT);
	assert_int_equal(reserve(f, &same), -EAGAIN);
	taken.state = WIRE_STATE_DETACHING;
	journal_fd = fd_take(&f->reg.journal_fd);
	assert_int_equal(registry_update(&f->reg, &taken, NULL), 0); /* unwritten, but under way */
	f->reg.journal_fd = journal_fd;
	assert_int_equal(registry_find(&f->reg, a.generation)->rec.state, WIRE_STATE_DETACHING);
}

static int count_records(void *arg, const struct record *rec)
{
	(*(unsigned int *)arg)++;
	return 0;
}

static void test_the_journal_has_what_the_registry_has(void **state)
{
	struct fixture *f = *state;
	struct record a = claim(100, "/dev/a"), b = claim(100, "/dev/b");
	unsigned int nr = 0;

	assert_int_equal(reserve(f, &a), 0);
	assert_int_equal(reserve(f, &b), 0);
	assert_int_equal(journal_load(f->reg.journal_fd, count_records, &nr, NULL), 0);
	assert_int_equal(nr, 2);
	registry_drop(&f->reg, a.generation, NULL);
	nr = 0;
	assert_int_equal(journal_load(f->reg.journal_fd, count_records, &nr, NULL), 0);
	assert_int_equal(nr, 1);
}

static void test_a_spoiled_record_is_set_aside(void **state)
{
	struct fixture *f = *state;
	struct record a = claim(100, "/dev/a");
	unsigned int nr = 0;
	char name[32];
	int fd;

	assert_int_equal(reserve(f, &a), 0);
	snprintf(name, sizeof(name), "%016llx", (unsigned long long)a.generation);
	fd = openat(f->reg.journal_fd, name, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	close(fd);
	log_open("test_registry", 0);
	assert_int_equal(journal_load(f->reg.journal_fd, count_records, &nr, NULL), 0);
	assert_int_equal(nr, 0);
	strcat(name, ".bad");
	assert_int_equal(unlinkat(f->reg.journal_fd, name, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_same_attach_twice_is_one),
		TEST(test_a_different_attach_at_the_same_path_is_refused),
		TEST(test_a_container_whose_pid_is_reused_is_another),
		TEST(test_a_backing_file_has_one_writer_or_only_readers),
		TEST(test_limits_count_what_is_reserved),
		TEST(test_workers_of_one_container_share_a_uid_nobody_else_has),
		TEST(test_numbers_are_the_lowest_free),
		TEST(test_one_at_a_time_undoes_a_device),
		TEST(test_the_journal_has_what_the_registry_has),
		TEST(test_a_spoiled_record_is_set_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
