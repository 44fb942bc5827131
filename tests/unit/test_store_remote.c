/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes whose data a back end has, by a process that is killed before its first step, before its
 * second, and so on. The back end is a directory of files here, one per image. What must hold: an
 * image that is there is on record; and in the end no image is left that is nobody's.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/wire/store.h"
#include "oci-hook/store/change.h"
#include "oci-hook/store/device.h"
#include "oci-hook/store/remote.h"
#include "tests/unit/policy_of.h"
#include "tests/unit/store_steps.h"

static bool cluster_down;

/* The back end's server of the one volume, and the helper's answers about its device. */
static struct {
	bool served;
	int attach;	   /* 0 or -errno */
	bool there, quiet; /* the list: with the device; none */
} world;

/* The current directory's "images": the back end keeps what it was asked, and may die after it. */
int __wrap_remote_ask(const struct volume *v, enum pool_verb verb, uint64_t size_bytes,
		      struct err *e);
int __wrap_remote_ask(const struct volume *v, enum pool_verb verb, uint64_t size_bytes,
		      struct err *e)
{
	char path[160];
	int fd = -1, r = 0;

	if (verb == POOL_SERVE || verb == POOL_STOP) {
		world.served = verb == POOL_SERVE;
		return 0;
	}
	step_take();
	if (cluster_down)
		return err_set(e, EHOSTDOWN, "the cluster is down");
	snprintf(path, sizeof(path), "images/%s.%s", v->name, v->image);
	if (verb == POOL_REMOVE)
		r = unlink(path) < 0 && errno != ENOENT;
	else
		fd = open(path, O_WRONLY | (verb == POOL_CREATE ? O_CREAT : 0) | O_CLOEXEC, 0600);
	if (verb != POOL_REMOVE && (fd < 0 || ftruncate(fd, (off_t)size_bytes) < 0))
		r = -1;
	close_fdp(&fd);
	step_take();
	return r ? err_set(e, EIO, "image %s", strerror(errno)) : 0;
}

int __wrap_client_attach(const struct wire_attach *req, int place_fd, const int *files,
			 unsigned int nr_files, int timeout_ms, struct wire_reply *ret,
			 struct wire_timing *ret_timing, struct err *e);
int __wrap_client_attach(const struct wire_attach *req, int place_fd, const int *files,
			 unsigned int nr_files, int timeout_ms, struct wire_reply *ret,
			 struct wire_timing *ret_timing, struct err *e)
{
	assert_true(world.served);
	return world.attach ? err_set(e, -world.attach, "the helper's word") : 0;
}

int __wrap_client_list(struct client_devices *ret, int timeout_ms, struct err *e);
int __wrap_client_list(struct client_devices *ret, int timeout_ms, struct err *e)
{
	if (world.quiet)
		return err_set(e, ECONNREFUSED, "cannot reach the helper");
	if (!world.there)
		return 0;
	ret->rows = calloc(1, sizeof(*ret->rows));
	assert_non_null(ret->rows);
	ret->nr = 1;
	ret->rows[0].flags = WIRE_AHEAD;
	ret->rows[0].peer_uid = geteuid();
	strcpy(ret->rows[0].path, "/dev/a");
	return 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e = { "" };
	char text[512];

	assert_non_null(f);
	strcpy(f->dir, "/tmp/test_store_remote-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chdir(f->dir), 0);
	assert_int_equal(mkdir("pool", 0700), 0);
	assert_int_equal(mkdir("files", 0700), 0);
	assert_int_equal(mkdir("images", 0700), 0);
	snprintf(text, sizeof(text),
		 "{ \"version\": 1, \"worker_ids\": { \"first\": 910000, \"count\": 1 }, "
		 "\"rules\": [], \"pools\": [ { \"name\": \"far\", \"path\": \"%s/pool\", "
		 "\"backend\": \"rbd\" }, { \"name\": \"near\", \"path\": \"%s/files\" } ] }",
		 f->dir, f->dir);
	f->policy = policy_of(text);
	if (pools_open(&f->pools, f->policy, &e) < 0)
		fail_msg("%s", e.text);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];

	cluster_down = false;
	pools_close(&f->pools);
	policy_free(f->policy);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static struct volume a_volume(const struct fixture *f, const char *name)
{
	struct volume v = { .size_bytes = MIB, .owner_uid = 1000, .created = 7 };
	struct err e = { "" };

	strcpy(v.name, name);
	if (remote_begin(&v, pools_at(&f->pools, 0), &e) < 0)
		fail_msg("%s", e.text);
	return v;
}

static int make(const struct fixture *f, const char *name, struct err *e)
{
	auto_making struct making m = MAKING_INIT;
	struct volume v = a_volume(f, name);
	int r = making_begin(&m, &f->pools, 0, &v, e);

	if (r == 0)
		r = making_create(&m, e);
	return r < 0 ? r : making_finish(&m, e);
}

static int nr_of(const char *dir)
{
	auto_closedir DIR *d = opendir(dir);
	struct dirent *entry;
	int nr = 0;

	assert_non_null(d);
	while ((entry = readdir(d)))
		nr += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	return nr;
}

static bool there(const struct fixture *f, struct place *ret)
{
	struct err e = { "" };
	int r = pools_find(&f->pools, "a", LOCK_EX, ret, &e);

	if (r < 0 && r != -ENOENT)
		fail_msg("%s", e.text);
	return r == 0;
}

static void must_remove(const struct fixture *f, const struct place *p)
{
	struct err e = { "" };

	if (change_remove(&f->pools, p, false, NULL, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(nr_of("pool"), 0);
	assert_int_equal(nr_of("images"), 0);
}

static void run_make(const struct fixture *f)
{
	struct err e;

	if (make(f, "a", &e) < 0)
		_exit(1);
}

static void run_remove(const struct fixture *f)
{
	auto_place struct place p = PLACE_INIT;
	struct err e;

	if (!there(f, &p) || change_remove(&f->pools, &p, false, NULL, &e) < 0)
		_exit(1);
}

static void run_grow(const struct fixture *f)
{
	auto_place struct place p = PLACE_INIT;
	struct err e;

	if (!there(f, &p) || change_reserve(&p, 2 * MIB, &e) < 0 ||
	    change_grow(&p, 2 * MIB, &e) < 0)
		_exit(1);
}

static void test_it_has_no_data_of_its_own(void **state)
{
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT;
	struct volume v;
	struct err e;

	assert_int_equal(make(f, "a", &e), 0);
	assert_true(there(f, &p));
	assert_string_equal(p.volume.backend, "rbd");
	assert_int_equal(strlen(p.volume.image), VOLUME_IMAGE_LENGTH);
	assert_int_equal(faccessat(p.dir_fd, VOLUME_DATA, F_OK, 0), -1);
	v = a_volume(f, "b");
	assert_string_not_equal(v.image, p.volume.image);
	assert_int_equal(nr_of("images"), 1);
	must_remove(f, &p);
}

static void test_a_record_names_both_or_none(void **state)
{
	static const char *const wrong[][2] = {
		{ "\"rbd\"", "\"\"" },
		{ "\"rbd\"", "\"../rbd\"" },
		{ "\"0123456789abcdef\"", "\"0123456789abcde\"" },
		{ "\"0123456789abcdef\"", "\"0123456789abcdeF\"" },
		{ "\"0123456789abcdef\"", "\"0123456789abc/ef\"" },
		{ ",\n\t\"backend\": \"rbd\"", "" },
		{ ",\n\t\"image\": \"0123456789abcdef\"", "" },
		{ "\"growing_bytes\": 8192", "\"growing_bytes\": 0" },
		{ "\"growing_bytes\": 8192", "\"growing_bytes\": 8191" },
		{ "\"growing_bytes\": 8192", "\"growing_bytes\": \"8192\"" },
	};
	struct volume v = { .name = "a", .size_bytes = MIB, .backend = "rbd" }, got;
	char text[VOLUME_TEXT_MAX], changed[VOLUME_TEXT_MAX];
	struct err e;
	size_t size;

	strcpy(v.image, "0123456789abcdef");
	v.growing_bytes = 8192;
	size = volume_format(&v, text);
	assert_int_equal(volume_parse(&got, text, size, &e), 0);
	assert_memory_equal(&got, &v, sizeof(v));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		const char *at = strstr(text, wrong[i][0]);

		assert_non_null(at);
		snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, wrong[i][1],
			 at + strlen(wrong[i][0]));
		if (volume_parse(&got, changed, strlen(changed), &e) != -EINVAL)
			fail_msg("%s", changed);
	}
	/* The longest there is has room. */
	memset(v.name, 'n', sizeof(v.name) - 1);
	memset(v.origin, 'o', sizeof(v.origin) - 1);
	memset(v.backend, 'b', sizeof(v.backend) - 1);
	memset(v.found, 'f', sizeof(v.found) - 1);
	v.filesystem = v.formatting = FILESYSTEM_BTRFS;
	v.size_bytes = v.growing_bytes = VOLUME_BYTES_MAX;
	v.created = INT64_MAX;
	v.owner_uid = UINT32_MAX - 1;
	size = volume_format(&v, text);
	assert_true(size < VOLUME_TEXT_MAX);
	assert_int_equal(volume_parse(&got, text, size, &e), 0);
}

static void test_what_can_be_asked_of_it(void **state)
{
	struct fixture *f = *state;
	struct volume v = a_volume(f, "a"), file = v;
	struct err e;

	for (unsigned int type = STORE_LIST; type < STORE_END; type++) {
		bool looks = type == STORE_FORMAT || type == STORE_CHECK || type == STORE_EXPORT ||
			     type == STORE_SNAPSHOT || type == STORE_LIST || type == STORE_CAPACITY;

		assert_int_equal(remote_check(&v, pools_at(&f->pools, 0), type, &e),
				 looks ? -EOPNOTSUPP : 0);
	}
	*file.backend = '\0';
	assert_int_equal(remote_check(&file, pools_at(&f->pools, 1), STORE_CHECK, &e), 0);
	/* A policy that came to say something else of its pool. */
	assert_int_equal(remote_check(&v, pools_at(&f->pools, 1), STORE_INSPECT, &e), -EINVAL);
	assert_int_equal(remote_check(&file, pools_at(&f->pools, 0), STORE_INSPECT, &e), -EINVAL);
}

static void test_its_pool_is_as_large_as_its_capacity(void **state)
{
	struct fixture *f = *state;
	struct pools_sum sum = { 0 };
	uint64_t room = 0;
	struct err e;

	assert_int_equal(pools_room(&f->pools, 0, &sum, &room, &e), 0);
	assert_true(room == (uint64_t)VOLUME_BYTES_MAX);
}

static void test_killed_while_it_is_made(void **state)
{
	struct fixture *f = *state;
	bool ended = false;
	int left = 0;

	for (int n = 0; !ended; n++) {
		auto_place struct place p = PLACE_INIT;

		assert_true(n < STEPS_MAX);
		ended = run_killed(f, n, run_make);
		left += nr_of("images");
		assert_true(nr_of("images") <= nr_of("pool"));
		pools_sweep(&f->pools);
		if (there(f, &p)) {
			assert_int_equal(nr_of("images"), 1);
			must_remove(f, &p);
		}
		assert_true(!ended || p.dir_fd >= 0);
		assert_int_equal(nr_of("pool"), 0);
		assert_int_equal(nr_of("images"), 0);
	}
	assert_true(left > 1); /* some were killed with an image */
}

static void test_killed_while_it_is_removed(void **state)
{
	struct fixture *f = *state;
	bool ended = false;

	for (int n = 0; !ended; n++) {
		auto_place struct place p = PLACE_INIT;
		struct err e;

		assert_true(n < STEPS_MAX);
		assert_int_equal(make(f, "a", &e), 0);
		ended = run_killed(f, n, run_remove);
		if (there(f, &p)) {
			assert_false(ended);
			assert_int_equal(nr_of("images"), 1);
			must_remove(f, &p);
		}
		pools_sweep_one(&f->pools, 0);
		assert_int_equal(nr_of("pool"), 0);
		assert_int_equal(nr_of("images"), 0);
	}
}

static void test_killed_while_it_grows(void **state)
{
	struct fixture *f = *state;
	bool ended = false;

	for (int n = 0; !ended; n++) {
		auto_place struct place p = PLACE_INIT;
		char path[160];
		struct stat st;
		struct err e;

		assert_true(n < STEPS_MAX);
		assert_int_equal(make(f, "a", &e), 0);
		ended = run_killed(f, n, run_grow);
		assert_true(there(f, &p));
		snprintf(path, sizeof(path), "images/a.%s", p.volume.image);
		assert_int_equal(stat(path, &st), 0);
		assert_true((uint64_t)st.st_size >= p.volume.size_bytes);
		assert_true(!ended || p.volume.size_bytes == 2 * MIB);
		assert_int_equal(change_grow(&p, 2 * MIB, &e), 0);
		must_remove(f, &p);
	}
}

static struct making *finishing;

static void finish_it(const char *name, bool after)
{
	struct err e = { "" };

	if (strcmp(name, POOLS_NEW "a") || !after)
		return;
	step_open = NULL;
	if (making_finish(finishing, &e) < 0)
		fail_msg("%s", e.text);
}

/* Between what a sweep opens and what it locks. */
static void test_finished_while_it_is_swept(void **state)
{
	struct fixture *f = *state;
	auto_making struct making m = MAKING_INIT;
	auto_place struct place p = PLACE_INIT;
	struct volume v = a_volume(f, "a");
	struct err e = { "" };

	if (making_begin(&m, &f->pools, 0, &v, &e) < 0 || making_create(&m, &e) < 0)
		fail_msg("%s", e.text);
	finishing = &m;
	step_open = finish_it;
	pools_sweep_one(&f->pools, 0);
	assert_null(step_open);
	assert_true(there(f, &p));
	assert_int_equal(nr_of("images"), 1);
	must_remove(f, &p);
}

/* What is left while the back end is down is not forgotten, and nobody waits with the pools locked.
 */
static void test_a_back_end_that_is_down(void **state)
{
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT, q = PLACE_INIT;
	struct err e;

	assert_int_equal(make(f, "a", &e), 0);
	cluster_down = true;
	assert_true(there(f, &p));
	assert_int_equal(change_remove(&f->pools, &p, false, NULL, &e), -EHOSTDOWN);
	assert_false(there(f, &q));
	assert_int_equal(make(f, "a", &e), -EHOSTDOWN);
	assert_int_equal(make(f, "a", &e), -EAGAIN);
	assert_non_null(strstr(e.text, "half made"));
	place_close(&p);
	pools_sweep(&f->pools);
	assert_int_equal(nr_of("pool"), 2);
	cluster_down = false;
	pools_sweep(&f->pools);
	assert_int_equal(nr_of("pool"), 0);
	assert_int_equal(nr_of("images"), 0);
}

/* Others that grow meanwhile do not have the same room again. */
static void test_what_it_grows_by_counts_meanwhile(void **state)
{
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT;
	struct pools_sum sum;
	struct err e;

	assert_int_equal(make(f, "a", &e), 0);
	assert_true(there(f, &p));
	assert_int_equal(change_reserve(&p, 3 * MIB, &e), 0);
	assert_int_equal(pools_count(&f->pools, 0, NULL, &sum, &e), 0);
	assert_true(sum.pool_bytes == 3 * MIB && sum.all_bytes == 3 * MIB);
	assert_true(p.volume.size_bytes == MIB);
	cluster_down = true;
	assert_int_equal(change_grow(&p, 3 * MIB, &e), -EHOSTDOWN);
	assert_int_equal(pools_count(&f->pools, 0, NULL, &sum, &e), 0);
	assert_true(sum.pool_bytes == MIB);
	cluster_down = false;
	assert_int_equal(change_reserve(&p, 3 * MIB, &e), 0);
	assert_int_equal(change_grow(&p, 3 * MIB, &e), 0);
	assert_true(p.volume.size_bytes == 3 * MIB && !p.volume.growing_bytes);
	must_remove(f, &p);
}

/* A record that cannot be read may be all that names an image. */
static void test_a_record_that_cannot_be_read_stays(void **state)
{
	static const char *const records[] = { "pool/.new-a/volume.json",
					       "pool/.gone-1/volume.json" };
	struct fixture *f = *state;
	struct err e;

	cluster_down = true;
	assert_int_equal(make(f, "a", &e), -EHOSTDOWN);
	cluster_down = false;
	assert_int_equal(mkdir("pool/.gone-1", 0700), 0);
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		auto_close int fd =
			open(records[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		assert_int_equal(write(fd, "{}", 2), 2);
	}
	pools_sweep(&f->pools);
	assert_int_equal(nr_of("pool"), 2);
	assert_int_equal(make(f, "a", &e), -EINVAL);
	assert_non_null(strstr(e.text, ".new-a: volume.json is not as"));
	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		assert_int_equal(unlink(records[i]), 0);
	pools_sweep(&f->pools);
	assert_int_equal(nr_of("pool"), 0);
}

/* A back end has room for so many servers. What a device may have, or come to have, stays. */
static void test_what_gets_no_device_is_not_served(void **state)
{
	static const struct {
		int attach;
		bool there, quiet, served;
	} rows[] = {
		{ 0, true, false, true },	    { -EPERM, false, false, false },
		{ -EBUSY, false, false, false },    { -EPERM, true, false, true },
		{ -EPERM, false, true, true },	    { -EEXIST, true, false, true },
		{ -ETIMEDOUT, false, false, true }, { -ECONNRESET, false, false, true },
	};
	struct place p = PLACE_INIT;

	p.volume = a_volume(*state, "a");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct store_ask ask = { .name = "a" };
		struct wire_reply reply;
		struct err e = { "" };

		world.served = false;
		world.attach = rows[i].attach;
		world.there = rows[i].there;
		world.quiet = rows[i].quiet;
		assert_int_equal(device_attach(&p, &ask, &reply, &e), rows[i].attach);
		assert_string_equal(e.text, rows[i].attach ? "the helper's word" : "");
		if (world.served != rows[i].served)
			fail_msg("row %zu: %s", i, world.served ? "served" : "stopped");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_it_has_no_data_of_its_own),
		cmocka_unit_test(test_a_record_names_both_or_none),
		TEST(test_what_can_be_asked_of_it),
		TEST(test_its_pool_is_as_large_as_its_capacity),
		TEST(test_killed_while_it_is_made),
		TEST(test_killed_while_it_is_removed),
		TEST(test_killed_while_it_grows),
		TEST(test_finished_while_it_is_swept),
		TEST(test_a_back_end_that_is_down),
		TEST(test_what_it_grows_by_counts_meanwhile),
		TEST(test_a_record_that_cannot_be_read_stays),
		TEST(test_what_gets_no_device_is_not_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
