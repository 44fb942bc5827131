/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "oci-hook/containers.h"
#include "oci-hook/oci_state.h"

#define RUNC_CREATE                                                                                \
	"{\"ociVersion\":\"1.0.2-dev\",\"id\":\"c1\",\"status\":\"creating\",\"pid\":4711,"        \
	"\"bundle\":\"/tmp/B\"}"
#define CRUN_CREATE                                                                                \
	"{ \"ociVersion\": \"1.0\", \"id\": \"c1\", \"pid\": 4711, \"root\": \"rootfs\", "         \
	"\"bundle\": \"/tmp/B\", \"status\": \"created\", \"annotations\": { "                     \
	"\"io.podman.annotations.x\": \"y\", \"io.ublk-oci.device.zeta\": "                        \
	"\"target=null,size=1M\", "                                                                \
	"\"io.ublk-oci.device.data\": \"target=memory,size=64M\" } }\n"
#define PODMAN_STOP                                                                                \
	"{\"ociVersion\":\"1.0.2-dev\",\"id\":"                                                    \
	"\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","                    \
	"\"status\":\"stopped\",\"bundle\":\"/var/lib/containers/x\","                             \
	"\"annotations\":{\"io.ublk-oci.device.data\":\"target=memory,size=64M\"}}"

static int parse(struct oci_state *s, const char *text, struct err *e)
{
	memset(s, 0, sizeof(*s));
	memset(e, 0, sizeof(*e));
	return oci_state_parse(s, text, strlen(text), e);
}

static void test_states_of_engines_are_read(void **state)
{
	auto_oci_state struct oci_state runc, crun, podman, stopped;
	struct err e;

	assert_int_equal(parse(&runc, RUNC_CREATE, &e), 0);
	assert_string_equal(runc.id, "c1");
	assert_int_equal(runc.pid, 4711);
	assert_int_equal(runc.status, OCI_STATUS_CREATING);
	assert_int_equal(runc.devices.nr, 0);

	assert_int_equal(parse(&crun, CRUN_CREATE, &e), 0);
	assert_int_equal(crun.status, OCI_STATUS_CREATING);
	assert_int_equal(crun.devices.nr, 2);
	assert_string_equal(crun.devices.rows[0].name, "data");
	assert_string_equal(crun.devices.rows[0].keys, "target=memory,size=64M");
	assert_string_equal(crun.devices.rows[1].name, "zeta");

	assert_int_equal(parse(&podman, PODMAN_STOP, &e), 0);
	assert_int_equal(podman.status, OCI_STATUS_STOPPED);
	assert_int_equal(podman.pid, 0);
	assert_int_equal(podman.devices.nr, 1);

	assert_int_equal(parse(&stopped, "{\"id\":\"c1\",\"pid\":0,\"status\":\"stopped\"}", &e),
			 0);
	assert_int_equal(stopped.status, OCI_STATUS_STOPPED);
}

#define STATE(annotations)                                                                         \
	"{\"id\":\"c\",\"pid\":1,\"status\":\"created\",\"annotations\":" annotations "}"

static const struct {
	const char *text;
	const char *word; /* that the reason has in it */
} bad_states[] = {
	{ "", "ends too early" },
	{ "{", "ends too early" },
	{ "null ", "no JSON object" },
	{ "[]", "no JSON object" },
	{ "{}x", "behind its end" },
	{ "{\"id\":\"c\",\"status\":\"created\"} {}", "behind its end" },
	{ "{}", "no id" },
	{ "{\"id\":7}", "no id" },
	{ "{\"id\":\"\",\"status\":\"created\"}", "id is longer" },
	{ "{\"id\":\"../x\",\"status\":\"created\"}", "id is longer" },
	{ "{\"id\":\"a\\u0000b\",\"status\":\"created\"}", "id is longer" },
	{ "{\"id\":\"a\\nb\",\"status\":\"created\"}", "id is longer" },
	{ "{\"id\":\"c\"}", "no status" },
	{ "{\"id\":\"c\",\"status\":\"gone\\n\"}", "unknown status: gone\\x0a" },
	{ "{\"id\":\"c\",\"status\":\"created\",\"pid\":-1}", "pid" },
	{ "{\"id\":\"c\",\"status\":\"created\",\"pid\":4294967297}", "pid" },
	{ "{\"id\":\"c\",\"status\":\"created\",\"pid\":\"1\"}", "pid" },
	{ STATE("7"), "no JSON object" },
	{ STATE("{\"io.ublk-oci.device.x\":7}"), "annotation io.ublk-oci.device.x: its value is" },
	{ STATE("{\"io.ublk-oci.device.x\":null}"), "its value is no string" },
	{ STATE("{\"io.ublk-oci.device.x\":\"a\\u0000b\"}"), "zero byte" },
	{ STATE("{\"io.ublk-oci.device.\":\"\"}"), "1 to 63 characters" },
	{ STATE("{\"io.ublk-oci.device.a/../b\":\"\"}"), "1 to 63 characters" },
	{ STATE("{\"io.ublk-oci.device.\\u001b[2J\":\"\"}"), "device.\\x1b[2J" },
	{ STATE("{\"io.ublk-oci.devcie.x\":\"\"}"), "io.ublk-oci.devcie.x is not known" },
	{ STATE("{\"a\":\"\xff\"}"), "not JSON" },
};

static void test_hostile_states_are_refused_in_words(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_states); i++) {
		auto_oci_state struct oci_state s;
		struct err e;
		int r = parse(&s, bad_states[i].text, &e);

		if (r >= 0 || !strstr(e.text, bad_states[i].word))
			print_error("%s: %d %s\n", bad_states[i].text, r, e.text);
		assert_true(r < 0);
		assert_non_null(strstr(e.text, bad_states[i].word));
		assert_null(strpbrk(e.text, "\n\033"));
	}
}

static void test_a_stopped_container_is_known_in_spite_of_its_annotations(void **state)
{
	auto_oci_state struct oci_state s;
	struct err e;

	assert_true(parse(&s,
			  "{\"annotations\":{\"io.ublk-oci.x\":1},\"status\":\"stopped\","
			  "\"id\":\"c9\"}",
			  &e) < 0);
	assert_string_equal(s.id, "c9");
	assert_int_equal(s.status, OCI_STATUS_STOPPED);
}

static void test_of_a_key_written_twice_the_last_counts(void **state)
{
	auto_oci_state struct oci_state s;
	struct err e;

	assert_int_equal(parse(&s,
			       STATE("{\"io.ublk-oci.device.x\":\"a\","
				     "\"io.ublk-oci.device.x\":\"b\"}"),
			       &e),
			 0);
	assert_int_equal(s.devices.nr, 1);
	assert_string_equal(s.devices.rows[0].keys, "b");
}

/* A state with one device whose keys are n characters. */
static char *long_state(size_t n)
{
	static const char head[] = "{\"id\":\"c\",\"pid\":1,\"status\":\"created\",\"annotations\":"
				   "{\"io.ublk-oci.device.x\":\"";
	char *text = malloc(sizeof(head) + n + 4);

	memcpy(text, head, sizeof(head) - 1);
	memset(text + sizeof(head) - 1, 'a', n);
	strcpy(text + sizeof(head) - 1 + n, "\"}}");
	return text;
}

static void test_long_annotations_are_refused(void **state)
{
	static const size_t sizes[] = { 8193, OCI_STATE_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		auto_free char *text = long_state(sizes[i]);
		auto_oci_state struct oci_state s;
		struct err e;

		assert_int_equal(parse(&s, text, &e), -E2BIG);
	}
}

static void test_deep_and_wide_documents_are_refused(void **state)
{
	char deep[256], *wide = malloc(64 * 1024);
	auto_oci_state struct oci_state s;
	size_t n = 0;
	struct err e;

	memset(deep, '[', sizeof(deep));
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(parse(&s, deep, &e), -EINVAL);
	n += (size_t)sprintf(wide,
			     "{\"id\":\"c\",\"pid\":1,\"status\":\"created\",\"annotations\":{");
	for (int i = 0; i <= OCI_DEVICES_MAX; i++)
		n += (size_t)sprintf(wide + n, "%s\"io.ublk-oci.device.d%d\":\"\"", i ? "," : "",
				     i);
	sprintf(wide + n, "}}");
	assert_int_equal(parse(&s, wide, &e), -E2BIG);
	free(wide);
}

static void test_a_bundle_can_have_the_annotations(void **state)
{
	static const char text[] = "{\"ociVersion\":\"1.0.2\",\"process\":{},\"annotations\":"
				   "{\"io.ublk-oci.device.data\":\"target=memory,size=1M\"}}";
	auto_oci_devices struct oci_devices d = { 0 };
	auto_oci_devices struct oci_devices none = { 0 };
	struct err e;

	assert_int_equal(oci_config_parse(&d, text, strlen(text), &e), 0);
	assert_int_equal(d.nr, 1);
	assert_string_equal(d.rows[0].name, "data");
	assert_int_equal(oci_config_parse(&none, "{}", 2, &e), 0);
	assert_int_equal(none.nr, 0);
}

static void test_lists_of_runtimes_are_read(void **state)
{
	static const char list[] = "[ { \"id\" : \"c1\", \"pid\" : 7, \"status\" : \"running\" },"
				   "  { \"id\" : \"../x\", \"pid\" : 8, \"status\" : \"running\" },"
				   "  { \"id\" : \"c2\" }, null, 5,"
				   "  { \"id\" : \"c3\", \"pid\" : 0, \"status\" : \"stopped\", "
				   "\"owner\" : \"root\" } ]";
	auto_free struct container_row *rows = NULL, *none = NULL, *null = NULL, *bad = NULL;
	size_t nr = 42;
	struct err e;

	assert_int_equal(containers_parse(&rows, &nr, list, &e), 0);
	assert_int_equal(nr, 2);
	assert_string_equal(rows[0].id, "c1");
	assert_int_equal(rows[0].pid, 7);
	assert_string_equal(rows[1].status, "stopped");
	assert_int_equal(containers_parse(&none, &nr, "[\n\n]\n", &e), 0);
	assert_int_equal(nr, 0);
	assert_int_equal(containers_parse(&null, &nr, "null", &e), 0);
	assert_int_equal(nr, 0);
	assert_int_equal(containers_parse(&bad, &nr, "{}", &e), -EINVAL);
	assert_int_equal(containers_parse(&bad, &nr, "ID  PID", &e), -EINVAL);
	assert_int_equal(containers_parse(&bad, &nr, "", &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states_of_engines_are_read),
		cmocka_unit_test(test_hostile_states_are_refused_in_words),
		cmocka_unit_test(test_a_stopped_container_is_known_in_spite_of_its_annotations),
		cmocka_unit_test(test_of_a_key_written_twice_the_last_counts),
		cmocka_unit_test(test_long_annotations_are_refused),
		cmocka_unit_test(test_deep_and_wide_documents_are_refused),
		cmocka_unit_test(test_a_bundle_can_have_the_annotations),
		cmocka_unit_test(test_lists_of_runtimes_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
