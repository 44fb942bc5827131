/* SPDX-License-Identifier: Apache-2.0 */
/* Which container gets a device that was made ahead, and what engines read of it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/cdi.h"
#include "driver/privileged/claims.h"
#include "targets/catalog.h"
#include "tests/unit/registry_fixture.h"

static const char rules[] =
	"{\"version\":1,\"worker_ids\":{\"first\":910000,\"count\":9},\"rules\":["
	"{\"id\":\"all\",\"principal\":{\"any\":true,\"owner_uid\":3000},\"targets\":[\"memory\"],"
	"\"share_read_only\":true,\"max_size\":\"1G\",\"max_bytes\":\"3M\","
	"\"io\":{\"write_ops\":9},\"max_devices_per_container\":2},"
	"{\"id\":\"volumes\",\"principal\":{\"uid\":990},\"targets\":[\"null\"],\"host_claims\":"
	"true,"
	"\"max_size\":\"1G\",\"max_devices_per_container\":2},"
	"{\"id\":\"plugin\",\"principal\":{\"uid\":991},\"host\":true,\"may\":[\"mount\"],"
	"\"targets\":[\"null\"],\"max_size\":\"1G\","
	"\"mount\":{\"under\":[\"/srv/\"],\"filesystems\":[\"ext4\"],\"trust_raw_writers\":true}},"
	"{\"id\":\"alone\",\"principal\":{\"any\":true},\"targets\":[\"null\"],"
	"\"max_size\":\"1G\",\"max_devices_per_container\":2},"
	"{\"id\":\"host\",\"principal\":{\"uid\":0},\"host\":true,\"may\":[\"attach\",\"mount\"],"
	"\"targets\":[\"memory\",\"null\"],\"max_size\":\"1G\","
	"\"mount\":{\"under\":[\"/srv/\"],\"filesystems\":[\"ext4\"]}}]}";

static int setup(void **state)
{
	struct fixture *f;
	char path[64];
	struct err e;

	if (registry_fixture_begin(state, rules) < 0)
		return -1;
	f = *state;
	snprintf(path, sizeof(path), "%s/cdi", f->dir);
	return cdi_open(path, &f->reg.cdi_fd, &e);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[64];
	int r;

	registry_fixture_empty(f);
	cdi_refresh(&f->reg);
	close(f->reg.cdi_fd);
	/* Fails when a list was left behind. */
	snprintf(path, sizeof(path), "%s/cdi", f->dir);
	r = rmdir(path);
	return registry_fixture_end(state) | r;
}

static int update(struct fixture *f, struct record *rec, enum wire_state to)
{
	rec->state = to;
	return registry_update(&f->reg, rec, NULL);
}

static uint32_t ahead_target = TARGET_MEMORY;

/* One that is live. */
static struct record ahead(struct fixture *f, const char *path, uint32_t maker_uid, uint32_t flags)
{
	const struct registry_peer peer = { .uid = maker_uid, .op_pid = 1 };
	struct record rec = registry_fixture_record();
	struct err e;

	rec.target = ahead_target;
	rec.flags = WIRE_AHEAD | flags;
	rec.peer_uid = maker_uid;
	strcpy(rec.path, path);
	if (registry_reserve(&f->reg, &peer, &rec, &e) < 0)
		fail_msg("%s", e.text);
	rec.major = 252;
	rec.minor = rec.dev_id;
	rec.worker_pid = 77;
	assert_int_equal(update(f, &rec, WIRE_STATE_LIVE), 0);
	return rec;
}

/* What a container of the right owner asks for. */
static struct record ask(const struct record *device, int container)
{
	struct record rec = {
		.generation = device->generation,
		.container_pid = container,
		.container_start = 7,
		.cgroup_inode = 4711,
		.container_uid = 3000,
	};

	snprintf(rec.container, sizeof(rec.container), "c%d", container);
	return rec;
}

static int begin(struct fixture *f, uint32_t uid, struct record *rec, struct err *e)
{
	const struct registry_peer peer = { .uid = uid, .op_pid = 2 };

	rec->peer_uid = uid;
	return claims_begin(&f->reg, &peer, rec, e);
}

static void test_a_claim_is_a_record_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct record device = ahead(f, "/dev/data", 0, 0), rec = ask(&device, 100);
	struct policy_claim sums;
	struct err e;

	assert_int_equal(begin(f, HOOK_UID, &rec, &e), 0);
	assert_true(rec.generation != device.generation);
	assert_int_equal(rec.state, WIRE_STATE_ATTACHING);
	assert_int_equal(rec.flags, WIRE_CLAIMED);
	assert_int_equal(rec.dev_id, device.dev_id);
	assert_int_equal(rec.major, 252);
	assert_string_equal(rec.path, "/dev/data");
	assert_string_equal(rec.container, "c100");
	assert_int_equal(rec.peer_uid, HOOK_UID);
	assert_int_equal(rec.grants, RECORD_IO_LIMITS);
	assert_int_equal(rec.io.write_ops, 9);
	/* Nothing that is the device's to undo. */
	assert_int_equal(rec.worker_pid, 0);
	assert_string_equal(rec.cgroup, "");
	assert_true(journal_record_ok(&rec));
	assert_non_null(strstr(audit.last, "\"request\":\"claim\",\"verdict\":\"allowed\""));
	assert_ptr_equal(registry_find_number(&f->reg, device.dev_id),
			 registry_find(&f->reg, device.generation));
	assert_ptr_equal(claims_find(&f->reg, &device), registry_find(&f->reg, rec.generation));
	assert_ptr_equal(claims_device(&f->reg, &rec), registry_find(&f->reg, device.generation));
	/* For another counted in the container, but no second time in all. */
	rec.generation = 0;
	sums = registry_claim(&f->reg, &(struct registry_peer){ 0 }, &rec);
	assert_int_equal(sums.devices_in_container, 1);
	assert_int_equal(sums.devices_in_all, 1);
	assert_true(sums.bytes_in_all == 1 << 20);
}

static void test_a_claim_may_have_a_path_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct record device = ahead(f, "/dev/data", 0, 0);
	struct record other = ahead(f, "/dev/other", 0, 0);
	struct record one = ask(&device, 100), again = one, two = ask(&other, 100);
	struct err e;

	strcpy(one.path, "/dev/disk/a");
	again = one;
	assert_int_equal(begin(f, HOOK_UID, &one, &e), 0);
	assert_string_equal(one.path, "/dev/disk/a");
	assert_string_equal(registry_find(&f->reg, device.generation)->rec.path, "/dev/data");
	assert_int_equal(update(f, &one, WIRE_STATE_LIVE), 0);
	assert_int_equal(begin(f, HOOK_UID, &again, &e), -EALREADY);
	assert_true(again.generation == one.generation);
	/* There is one place for one device. */
	strcpy(two.path, "/dev/disk/a");
	assert_int_equal(begin(f, HOOK_UID, &two, &e), -EEXIST);
}

static void test_a_device_is_one_containers(void **state)
{
	struct fixture *f = *state;
	struct record device = ahead(f, "/dev/data", 0, 0);
	struct record one = ask(&device, 100), again = one, other = ask(&device, 101);
	struct err e;

	assert_int_equal(begin(f, HOOK_UID, &one, &e), 0);
	assert_int_equal(begin(f, HOOK_UID, &again, &e), -EAGAIN);
	assert_int_equal(update(f, &one, WIRE_STATE_LIVE), 0);
	again = ask(&device, 100);
	assert_int_equal(begin(f, HOOK_UID, &again, &e), -EALREADY);
	assert_int_equal(again.generation, one.generation);
	assert_int_equal(begin(f, HOOK_UID, &other, &e), -EPERM);
	assert_non_null(strstr(e.text, "another container has it"));
	/* On its way out of the first it is waited for. */
	assert_int_equal(update(f, &one, WIRE_STATE_DETACHING), 0);
	other = ask(&device, 101);
	assert_int_equal(begin(f, HOOK_UID, &other, &e), -EAGAIN);
	assert_int_equal(registry_drop(&f->reg, one.generation, NULL), 0);
	other = ask(&device, 101);
	assert_int_equal(begin(f, HOOK_UID, &other, &e), 0);
}

/* What the host asks for: a directory, by which it is known later. */
static struct record ask_host(const struct record *device, const char *path)
{
	struct record rec = {
		.generation = device->generation,
		.flags = WIRE_HOST | WIRE_CLAIMED,
		.filesystem = FILESYSTEM_EXT4,
		.dir = { .dev = 1, .inode = 2, .mount = 3 },
	};

	strcpy(rec.path, path);
	return rec;
}

static void test_the_host_claims_a_mount(void **state)
{
	struct fixture *f = *state;
	struct record device, one, again, other, limited;
	struct err e;

	ahead_target = TARGET_NULL;
	device = ahead(f, "/dev/data", 0, 0);
	ahead_target = TARGET_MEMORY;
	limited = ahead(f, "/dev/limited", 0, 0);
	one = ask_host(&device, "/srv/a");
	assert_int_equal(begin(f, 0, &one, &e), 0);
	assert_int_equal(one.flags, WIRE_CLAIMED | WIRE_HOST);
	assert_int_equal(one.filesystem, FILESYSTEM_EXT4);
	assert_int_equal(one.dir.inode, 2);
	assert_string_equal(one.path, "/srv/a");
	assert_string_equal(one.container, "");
	assert_true(record_is_placed(&one) && journal_record_ok(&one));
	assert_int_equal(update(f, &one, WIRE_STATE_LIVE), 0);
	again = ask_host(&device, "/srv/a");
	assert_int_equal(begin(f, 0, &again, &e), -EALREADY);
	assert_int_equal(again.generation, one.generation);
	again = ask_host(&device, "/srv/a");
	again.filesystem = FILESYSTEM_XFS;
	assert_int_equal(begin(f, 0, &again, &e), -EEXIST);
	assert_string_equal(e.text, "it is mounted at /srv/a already, as something else");
	/* Nor is it anybody else's then. */
	other = ask(&device, 100);
	assert_int_equal(begin(f, 0, &other, &e), -EPERM);
	assert_int_equal(update(f, &one, WIRE_STATE_DETACHING), 0);
	other = ask_host(&device, "/srv/b");
	assert_int_equal(begin(f, 0, &other, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "unmounted from /srv/a"));
	assert_int_equal(registry_drop(&f->reg, one.generation, NULL), 0);

	other = ask_host(&device, "/etc");
	assert_int_equal(begin(f, 0, &other, &e), -EPERM);
	assert_non_null(strstr(e.text, "mount path /etc is not in its list"));
	other = ask_host(&device, "/srv/b");
	assert_int_equal(begin(f, 1000, &other, &e), -EPERM);
	assert_non_null(strstr(e.text, "uid 0 had the device made"));
	/* A limit is a cgroup's, and the host's mount has none. */
	other = ask_host(&device, "/srv/b");
	registry_find(&f->reg, device.generation)->rec.grants |= RECORD_IO_LIMITS;
	assert_int_equal(begin(f, 0, &other, &e), -EPERM);
	assert_non_null(strstr(e.text, "the host has no cgroup to limit"));
	/* Its rule is for containers of one owner, and limits what they do. */
	other = ask_host(&limited, "/srv/b");
	assert_int_equal(begin(f, 0, &other, &e), -EPERM);
	assert_non_null(strstr(e.text, "containers of uid 3000"));
}

static void test_the_host_has_it_at_several_places(void **state)
{
	struct fixture *f = *state;
	struct record device, one, two, other;
	struct err e;

	ahead_target = TARGET_NULL;
	device = ahead(f, "/dev/data", 0, 0);
	ahead_target = TARGET_MEMORY;
	one = ask_host(&device, "/srv/a");
	two = ask_host(&device, "/srv/b");
	two.flags |= WIRE_READ_ONLY;
	other = two;
	assert_int_equal(begin(f, 0, &one, &e), 0);
	assert_null(claims_find(&f->reg, &one));
	/* Whoever works on one of them is waited for. */
	assert_int_equal(begin(f, 0, &two, &e), -EAGAIN);
	assert_int_equal(update(f, &one, WIRE_STATE_LIVE), 0);
	two = other;
	assert_int_equal(begin(f, 0, &two, &e), 0);
	assert_int_equal(update(f, &two, WIRE_STATE_LIVE), 0);
	assert_int_equal(two.flags, WIRE_CLAIMED | WIRE_HOST | WIRE_READ_ONLY);
	assert_true(!record_device_reads(&two) && journal_record_ok(&two));
	assert_int_equal(claims_find(&f->reg, &one)->rec.generation, two.generation);
	assert_int_equal(claims_find(&f->reg, &two)->rec.generation, one.generation);
	assert_int_equal(update(f, &two, WIRE_STATE_DETACHING), 0);
	assert_int_equal(claims_find(&f->reg, &one)->rec.state, WIRE_STATE_DETACHING);
	assert_int_equal(claims_find(&f->reg, &device)->rec.generation, one.generation);
	assert_int_equal(update(f, &two, WIRE_STATE_LIVE), 0);
	/* Of one that is not there yet nothing is mounted that could grow. */
	assert_int_equal(update(f, &one, WIRE_STATE_ATTACHING), 0);
	assert_int_equal(claims_find(&f->reg, &device)->rec.generation, two.generation);
	assert_int_equal(update(f, &one, WIRE_STATE_LIVE), 0);
	/* The same place is the same mount, not another kind of one. */
	other.flags &= ~(uint32_t)WIRE_READ_ONLY;
	assert_int_equal(begin(f, 0, &other, &e), -EEXIST);
	assert_non_null(strstr(e.text, "already, to be read only"));
	/* In one way only, and by one user. */
	other = ask_host(&device, "/srv/c");
	other.filesystem = FILESYSTEM_NONE;
	assert_int_equal(begin(f, 0, &other, &e), -EPERM);
	other = ask_host(&device, "/srv/c");
	other.filesystem = FILESYSTEM_XFS;
	assert_int_equal(begin(f, 0, &other, &e), -EPERM);
	other = ask_host(&device, "/srv/c");
	assert_int_equal(begin(f, 1000, &other, &e), -EPERM);
	other = ask(&device, 100);
	assert_int_equal(begin(f, 0, &other, &e), -EPERM);
}

static void test_the_host_has_so_many_places(void **state)
{
	struct fixture *f = *state;
	struct record device, rec;
	char path[32];
	struct err e;

	ahead_target = TARGET_NULL;
	device = ahead(f, "/dev/data", 0, 0);
	ahead_target = TARGET_MEMORY;
	for (unsigned int i = 0; i <= CLAIMS_SHARED_MAX; i++) {
		snprintf(path, sizeof(path), "/srv/%u", i);
		rec = ask_host(&device, path);
		assert_int_equal(begin(f, 0, &rec, &e), i < CLAIMS_SHARED_MAX ? 0 : -EUSERS);
		if (i < CLAIMS_SHARED_MAX)
			assert_int_equal(update(f, &rec, WIRE_STATE_LIVE), 0);
	}
}

/* Who else has it does not make what the host mounts one that is mounted already. */
static void test_a_container_is_not_another_place_of_the_host(void **state)
{
	struct fixture *f = *state;
	struct record device, inside, one, file;
	struct err e;

	ahead_target = TARGET_NULL;
	device = ahead(f, "/dev/data", 0, WIRE_READ_ONLY);
	ahead_target = TARGET_MEMORY;
	inside = ask(&device, 100);
	assert_int_equal(begin(f, 0, &inside, &e), 0);
	assert_int_equal(update(f, &inside, WIRE_STATE_DETACHING), 0);
	file = ask_host(&device, "/srv/b");
	file.filesystem = FILESYSTEM_NONE;
	assert_int_equal(begin(f, 0, &file, &e), 0);
	assert_int_equal(update(f, &file, WIRE_STATE_DETACHING), 0);
	one = ask_host(&device, "/srv/a");
	assert_int_equal(begin(f, 0, &one, &e), 0);
	assert_int_equal(update(f, &inside, WIRE_STATE_LIVE), 0);
	assert_int_equal(update(f, &file, WIRE_STATE_LIVE), 0);
	assert_null(claims_find(&f->reg, &one));
	assert_null(claims_find(&f->reg, &file));
	assert_non_null(claims_find(&f->reg, &device));
}

/* On a file there is the device itself, as it is. */
static void test_the_host_has_a_device_on_a_file(void **state)
{
	struct fixture *f = *state;
	struct record device, rec;
	struct err e;

	ahead_target = TARGET_NULL;
	device = ahead(f, "/dev/data", 0, 0);
	rec = ask_host(&device, "/srv/x");
	rec.filesystem = FILESYSTEM_NONE;
	rec.flags |= WIRE_READ_ONLY;
	assert_int_equal(begin(f, 0, &rec, &e), -EROFS);
	rec = ask_host(&device, "/srv/x");
	rec.filesystem = FILESYSTEM_NONE;
	assert_int_equal(begin(f, 0, &rec, &e), 0);
	assert_true(record_is_host_file(&rec) && record_is_placed(&rec) && journal_record_ok(&rec));
	strcpy(rec.path, "srv");
	assert_false(journal_record_ok(&rec));
	/* The rule for the host has to give devices there, and not mounts only. */
	device = ahead(f, "/dev/other", 0, 0);
	ahead_target = TARGET_MEMORY;
	rec = ask_host(&device, "/etc/x");
	rec.filesystem = FILESYSTEM_NONE;
	assert_int_equal(begin(f, 0, &rec, &e), -EPERM);
	assert_non_null(strstr(e.text, "mount path /etc/x is not in its list"));
}

/* Who had it made may claim it; to mount it on the host takes a rule for that, too. */
static void test_the_host_mounts_nothing_without_a_rule_for_it(void **state)
{
	struct fixture *f = *state;
	struct record device, rec;
	struct err e;

	ahead_target = TARGET_NULL;
	device = ahead(f, "/dev/data", 1000, 0);
	ahead_target = TARGET_MEMORY;
	rec = ask_host(&device, "/srv/a");
	assert_int_equal(begin(f, 1000, &rec, &e), -EPERM);
	assert_non_null(strstr(audit.last, "\"verdict\":\"refused\""));
}

/* A plug-in's user, what the store had made; both rules have to allow it. */
static void test_users_mount_on_the_host_what_others_had_made(void **state)
{
	struct fixture *f = *state;
	struct record device, others, rec;
	struct err e;

	ahead_target = TARGET_NULL;
	device = ahead(f, "/dev/data", 990, 0);
	others = ahead(f, "/dev/others", 1000, 0);
	ahead_target = TARGET_MEMORY;
	rec = ask_host(&others, "/srv/a");
	assert_int_equal(begin(f, 991, &rec, &e), -EPERM);
	assert_non_null(strstr(e.text, "\"host_claims\" is not true"));
	rec = ask_host(&device, "/srv/a");
	assert_int_equal(begin(f, 1000, &rec, &e), -EPERM); /* no rule for the host */
	rec = ask(&device, 100);
	assert_int_equal(begin(f, 991, &rec, &e), -EPERM); /* no container's */
	rec = ask_host(&device, "/etc");
	assert_int_equal(begin(f, 991, &rec, &e), -EPERM);
	assert_non_null(strstr(e.text, "mount path /etc is not in its list"));
	rec = ask_host(&device, "/srv/a");
	assert_int_equal(begin(f, 991, &rec, &e), 0);
	assert_int_equal(rec.peer_uid, 991);
}

static void test_what_is_read_only_is_shared(void **state)
{
	struct fixture *f = *state;
	struct record device = ahead(f, "/dev/data", 0, WIRE_READ_ONLY);
	struct record one = ask(&device, 100), two = ask(&device, 101);
	struct err e;

	assert_int_equal(begin(f, HOOK_UID, &one, &e), 0);
	assert_int_equal(begin(f, HOOK_UID, &two, &e), 0);
	assert_int_equal(two.flags, WIRE_CLAIMED | WIRE_READ_ONLY);
	assert_true(one.generation != two.generation);
}

static void test_what_is_read_only_and_not_shared_is_left_at_once(void **state)
{
	struct fixture *f = *state;
	struct record device, one, two;
	struct err e;

	ahead_target = TARGET_NULL;
	device = ahead(f, "/dev/data", 0, WIRE_READ_ONLY);
	ahead_target = TARGET_MEMORY;
	one = ask(&device, 100);
	two = ask(&device, 101);
	assert_int_equal(begin(f, HOOK_UID, &one, &e), 0);
	assert_int_equal(begin(f, HOOK_UID, &two, &e), -EPERM);
	assert_int_equal(update(f, &one, WIRE_STATE_DETACHING), 0);
	two = ask(&device, 101);
	assert_int_equal(begin(f, HOOK_UID, &two, &e), 0);
}

static void test_the_device_has_to_be_there(void **state)
{
	struct fixture *f = *state;
	struct record device = ahead(f, "/dev/data", 0, 0), rec = ask(&device, 100);
	struct err e;

	rec.generation++;
	assert_int_equal(begin(f, 0, &rec, &e), -ENOENT);
	rec = ask(&device, 100);
	assert_int_equal(update(f, &device, WIRE_STATE_RECOVERING), 0);
	assert_int_equal(begin(f, 0, &rec, &e), -EAGAIN);
	assert_int_equal(update(f, &device, WIRE_STATE_LIVE), 0);
	registry_find(&f->reg, device.generation)->op_pid = 5;
	assert_int_equal(begin(f, 0, &rec, &e), -EAGAIN);
	registry_find(&f->reg, device.generation)->op_pid = 0;
	assert_int_equal(update(f, &device, WIRE_STATE_FAILED), 0);
	assert_int_equal(begin(f, 0, &rec, &e), -EIO);
	assert_int_equal(update(f, &device, WIRE_STATE_DETACHING), 0);
	assert_int_equal(begin(f, 0, &rec, &e), -ENOENT);
	/* A claim is no device, and a container's device none made ahead. */
	assert_int_equal(update(f, &device, WIRE_STATE_LIVE), 0);
	assert_int_equal(begin(f, 0, &rec, &e), 0);
	device.generation = rec.generation;
	rec = ask(&device, 101);
	assert_int_equal(begin(f, 0, &rec, &e), -ENOENT);
}

static void test_its_rule_is_asked_again(void **state)
{
	struct fixture *f = *state;
	struct record device = ahead(f, "/dev/data", 1000, 0), rec = ask(&device, 100);
	struct err e;

	assert_int_equal(begin(f, 1001, &rec, &e), -EPERM);
	rec = ask(&device, 100);
	assert_int_equal(begin(f, HOOK_UID, &rec, &e), -EPERM);
	assert_non_null(strstr(audit.last, "\"request\":\"claim\",\"verdict\":\"refused\""));
	rec = ask(&device, 100);
	rec.container_uid = 3001;
	assert_int_equal(begin(f, 1000, &rec, &e), -EPERM);
	audit.r = -ENOSPC; /* what is not on record is not done */
	rec = ask(&device, 100);
	assert_int_equal(begin(f, 1000, &rec, &e), -ENOSPC);
	audit.r = 0;
	rec = ask(&device, 100);
	assert_int_equal(begin(f, 1000, &rec, &e), 0);
}

static void test_a_name_is_one_device(void **state)
{
	const struct registry_peer peer = { .uid = 0, .op_pid = 1 };
	struct fixture *f = *state;
	struct record device = ahead(f, "/dev/data", 0, 0), same = device;
	struct err e;

	assert_int_equal(registry_reserve(&f->reg, &peer, &same, &e), -EALREADY);
	same = device;
	same.asked_bytes = same.size_bytes = 4096;
	assert_int_equal(registry_reserve(&f->reg, &peer, &same, &e), -EEXIST);
	ahead(f, "/dev/other", 0, 0);
	assert_int_equal(f->reg.nr_devices, 2);
}

static char *listed(struct fixture *f)
{
	auto_close int fd = openat(f->reg.cdi_fd, CDI_NAME, O_RDONLY | O_CLOEXEC);
	char *text = calloc(1, 8192);

	if (fd < 0 || read(fd, text, 8191) < 0)
		strcpy(text, "none");
	return text;
}

static void test_the_list_follows(void **state)
{
	static const char want[] = "{\"cdiVersion\":\"0.3.0\",\"kind\":\"ublk-oci.io/"
				   "device\",\"devices\":[{\"name\":\"data\","
				   "\"containerEdits\":{\"hooks\":["
				   "{\"hookName\":\"createRuntime\",\"path\":\"%s\",\"args\":["
				   "\"ublk-oci-hook\",\"claim\","
				   "\"data\",\"%016llx\"]},"
				   "{\"hookName\":\"poststop\",\"path\":\"%s\",\"args\":[\"ublk-"
				   "oci-hook\",\"release\","
				   "\"data\",\"%016llx\"]}]}}]}";
	struct fixture *f = *state;
	struct record device = ahead(f, "/dev/data", 0, 0), digit;
	auto_free char *text = NULL;
	char *hook, whole[4096];

	cdi_refresh(&f->reg);
	text = listed(f);
	hook = strstr(text, "\"path\":\"") + 8;
	hook = strndup(hook, strcspn(hook, "\""));
	assert_non_null(strstr(hook, "/ublk-oci-hook"));
	snprintf(whole, sizeof(whole), want, hook, (unsigned long long)device.generation, hook,
		 (unsigned long long)device.generation);
	free(hook);
	assert_string_equal(text, whole);

	digit = ahead(f, "/dev/1st", 0, 0);
	cdi_refresh(&f->reg);
	free(text);
	text = listed(f);
	assert_non_null(strstr(text, "\"cdiVersion\":\"0.5.0\""));
	assert_non_null(strstr(text, "\"name\":\"1st\""));

	/* What cannot be claimed is not offered. */
	assert_int_equal(update(f, &digit, WIRE_STATE_DETACHING), 0);
	assert_int_equal(update(f, &device, WIRE_STATE_RECOVERING), 0);
	cdi_refresh(&f->reg);
	free(text);
	text = listed(f);
	assert_null(strstr(text, "1st"));
	assert_non_null(strstr(text, "data"));
	assert_int_equal(update(f, &device, WIRE_STATE_FAILED), 0);
	cdi_refresh(&f->reg);
	free(text);
	text = listed(f);
	assert_string_equal(text, "none");
}

static int note(void *arg, uint64_t generation)
{
	uint64_t *sum = arg;

	*sum += generation;
	return 0;
}

static void test_entries_are_found_again(void **state)
{
	struct fixture *f = *state;
	struct record a = ahead(f, "/dev/data", 0, 0), b = ahead(f, "/dev/0123456789abcdef", 0, 0);
	uint64_t sum = 0;
	struct err e;

	assert_int_equal(cdi_each(f->reg.cdi_fd, note, &sum, &e), 0);
	assert_int_equal(sum, 0); /* there is no list yet */
	cdi_refresh(&f->reg);
	assert_int_equal(cdi_each(f->reg.cdi_fd, note, &sum, &e), 0);
	/* Each is in two hooks; a name that looks like one is none. */
	assert_true(sum == 2 * (a.generation + b.generation));
	assert_int_equal(cdi_each(-1, note, &sum, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_a_claim_is_a_record_of_its_own),
		TEST(test_a_claim_may_have_a_path_of_its_own),
		TEST(test_a_device_is_one_containers),
		TEST(test_what_is_read_only_and_not_shared_is_left_at_once),
		TEST(test_what_is_read_only_is_shared),
		TEST(test_the_host_claims_a_mount),
		TEST(test_the_host_has_it_at_several_places),
		TEST(test_the_host_has_so_many_places),
		TEST(test_a_container_is_not_another_place_of_the_host),
		TEST(test_the_host_has_a_device_on_a_file),
		TEST(test_the_host_mounts_nothing_without_a_rule_for_it),
		TEST(test_users_mount_on_the_host_what_others_had_made),
		TEST(test_the_device_has_to_be_there),
		TEST(test_its_rule_is_asked_again),
		TEST(test_a_name_is_one_device),
		TEST(test_the_list_follows),
		TEST(test_entries_are_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
