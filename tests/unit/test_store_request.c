/* SPDX-License-Identifier: Apache-2.0 */
/* What the store takes for a request, and how far work is, in words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/progress.h"
#include "oci-hook/store/request.h"
#include "targets/catalog.h"

#define GIB (UINT64_C(1) << 30)

static struct store_ask an_ask(enum store_type type, unsigned int nr_fds)
{
	return (struct store_ask){
		.head = {
			.magic = STORE_MAGIC,
			.version = STORE_VERSION,
			.type = (uint16_t)type,
			.size = sizeof(struct store_ask),
			.nr_fds = nr_fds,
		},
	};
}

static int admit(const struct store_ask *ask, unsigned int nr_fds, size_t size)
{
	struct packet p = PACKET_INIT;
	struct store_ask got;
	struct err e = { "" };
	int r;

	memcpy(p.bytes, ask, sizeof(*ask));
	p.size = size;
	p.nr_fds = nr_fds;
	r = request_admit(&p, &got, &e);
	if (r == 0)
		assert_memory_equal(&got, ask, sizeof(got));
	else if (r != -EBADMSG)
		assert_true(*e.text);
	return r;
}

/* Every request with every part: what it needs, what it may have, what it must not. */
static void test_each_request_has_what_belongs_to_it(void **state)
{
	static const struct {
		enum store_type type;
		const char *needs, *may;
		unsigned int fds_least, fds_most;
	} rows[] = {
		{ STORE_LIST, "", "", 0, 0 },	     { STORE_INSPECT, "n", "l", 0, 0 },
		{ STORE_CREATE, "n", "fpsm", 0, 1 }, { STORE_SNAPSHOT, "nf", "p", 0, 0 },
		{ STORE_RESIZE, "ns", "", 0, 0 },    { STORE_EXPORT, "n", "", 1, 1 },
		{ STORE_DELETE, "n", "w", 0, 0 },    { STORE_ATTACH, "n", "d", 0, 0 },
		{ STORE_DETACH, "n", "", 0, 0 },     { STORE_FORMAT, "nm", "", 0, 0 },
		{ STORE_CHECK, "n", "", 0, 0 },	     { STORE_CAPACITY, "", "p", 0, 0 },
	};
	static const char parts[] = "nfpsdwml";

	assert_int_equal(ARRAY_SIZE(rows), STORE_END - 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (unsigned int set = 0; set < 1u << strlen(parts); set++) {
			unsigned int nr_fds = set & 1 << 1 ? rows[i].fds_least : rows[i].fds_most;
			struct store_ask ask = an_ask(rows[i].type, nr_fds);
			bool wanted = !(set & 1 << 1 && nr_fds);

			/* Over nothing but an empty one. */
			wanted &= !(set & 1 << 6 && (set & 1 << 1 || nr_fds));

			for (size_t k = 0; parts[k]; k++) {
				bool has = set & 1u << k, needs = strchr(rows[i].needs, parts[k]);

				wanted &= has ? needs || strchr(rows[i].may, parts[k]) : !needs;
			}
			strcpy(ask.name, set & 1 << 0 ? "a" : "");
			strcpy(ask.from, set & 1 << 1 ? "b" : "");
			strcpy(ask.pool, set & 1 << 2 ? "p" : "");
			ask.size_bytes = set & 1 << 3 ? GIB : 0;
			ask.mode = set & 1 << 4 ? 0660 : 0;
			ask.flags = set & 1 << 5 ? STORE_WIPE : 0;
			ask.flags |= set & 1 << 7 ? STORE_LOOK : 0u;
			ask.filesystem = set & 1 << 6 ? FILESYSTEM_XFS : FILESYSTEM_NONE;
			if ((admit(&ask, nr_fds, sizeof(ask)) == 0) != wanted)
				fail_msg("request %d with parts %x", rows[i].type, set);
		}
		for (unsigned int nr = 0; nr < 3; nr++) {
			struct store_ask ask = an_ask(rows[i].type, nr);

			if (nr < rows[i].fds_least || nr > rows[i].fds_most)
				assert_int_equal(admit(&ask, nr, sizeof(ask)), -EBADMSG);
		}
	}
}

static void test_what_is_no_request_gets_no_answer(void **state)
{
	const struct store_ask good = an_ask(STORE_LIST, 0);
	struct store_ask ask = good;

	assert_int_equal(admit(&good, 0, sizeof(good)), 0);
	assert_int_equal(admit(&good, 1, sizeof(good)), -EBADMSG);
	assert_int_equal(admit(&good, 0, sizeof(good) - 1), -EBADMSG);
	assert_int_equal(admit(&good, 0, 3), -EBADMSG);
	ask.head.magic = WIRE_MAGIC;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EBADMSG);
	ask = good;
	ask.head.size--;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EBADMSG);
	for (unsigned int type = 0; type < 70; type++) {
		ask = good;
		ask.head.type = (uint16_t)type;
		if (type == STORE_NONE || type >= STORE_END)
			assert_int_equal(admit(&ask, 0, sizeof(ask)), -EBADMSG);
	}
	ask = good;
	ask.head.version++;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EPROTONOSUPPORT);
	ask = an_ask(STORE_INSPECT, 0);
	memset(ask.name, 'a', sizeof(ask.name));
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EBADMSG);
	strcpy(ask.name, "a");
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EBADMSG);
}

static void test_fields_are_within_their_limits(void **state)
{
	static const char *const names[] = { ".a", "a/b", "a b", "-a", "a.", "..", "\n" };
	struct store_ask ask = an_ask(STORE_INSPECT, 0);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		memset(ask.name, 0, sizeof(ask.name));
		strcpy(ask.name, names[i]);
		assert_int_equal(admit(&ask, 0, sizeof(ask)), -EINVAL);
	}
	ask = an_ask(STORE_RESIZE, 0);
	strcpy(ask.name, "a");
	ask.size_bytes = 4095;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EINVAL);
	ask.size_bytes = UINT64_C(1) << 63;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EINVAL);
	ask.size_bytes = 4096;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), 0);
	ask.flags = 1u << 31;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EINVAL);
	ask = an_ask(STORE_ATTACH, 0);
	strcpy(ask.name, "a");
	ask.device_flags = STORE_DEVICE_FLAGS;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), 0);
	/* Where it goes says the store, and not who asks it. */
	ask.device_flags = WIRE_HOST;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EINVAL);
	ask.device_flags = WIRE_AHEAD;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EINVAL);
}

static void test_a_file_system_is_one_there_is(void **state)
{
	struct store_ask ask = an_ask(STORE_CREATE, 0);

	strcpy(ask.name, "a");
	ask.filesystem = FILESYSTEM_EXT4;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), 0);
	ask.pad = 1;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EINVAL);
	ask.pad = 0;
	ask.filesystem = FILESYSTEM_END;
	assert_int_equal(admit(&ask, 0, sizeof(ask)), -EINVAL);
}

static void test_progress_has_bytes_rate_and_time_left(void **state)
{
	char text[PROGRESS_TEXT_SIZE];

	assert_string_equal(progress_format(text, 4 * GIB, 10 * GIB, 20000),
			    "40% 4G of 10G, 204M/s, 30 s left");
	assert_string_equal(progress_format(text, 0, 10 * GIB, 0), "0% 0 of 10G");
	assert_string_equal(progress_format(text, 4096, 4096, 1000),
			    "100% 4K of 4K, 4K/s, 0 s left");
	assert_string_equal(progress_format(text, 0, 0, 5), "100% 0 of 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_request_has_what_belongs_to_it),
		cmocka_unit_test(test_what_is_no_request_gets_no_answer),
		cmocka_unit_test(test_fields_are_within_their_limits),
		cmocka_unit_test(test_a_file_system_is_one_there_is),
		cmocka_unit_test(test_progress_has_bytes_rate_and_time_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
