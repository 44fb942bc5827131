/* SPDX-License-Identifier: Apache-2.0 */
/* What is written down of a device made ahead says, to who reads it, what was asked for. */
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
#include "driver/privileged/remake.h"
#include "oci-hook/keys.h"
#include "targets/catalog.h"
#include "targets/image_format.h"

#define HARD_PATH "/srv/a,b=c%20/\xc3\xbc\xff d.img"

static struct record file_record(void)
{
	struct record rec = {
		.flags = WIRE_AHEAD | WIRE_READ_ONLY | WIRE_THROUGHPUT | WIRE_ZERO_COPY,
		.target = TARGET_FILE,
		.size_bytes = 1 << 20,
		.asked_bytes = 4096,
		.asked_queues = 3,
		.asked_depth = 17,
		.peer_uid = 1000,
		.peer_gid = 1001,
		.node_uid = 5,
		.node_gid = 6,
		.node_mode = 0604,
		.fault = { 1500, 10001, 4096, 512 },
	};

	strcpy(rec.path, "/dev/pg-data");
	strcpy(rec.backing, HARD_PATH);
	return rec;
}

/* The same request again, as far as the record says what was asked for. */
static void assert_asks(const struct record *rec)
{
	auto_free struct attach_options *o = calloc(1, sizeof(*o));
	struct wire_attach want = { 0 };
	char text[1024];
	struct err e;

	keys_init(o);
	assert_int_equal(remake_keys(rec, text, sizeof(text)), 0);
	if (keys_parse(o, text, &e) < 0)
		fail_msg("%s: %s", text, e.text);
	keys_fill(o, false, &want);
	assert_int_equal(want.target, rec->target);
	assert_int_equal(want.flags | WIRE_AHEAD, rec->flags);
	assert_int_equal(want.size_bytes, rec->asked_bytes);
	assert_memory_equal(&want.fault, &rec->fault, sizeof(rec->fault));
	assert_int_equal(want.nr_queues, rec->asked_queues);
	assert_int_equal(want.depth, rec->asked_depth);
	assert_int_equal(want.uid, rec->node_uid);
	assert_int_equal(want.gid, rec->node_gid);
	assert_int_equal(want.mode, rec->node_mode);
	assert_string_equal(o->backing, rec->backing);
	assert_string_equal(o->base, rec->base);
	assert_int_equal(want.format, rec->nbd.format);
	assert_int_equal(want.base_format, rec->nbd.base_format);
}

static void test_the_keys_ask_for_the_same(void **state)
{
	static const uint32_t ways[] = { 0, WIRE_COPY, WIRE_ZERO_COPY,
					 WIRE_ZERO_COPY | WIRE_BY_HAND };
	struct record rec = file_record();
	char text[1024];

	assert_asks(&rec);
	rec.asked_bytes = 0;
	rec.asked_queues = rec.asked_depth = 0;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		rec.flags = WIRE_AHEAD | ways[i];
		assert_asks(&rec);
	}
	rec.target = TARGET_MEMORY;
	rec.asked_bytes = 1 << 20;
	*rec.backing = '\0';
	assert_asks(&rec);
	rec.target = TARGET_IMAGE;
	strcpy(rec.backing, HARD_PATH);
	strcpy(rec.base, "/srv/base");
	rec.nbd.format = IMAGE_QCOW2;
	rec.nbd.base_format = IMAGE_RAW;
	assert_asks(&rec);
	rec.target = TARGET_MEMORY;
	rec.nbd = (struct record_nbd){ 0 };
	*rec.backing = *rec.base = '\0';
	for (size_t size = 1; size < 20; size++)
		assert_int_equal(remake_keys(&rec, text, size), -E2BIG);
	/* The longest there can be. */
	memset(rec.backing, '\xff', sizeof(rec.backing) - 1);
	rec.target = TARGET_FILE;
	assert_int_equal(remake_keys(&rec, text, sizeof(text)), 0);
}

static void test_a_file_is_written_and_removed(void **state)
{
	char dir[] = "/tmp/remake.XXXXXX", path[64], text[2048] = "";
	struct record rec = file_record();
	auto_close int dir_fd = -1, fd = -1;
	struct stat st;
	struct err e;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(remake_open(dir, &dir_fd, &e), 0);
	assert_false(remake_is_there(dir_fd, &rec));
	assert_int_equal(remake_save(dir_fd, &rec, &e), 0);
	assert_true(remake_is_there(dir_fd, &rec));
	assert_int_equal(remake_save(dir_fd, &rec, &e), 0);
	snprintf(path, sizeof(path), "%s/pg-data.json", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && fstat(fd, &st) == 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_non_null(strstr(text, "{\"name\":\"pg-data\",\"uid\":1000,\"gid\":1001,\"keys\":"
				     "\"target=file,backing=/srv/a%2cb=c%2520/%c3%bc%ff d.img,"));
	assert_int_equal(remake_remove(dir_fd, &rec, &e), 0);
	assert_int_equal(remake_remove(dir_fd, &rec, &e), 0);
	assert_false(remake_is_there(dir_fd, &rec));
	/* Nothing else was left there. */
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(remake_save(-1, &rec, &e), 0);
	assert_int_equal(remake_remove(-1, &rec, &e), 0);
}

static void test_a_directory_of_others_is_refused(void **state)
{
	char dir[] = "/tmp/remake.XXXXXX";
	struct err e;
	int fd = -1;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0770), 0);
	assert_int_equal(remake_open(dir, &fd, &e), -EPERM);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_keys_ask_for_the_same),
		cmocka_unit_test(test_a_file_is_written_and_removed),
		cmocka_unit_test(test_a_directory_of_others_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
