/* SPDX-License-Identifier: Apache-2.0 */
/* inspect --sandbox: a whole sandbox passes, and each wall that is missing is named. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "oci-hook/cli/sandbox.h"

#define NS(inode, other) "{\"inode\":" #inode ",\"host\":false,\"other_workers\":" #other "}"

static const char whole[] =
	"{\"uids\":[910000,910000,910000,910000],\"gids\":[910000,910000,910000,910000],"
	"\"groups\":[],\"seccomp\":2,\"seccomp_filters\":1,\"unlike_threads\":0,\"no_new_privs\":"
	"true,"
	"\"capabilities\":{\"inheritable\":\"0000000000000000\",\"permitted\":"
	"\"0000000000000000\",\"effective\":\"0000000000000000\",\"bounding\":"
	"\"0000000000000000\",\"ambient\":\"0000000000000000\"},"
	"\"namespaces\":{\"mnt\":" NS(1, 3) ",\"net\":" NS(2, 3) ",\"ipc\":" NS(
		3,
		3) ",\"uts\":" NS(4,
				  3) ",\"user\":" NS(5,
						     0) ",\"pid\":" NS(6,
								       0) "},"
									  "\"limits\":{\"file_size_"
									  "bytes\":65536,\"core_"
									  "bytes\":0,\"open_"
									  "files\":64,"
									  "\"processes\":4096,"
									  "\"memory_bytes\":"
									  "67174400,"
									  "\"locked_bytes\":"
									  "\"unlimited\"},"
									  "\"dumpable\":false,"
									  "\"oom_score_adj\":-999,"
									  "\"cgroup\":\"/ublk-oci/"
									  "workers/"
									  "0000000000000abc-"
									  "ublk7-00000042\","
									  "\"mounts\":1,\"root\":[]"
									  ",\"fds\":[\"5:anon_"
									  "inode:[io_uring]\"],"
									  "\"environment_bytes\":"
									  "0}";

static const struct wire_details device = {
	.device = { .generation = UINT64_C(0x75626f6300000042),
		    .dev_id = 7,
		    .size_bytes = 65536,
		    .worker_uid = 910000 },
	.container_mount_ns_inode = 0xabc,
};

/* One change each: the value that is put there, and so the one fault. */
static const struct {
	const char *group, *key;
	const char *value;
} broken[] = {
	{ NULL, "uids", "[910000,910000,910000,0]" },
	{ NULL, "uids", "[910000,0,910000,910000]" },
	{ NULL, "gids", "[910001,910000,910000,910000]" },
	{ NULL, "gids", "[910000]" },
	{ NULL, "groups", "[0]" },
	{ "capabilities", "inheritable", "\"0000000000000001\"" },
	{ "capabilities", "permitted", "\"0000000000200000\"" },
	{ "capabilities", "effective", "\"8000000000000000\"" },
	{ "capabilities", "bounding", "\"000001ffffffffff\"" },
	{ "capabilities", "ambient", "\"0000000000000400\"" },
	{ NULL, "no_new_privs", "false" },
	{ NULL, "seccomp", "0" },
	{ NULL, "seccomp", "1" },
	{ NULL, "seccomp_filters", "0" },
	{ "namespaces", "mnt", "{\"inode\":1,\"host\":true,\"other_workers\":0}" },
	{ "namespaces", "net", "{\"inode\":1,\"host\":true,\"other_workers\":0}" },
	{ "namespaces", "ipc", "{\"inode\":1,\"host\":true,\"other_workers\":0}" },
	{ "namespaces", "uts", "{\"inode\":1,\"host\":true,\"other_workers\":0}" },
	{ "namespaces", "user", "{\"inode\":1,\"host\":true,\"other_workers\":0}" },
	{ "namespaces", "user", NS(5, 1) },
	{ "namespaces", "pid", NS(6, 1) },
	{ "limits", "file_size_bytes", "65537" },
	{ "limits", "file_size_bytes", "\"unlimited\"" },
	{ "limits", "core_bytes", "4096" },
	{ "limits", "core_bytes", "\"unlimited\"" },
	{ "limits", "open_files", "65" },
	{ "limits", "processes", "\"unlimited\"" },
	{ "limits", "memory_bytes", "\"unlimited\"" },
	{ "limits", "memory_bytes", "70000000000" },
	{ NULL, "dumpable", "true" },
	{ NULL, "oom_score_adj", "0" },
	{ NULL, "cgroup", "\"/\"" },
	{ NULL, "cgroup", "\"/ublk-oci/workers/0000000000000abc-ublk7-00000043\"" },
	{ NULL, "cgroup", "\"/box/0000000000000abc-ublk7-00000042\"" },
	{ NULL, "mounts", "2" },
	{ NULL, "root", "[\"etc\"]" },
	{ NULL, "fds", "[\"5:anon_inode:[io_uring]\",\"6:/etc/passwd\"]" },
	{ NULL, "fds", "[\"5:socket:[4711]\"]" },
	{ NULL, "environment_bytes", "7" },
	{ NULL, "unlike_threads", "1" },
	{ NULL, "fds", "[\"5:anon_inode:[io_uring]\",\"6:anon_inode:[io_uring]\"]" },
};

static struct json_object *member(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	assert_true(json_object_object_get_ex(o, key, &value));
	return value;
}

/* The one word in the list, or NULL when it is empty. */
static const char *only_word(struct json_object *worker, const char *list)
{
	struct json_object *words = member(worker, list);

	assert_true(json_object_array_length(words) <= 1);
	return json_object_array_length(words)
		       ? json_object_get_string(json_object_array_get_idx(words, 0))
		       : NULL;
}

static void test_a_whole_sandbox_passes(void **state)
{
	auto_json struct json_object *worker = json_tokener_parse(whole);
	struct err e = { "" };

	assert_int_equal(sandbox_check(worker, &device, &e), 0);
	assert_null(only_word(worker, "faults"));
	assert_null(only_word(worker, "unseen"));
}

static void test_each_wall_that_is_missing_is_named(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		auto_json struct json_object *worker = json_tokener_parse(whole);
		struct json_object *at = broken[i].group ? member(worker, broken[i].group) : worker;
		struct err e = { "" };
		char name[64];

		snprintf(name, sizeof(name), "%s%s%s", broken[i].group ? broken[i].group : "",
			 broken[i].group ? "." : "", broken[i].key);
		print_message("  %s = %s\n", name, broken[i].value);
		member(at, broken[i].key);
		json_object_object_add(at, broken[i].key, json_tokener_parse(broken[i].value));
		assert_int_equal(sandbox_check(worker, &device, &e), -EPERM);
		assert_non_null(strstr(e.text, name));
		assert_string_equal(only_word(worker, "faults"), name);
	}
}

/* Whatever is missing is not taken for good; every row of the table above has its turn. */
static void test_what_cannot_be_seen_is_not_proven(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		auto_json struct json_object *worker = json_tokener_parse(whole);
		struct json_object *at = broken[i].group ? member(worker, broken[i].group) : worker;
		struct err e = { "" };

		json_object_object_add(at, broken[i].key, NULL);
		assert_int_equal(sandbox_check(worker, &device, &e), -EACCES);
		assert_null(only_word(worker, "faults"));
		assert_non_null(strstr(only_word(worker, "unseen"), broken[i].key));
	}
}

static void test_a_read_only_device_writes_nothing(void **state)
{
	auto_json struct json_object *worker = json_tokener_parse(whole);
	struct wire_details d = device;
	struct err e = { "" };

	d.device.flags = WIRE_READ_ONLY;
	assert_int_equal(sandbox_check(worker, &d, &e), -EPERM);
	assert_string_equal(only_word(worker, "faults"), "limits.file_size_bytes");
}

static void test_each_thread_has_a_ring(void **state)
{
	auto_json struct json_object *worker = json_tokener_parse(whole);
	struct wire_details d = device;
	struct err e = { "" };

	d.device.flags = WIRE_THREADS;
	d.device.nr_queues = 3;
	assert_int_equal(sandbox_check(worker, &d, &e), -EPERM);
	assert_string_equal(only_word(worker, "faults"), "fds");
	json_object_object_add(worker, "fds",
			       json_tokener_parse("[\"5:anon_inode:[io_uring]\","
						  "\"6:anon_inode:[io_uring]\","
						  "\"7:anon_inode:[io_uring]\"]"));
	assert_int_equal(sandbox_check(worker, &d, &e), 0);
}

static void test_a_device_of_the_host_has_its_own_place(void **state)
{
	auto_json struct json_object *worker = json_tokener_parse(whole);
	struct wire_details d = device;
	struct err e = { "" };

	d.device.flags = WIRE_HOST;
	assert_int_equal(sandbox_check(worker, &d, &e), -EPERM);
	assert_string_equal(only_word(worker, "faults"), "cgroup");
}

/* Its own process is no sandbox, and is found to be none. */
static void test_an_ordinary_process_is_no_worker(void **state)
{
	static const char *const names[] = { "uids",   "seccomp",	"capabilities.bounding",
					     "cgroup", "oom_score_adj", "limits.processes" };
	const struct client_devices none = { 0 };
	auto_json struct json_object *worker = json_object_new_object();
	struct json_object *faults;
	struct err e = { "" };

	sandbox_add(worker, getpid(), &none);
	assert_int_equal(sandbox_check(worker, &device, &e), -EPERM);
	faults = member(worker, "faults");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		bool found = false;

		for (size_t k = 0; k < json_object_array_length(faults); k++)
			found |= !strcmp(names[i], json_object_get_string(
							   json_object_array_get_idx(faults, k)));
		if (!found)
			fail_msg("%s is not among: %s", names[i], e.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_whole_sandbox_passes),
		cmocka_unit_test(test_each_wall_that_is_missing_is_named),
		cmocka_unit_test(test_what_cannot_be_seen_is_not_proven),
		cmocka_unit_test(test_a_read_only_device_writes_nothing),
		cmocka_unit_test(test_each_thread_has_a_ring),
		cmocka_unit_test(test_a_device_of_the_host_has_its_own_place),
		cmocka_unit_test(test_an_ordinary_process_is_no_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
