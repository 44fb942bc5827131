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
#include "driver/privileged/cgroup.h"
#include "driver/privileged/registry.h"
#include "targets/catalog.h"
#include "targets/image_format.h"
#include "tests/unit/policy_of.h"
#include "tests/unit/registry_fixture.h"

static const char rules[] =
	"{\"version\":1,\"worker_ids\":{\"first\":910000,\"count\":2},\"rules\":["
	"{\"id\":\"all\",\"principal\":{\"any\":true},\"targets\":[\"memory\",\"file\",\"cow\"],"
	"\"backing\":[\"/srv/\"],\"max_size\":\"1G\",\"max_devices_per_container\":2},"
	"{\"id\":\"host\",\"principal\":{\"any\":true},\"host\":true,\"may\":[\"mount\"],"
	"\"targets\":[\"file\"],\"backing\":[\"/srv/\"],\"max_size\":\"1G\","
	"\"mount\":{\"under\":[\"/srv/\"],\"filesystems\":[\"ext4\"]}}]}";

static int setup(void **state)
{
	return registry_fixture_begin(state, rules);
}

static struct record claim(int container, const char *path)
{
	struct record rec = registry_fixture_record();

	rec.container_pid = container;
	rec.container_start = 7;
	strcpy(rec.path, path);
	return rec;
}

static struct record host_mount(const char *path)
{
	struct record rec = claim(0, path);

	rec.flags = WIRE_HOST;
	rec.target = TARGET_FILE;
	rec.filesystem = FILESYSTEM_EXT4;
	rec.backing_dev = 7;
	rec.backing_inode = 8;
	strcpy(rec.backing, "/srv/images/a.img");
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

/* Whose directory it is says what is mounted there; devices of the host have no place. */
static void test_a_directory_of_the_host_has_one_mount(void **state)
{
	struct fixture *f = *state;
	struct record first = host_mount("/srv/a"), other = host_mount("/srv/a");
	struct record device = host_mount(""), inside = host_mount("/srv/a");

	assert_int_equal(reserve(f, &first), 0);
	make_live(f, &first);
	assert_int_equal(reserve(f, &other), -EALREADY);
	assert_true(other.generation == first.generation);
	other = host_mount("/srv/a");
	other.peer_uid = 5;
	assert_int_equal(reserve(f, &other), -EEXIST);
	other = host_mount("/srv/a");
	other.backing_inode = 9;
	assert_int_equal(reserve(f, &other), -EEXIST);
	other = host_mount("/srv/b");
	assert_int_equal(reserve(f, &other), -EBUSY); /* the file is mounted elsewhere */
	device.filesystem = FILESYSTEM_NONE;
	inside.flags = 0;
	inside.container_pid = 100;
	assert_false(registry_same_place(&first, &device));
	assert_false(registry_same_place(&device, &device));
	assert_false(registry_same_place(&first, &inside));
	assert_true(record_is_placed(&first) && record_is_placed(&inside));
	assert_false(record_is_placed(&device));
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

static struct record delta_claim(int container, const char *path, uint64_t delta, uint64_t base)
{
	struct record rec = claim(container, path);

	rec.target = TARGET_COW;
	rec.backing_dev = rec.base_dev = 1;
	rec.backing_inode = delta;
	rec.base_inode = base;
	strcpy(rec.backing, "/srv/delta");
	strcpy(rec.base, "/srv/base");
	return rec;
}

static void test_many_share_a_base_that_nobody_writes(void **state)
{
	struct fixture *f = *state;
	struct record a = delta_claim(100, "/dev/a", 10, 20),
		      b = delta_claim(101, "/dev/b", 11, 20);
	struct record same = delta_claim(102, "/dev/c", 10, 20);
	struct record over_a = delta_claim(102, "/dev/c", 12, 10);
	struct record writes = claim(102, "/dev/c"), reads = claim(102, "/dev/d");

	assert_int_equal(reserve(f, &a), 0);
	assert_int_equal(reserve(f, &b), 0);
	assert_int_equal(reserve(f, &same), -EBUSY);
	assert_int_equal(reserve(f, &over_a), -EBUSY); /* a delta that is written is no base */
	writes.target = reads.target = TARGET_FILE;
	writes.backing_dev = reads.backing_dev = 1;
	writes.backing_inode = reads.backing_inode = 20;
	strcpy(writes.backing, "/srv/base");
	strcpy(reads.backing, "/srv/base");
	reads.flags = WIRE_READ_ONLY;
	assert_int_equal(reserve(f, &writes), -EBUSY);
	registry_drop(&f->reg, b.generation, NULL); /* there are two uids */
	assert_int_equal(reserve(f, &reads), 0);
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

static const char growing[] =
	"{\"version\":1,\"worker_ids\":{\"first\":910000,\"count\":2},\"rules\":["
	"{\"id\":\"all\",\"principal\":{\"any\":true},\"may\":[\"attach\",\"resize\"],"
	"\"targets\":[\"memory\"],\"max_size\":\"3M\",\"max_devices_per_container\":2,"
	"\"max_bytes\":\"5M\"}]}";

static int grow(struct fixture *f, const struct record *rec, uint64_t bytes, pid_t op_pid)
{
	const struct registry_peer peer = { .uid = 0, .op_pid = op_pid };
	struct record larger = *rec;
	struct err e;

	larger.size_bytes = bytes;
	return registry_grow(&f->reg, &peer, &larger, &e);
}

static void test_a_device_grows_within_its_rule(void **state)
{
	struct fixture *f = *state;
	struct record a = claim(100, "/dev/a"), b = claim(101, "/dev/b"), c = a;
	struct policy *policy = policy_of(growing);
	struct err e;

	assert_int_equal(reserve(f, &a), 0);
	assert_int_equal(reserve(f, &b), 0);
	make_live(f, &a);
	make_live(f, &b);
	assert_int_equal(registry_take(&f->reg, a.generation, 5, &a, &e), 0);
	assert_int_equal(registry_take(&f->reg, b.generation, 6, &b, &e), 0);
	/* The rule that gave it may not. */
	assert_int_equal(grow(f, &a, 2 << 20, 5), -EPERM);
	f->reg.policy = policy;
	assert_int_equal(grow(f, &a, 4 << 20, 5), -EPERM);
	assert_int_equal(grow(f, &a, 2 << 20, 6), -ENOENT); /* not theirs */
	/* Its own old size does not count beside the new one; what another is about to have does.
	 */
	assert_int_equal(grow(f, &a, 3 << 20, 5), 0);
	assert_true(registry_find(&f->reg, a.generation)->rec.size_bytes == 1 << 20);
	assert_int_equal(grow(f, &b, 3 << 20, 6), -EPERM);
	assert_int_equal(grow(f, &b, 2 << 20, 6), 0);
	assert_true(registry_claim(&f->reg, &(struct registry_peer){ 0 }, &c).bytes_in_all ==
		    5 << 20);
	/* It has become larger, or has not. */
	a.size_bytes = 3 << 20;
	assert_int_equal(registry_update(&f->reg, &a, &e), 0);
	assert_int_equal(registry_update(&f->reg, &b, &e), 0);
	assert_true(registry_claim(&f->reg, &(struct registry_peer){ 0 }, &c).bytes_in_all ==
		    4 << 20);
	assert_true(audit.nr_lines == 7);
	f->reg.policy = f->policy;
	policy_free(policy);
}

/* Until its back end has said how large an image is, it may be any size that its rule allows. */
static void test_a_size_that_only_a_back_end_knows(void **state)
{
	struct fixture *f = *state;
	struct record a = claim(100, "/dev/a");
	struct policy *policy = policy_of(
		"{\"version\":1,\"worker_ids\":{\"first\":910000,\"count\":2},\"rules\":["
		"{\"id\":\"all\",\"principal\":{\"any\":true},\"targets\":[\"image\",\"file\"],"
		"\"formats\":[\"qcow2\"],\"backing\":[\"/i/"
		"\"],\"max_size\":\"3M\",\"max_devices_per_container\":2}]}");

	f->reg.policy = policy;
	a.size_bytes = 0;
	strcpy(a.backing, "/i/a");
	a.target = TARGET_FILE;
	assert_int_equal(reserve(f, &a), -EPERM);
	a.target = TARGET_IMAGE;
	a.nbd.format = IMAGE_QCOW2;
	a.logical_block_bytes = 512;
	assert_int_equal(reserve(f, &a), 0);
	assert_int_equal(registry_find(&f->reg, a.generation)->rec.size_bytes, 0);
	/* The right to attach is enough, and to resize none is needed. */
	assert_int_equal(grow(f, &a, 4 << 20, 1), -EPERM);
	assert_int_equal(grow(f, &a, 3 << 20, 1), 0);
	f->reg.policy = f->policy;
	policy_free(policy);
}

/* What a small one is given is not given to a large one, which another rule allows. */
static void test_a_size_is_given_by_the_rule_that_allows_it(void **state)
{
	static const struct registry_peer peer = { .uid = 0, .op_pid = 1 };
	struct fixture *f = *state;
	struct record a = claim(100, "/dev/a");
	struct policy *policy =
		policy_of("{\"version\":1,\"worker_ids\":{\"first\":910000,\"count\":2},\"rules\":["
			  "{\"id\":\"small\",\"principal\":{\"any\":true},\"targets\":[\"image\"],"
			  "\"formats\":[\"qcow2\"],\"backing\":[\"/i/\"],\"discard\":true,"
			  "\"max_size\":\"1M\",\"max_devices_per_container\":2},"
			  "{\"id\":\"large\",\"principal\":{\"any\":true},\"targets\":[\"image\"],"
			  "\"formats\":[\"qcow2\"],\"backing\":[\"/i/\"],\"discard\":false,"
			  "\"io\":{\"write_bytes\":\"4M\"},"
			  "\"max_size\":\"3M\",\"max_devices_per_container\":2}]}");
	struct err e;

	f->reg.policy = policy;
	a.size_bytes = 0;
	strcpy(a.backing, "/i/a");
	a.target = TARGET_IMAGE;
	a.nbd.format = IMAGE_QCOW2;
	a.logical_block_bytes = 512;
	assert_int_equal(reserve(f, &a), 0);
	assert_string_equal(a.rule, "small");
	assert_true(a.grants == RECORD_DISCARD && !a.io.write_bytes);
	a.size_bytes = 3 << 20;
	assert_int_equal(registry_grow(&f->reg, &peer, &a, &e), 0);
	assert_string_equal(a.rule, "large");
	assert_true(a.grants == RECORD_IO_LIMITS && a.io.write_bytes == 4 << 20);
	/* What is there keeps what it was given. */
	a.size_bytes = 1 << 20;
	make_live(f, &a);
	f->reg.policy = policy_of(growing);
	assert_int_equal(registry_take(&f->reg, a.generation, 1, &a, &e), 0);
	a.target = TARGET_MEMORY;
	a.nbd.format = 0;
	*a.backing = '\0';
	assert_int_equal(registry_grow(&f->reg, &peer, &a, &e), 0);
	assert_string_equal(a.rule, "large");
	policy_free((struct policy *)f->reg.policy);
	f->reg.policy = f->policy;
	policy_free(policy);
}

static void test_what_is_not_on_record_is_not_given(void **state)
{
	struct fixture *f = *state;
	struct record a = claim(100, "/dev/a");

	audit.r = -ENOSPC;
	assert_int_equal(reserve(f, &a), -ENOSPC);
	assert_int_equal(f->reg.nr_devices, 0);
	audit.r = 0;
	assert_int_equal(reserve(f, &a), 0);
	assert_int_equal(audit.nr_lines, 2);
}

static const char granting[] =
	"{\"version\":1,\"worker_ids\":{\"first\":910000,\"count\":2},\"rules\":["
	"{\"id\":\"slow\",\"principal\":{\"any\":true},\"targets\":[\"memory\"],"
	"\"max_size\":\"1G\",\"max_devices_per_container\":2,\"access\":\"ro\",\"discard\":false,"
	"\"io\":{\"write_bytes\":\"4M\",\"read_ops\":10}},"
	"{\"id\":\"plain\",\"principal\":{\"any\":true},\"targets\":[\"memory\"],"
	"\"max_size\":\"1G\",\"max_devices_per_container\":2,\"discard\":true}]}";

static void test_what_the_rule_gives_is_in_the_record(void **state)
{
	struct fixture *f = *state;
	struct policy *policy = policy_of(granting);
	struct record a = claim(100, "/dev/a"), b = claim(100, "/dev/b");

	f->reg.policy = policy;
	a.flags = WIRE_READ_ONLY;
	a.grants = RECORD_GRANTS_ALL; /* what was there before does not count */
	assert_int_equal(reserve(f, &a), 0);
	assert_string_equal(a.rule, "slow");
	assert_int_equal(a.grants, RECORD_IO_LIMITS);
	assert_true(!a.io.read_bytes && a.io.write_bytes == 4 << 20 && a.io.read_ops == 10 &&
		    !a.io.write_ops);
	b.io.read_bytes = 1;
	assert_int_equal(reserve(f, &b), 0);
	assert_string_equal(b.rule, "plain");
	assert_int_equal(b.grants, RECORD_DISCARD);
	assert_true(!b.io.read_bytes && !b.io.write_bytes);
	assert_true(journal_record_ok(&a) && journal_record_ok(&b));
	f->reg.policy = f->policy;
	policy_free(policy);
}

static void test_the_policy_is_told_every_fact(void **state)
{
	static const uint32_t gids[] = { 7, 8 };
	const struct registry_peer peer = { .uid = 1000, .gids = gids, .nr_gids = 2 };
	struct fixture *f = *state;
	struct record rec = claim(100, "/dev/a");
	struct policy_claim c;

	rec.target = TARGET_FILE;
	rec.flags = WIRE_READ_ONLY;
	rec.container_uid = 1001;
	rec.backing_uid = 1002;
	strcpy(rec.container_cgroup, "/a/b");
	strcpy(rec.backing, "/srv/x");
	c = registry_claim(&f->reg, &peer, &rec);
	assert_int_equal(c.act, POLICY_ATTACH);
	assert_int_equal(c.uid, 1000);
	assert_ptr_equal(c.gids, gids);
	assert_int_equal(c.nr_gids, 2);
	assert_false(c.host);
	assert_string_equal(c.cgroup, "/a/b");
	assert_int_equal(c.owner_uid, 1001);
	assert_int_equal(c.target, TARGET_FILE);
	assert_true(c.read_only);
	assert_int_equal(c.size_bytes, 1 << 20);
	assert_string_equal(c.backing, "/srv/x");
	assert_int_equal(c.backing_uid, 1002);
	assert_int_equal(c.nr_queues, 2);
	assert_int_equal(c.depth, 32);
	assert_null(c.address);
	assert_null(c.pool);
	assert_null(c.mount_path);
	assert_false(c.zero_copy);
}

/* Nobody owns what is not there: a rule for uid 0 must not be met by an empty field. */
static void test_what_is_not_there_belongs_to_nobody(void **state)
{
	const struct registry_peer peer = { .uid = 1000 };
	struct fixture *f = *state;
	struct record rec = claim(100, "/dev/a");
	struct policy_claim c = registry_claim(&f->reg, &peer, &rec);

	assert_null(c.cgroup);
	assert_null(c.backing);
	assert_int_equal(c.backing_uid, UINT32_MAX);
	rec.flags = WIRE_HOST;
	strcpy(rec.container_cgroup, "/a/b");
	c = registry_claim(&f->reg, &peer, &rec);
	assert_true(c.host);
	assert_null(c.cgroup);
	assert_int_equal(c.owner_uid, UINT32_MAX);
	assert_int_equal(c.act, POLICY_ATTACH);
	assert_null(c.mount_path);
}

static void test_the_policy_is_told_where_the_host_mounts(void **state)
{
	const struct registry_peer root = { .uid = 0 }, user = { .uid = 1000 };
	struct fixture *f = *state;
	struct record rec = host_mount("/srv/a");
	struct policy_claim c = registry_claim(&f->reg, &root, &rec);

	assert_int_equal(c.act, POLICY_MOUNT);
	assert_true(c.host);
	assert_string_equal(c.mount_path, "/srv/a");
	assert_string_equal(c.mount_filesystem, "ext4");
	assert_false(c.raw_writers);
	assert_true(registry_claim(&f->reg, &user, &rec).raw_writers);
	rec.raw_writers = true;
	assert_true(registry_claim(&f->reg, &root, &rec).raw_writers);
}

static void test_devices_and_bytes_are_counted_by_container_and_in_all(void **state)
{
	const struct registry_peer peer = { .uid = 0 };
	struct fixture *f = *state;
	struct record a = claim(100, "/dev/a"), b = claim(101, "/dev/a"), c = claim(100, "/dev/b");
	struct policy_claim ask;

	b.size_bytes = 4096;
	assert_int_equal(reserve(f, &a), 0);
	assert_int_equal(reserve(f, &b), 0);
	ask = registry_claim(&f->reg, &peer, &c);
	assert_int_equal(ask.devices_in_container, 1);
	assert_int_equal(ask.devices_in_all, 2);
	assert_true(ask.bytes_in_container == 1 << 20);
	assert_true(ask.bytes_in_all == (1 << 20) + 4096);
	f->reg.devices[0]->rec.size_bytes = INT64_MAX;
	f->reg.devices[1]->rec.size_bytes = INT64_MAX;
	ask = registry_claim(&f->reg, &peer, &c);
	assert_true(ask.bytes_in_all == UINT64_MAX - 1);
	f->reg.devices[1]->rec.size_bytes = UINT64_MAX;
	assert_true(registry_claim(&f->reg, &peer, &c).bytes_in_all == UINT64_MAX);
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

static void test_a_record_says_nothing_it_was_not_given(void **state)
{
	struct fixture *f = *state;
	struct record good = claim(100, "/dev/a"), bad;

	assert_int_equal(reserve(f, &good), 0);
	assert_true(journal_record_ok(&good));
#define BAD(change)                                                                                \
	do {                                                                                       \
		bad = good;                                                                        \
		change;                                                                            \
		assert_false(journal_record_ok(&bad));                                             \
	} while (0)
	BAD(bad.grants |= RECORD_GRANTS_ALL + 1);
	BAD(bad.grants |= RECORD_IO_LIMITS); /* without a limit */
	BAD(bad.io.read_ops = 1);	     /* without the grant */
	BAD(bad.io.write_ops = 1; bad.grants |= RECORD_IO_LIMITS; bad.flags |= WIRE_HOST);
	BAD(strcpy(bad.container_cgroup, "a/b"));
	BAD(strcpy(bad.container_cgroup, "/a/../b"));
	BAD(memset(bad.container_cgroup, '/', sizeof(bad.container_cgroup)));
	BAD(bad.container_cgroup[sizeof(bad.container_cgroup) - 1] = 'x');
#undef BAD
	strcpy(good.container_cgroup, "/a/b");
	good.io.write_bytes = 1;
	good.grants |= RECORD_IO_LIMITS;
	assert_true(journal_record_ok(&good));
	good.backing_dev = 1;
	good.grants |= RECORD_IO_BEHIND;
	assert_true(journal_record_ok(&good));
	good.backing_dev = 0; /* limited on no disk */
	assert_false(journal_record_ok(&good));
}

static void test_a_worker_has_two_cgroups(void **state)
{
	struct fixture *f = *state;
	struct record rec = claim(100, "/dev/a"), first, second;

	assert_int_equal(reserve(f, &rec), 0);
	assert_int_equal(registry_name_cgroup(&rec, "/sys/fs/cgroup/ublk-oci", NULL), 0);
	first = rec;
	cgroup_other(rec.cgroup);
	second = rec;
	assert_true(journal_record_ok(&second));
	assert_string_not_equal(second.cgroup, first.cgroup);
	/* Of other devices' none begins like it and goes on. */
	assert_memory_equal(second.cgroup, first.cgroup, strlen(first.cgroup));
	cgroup_other(rec.cgroup);
	assert_memory_equal(rec.cgroup, first.cgroup, sizeof(rec.cgroup));
	cgroup_other(rec.cgroup);
	assert_memory_equal(rec.cgroup, second.cgroup, sizeof(rec.cgroup));
	/* There is room for both, or for none. */
	memset(rec.cgroup, 0, sizeof(rec.cgroup));
	for (size_t n = 0; n < sizeof(rec.cgroup); n++) {
		char base[CGROUP_PATH_SIZE] = "";

		memset(base, 'x', n);
		if (registry_name_cgroup(&rec, base, NULL) < 0)
			continue;
		first = rec;
		cgroup_other(rec.cgroup);
		assert_string_not_equal(rec.cgroup, first.cgroup);
	}
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, registry_fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_same_attach_twice_is_one),
		TEST(test_a_different_attach_at_the_same_path_is_refused),
		TEST(test_a_directory_of_the_host_has_one_mount),
		TEST(test_a_container_whose_pid_is_reused_is_another),
		TEST(test_a_backing_file_has_one_writer_or_only_readers),
		TEST(test_many_share_a_base_that_nobody_writes),
		TEST(test_limits_count_what_is_reserved),
		TEST(test_a_device_grows_within_its_rule),
		TEST(test_a_size_that_only_a_back_end_knows),
		TEST(test_a_size_is_given_by_the_rule_that_allows_it),
		TEST(test_what_is_not_on_record_is_not_given),
		TEST(test_what_the_rule_gives_is_in_the_record),
		TEST(test_the_policy_is_told_every_fact),
		TEST(test_what_is_not_there_belongs_to_nobody),
		TEST(test_the_policy_is_told_where_the_host_mounts),
		TEST(test_devices_and_bytes_are_counted_by_container_and_in_all),
		TEST(test_workers_of_one_container_share_a_uid_nobody_else_has),
		TEST(test_numbers_are_the_lowest_free),
		TEST(test_one_at_a_time_undoes_a_device),
		TEST(test_the_journal_has_what_the_registry_has),
		TEST(test_a_record_says_nothing_it_was_not_given),
		TEST(test_a_worker_has_two_cgroups),
		TEST(test_a_spoiled_record_is_set_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
