/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "driver/base/cleanup.h"
#include "driver/wire/packet.h"
#include "oci-hook/cli/policy.h"
#include "oci-hook/client.h"
#include "tests/unit/capture.h"

#define ARGS_MAX 6
#define OUTPUT_SIZE 1024

static const char good[] = "{ \"version\": 1, \"worker_ids\": { \"first\": 910000, \"count\": 1 },"
			   " \"rules\": [ { \"id\": \"r\", \"principal\": { \"user\": \"root\" },"
			   " \"targets\": [\"null\"], \"max_size\": \"1G\", \"host\": true } ] }";
static const char bad[] = "{ \"version\": 1, \"worker_ids\": { \"first\": 910000, \"count\": 1 },"
			  " \"rules\": [ { \"id\": \"r\", \"principal\": { \"user\": \"root\" },"
			  " \"targets\": [\"null\"], \"max_size\": \"1Q\", \"host\": true } ] }";

struct place {
	char dir[32];
	char good[64];
	char bad[64];
	char socket[64];
};

static void write_file(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static int place_setup(void **state)
{
	static struct place p;

	strcpy(p.dir, "/tmp/policy-XXXXXX");
	assert_non_null(mkdtemp(p.dir));
	snprintf(p.good, sizeof(p.good), "%s/good.json", p.dir);
	snprintf(p.bad, sizeof(p.bad), "%s/bad.json", p.dir);
	snprintf(p.socket, sizeof(p.socket), "%s/sock", p.dir);
	setenv(CLIENT_SOCKET_VARIABLE, p.socket, 1);
	write_file(p.good, good);
	write_file(p.bad, bad);
	*state = &p;
	return 0;
}

static int place_teardown(void **state)
{
	struct place *p = *state;

	unlink(p->good);
	unlink(p->bad);
	return rmdir(p->dir);
}

/* Its exit status; what it printed goes to text. */
static int run(const char *const *args, char text[OUTPUT_SIZE])
{
	char *argv[ARGS_MAX + 1] = { NULL };
	int argc = 0;

	while (args[argc]) {
		argv[argc] = (char *)args[argc];
		argc++;
	}
	return capture(policy_main, argc, argv, NULL, text, OUTPUT_SIZE);
}

static void test_a_good_policy_is_ok(void **state)
{
	struct place *p = *state;
	char text[OUTPUT_SIZE], expected[OUTPUT_SIZE];

	assert_int_equal(run((const char *[]){ "policy", "check", p->good, NULL }, text), 0);
	snprintf(expected, sizeof(expected), "%s: ok, 1 rule\n", p->good);
	assert_string_equal(text, expected);
}

static void test_a_bad_policy_is_explained(void **state)
{
	struct place *p = *state;
	char text[OUTPUT_SIZE];

	assert_int_equal(run((const char *[]){ "policy", "check", p->bad, NULL }, text), 1);
	assert_ptr_equal(strstr(text, "ublk-oci: policy: /tmp/policy-"), text);
	assert_non_null(strstr(text, "/bad.json: line 1, column 154: rules[0].max_size: expected"));
}

static void test_json_says_the_same_to_programs(void **state)
{
	struct place *p = *state;
	char text[OUTPUT_SIZE];
	struct json_object *o;

	assert_int_equal(run((const char *[]){ "policy", "check", "--json", p->good, NULL }, text),
			 0);
	o = json_tokener_parse(text);
	assert_true(json_object_get_boolean(json_object_object_get(o, "valid")));
	assert_int_equal(json_object_get_int(json_object_object_get(o, "rules")), 1);
	json_object_put(o);

	assert_int_equal(run((const char *[]){ "policy", "check", p->bad, "--json", NULL }, text),
			 1);
	o = json_tokener_parse(text);
	assert_false(json_object_get_boolean(json_object_object_get(o, "valid")));
	assert_string_equal(json_object_get_string(json_object_object_get(o, "file")), p->bad);
	assert_non_null(strstr(json_object_get_string(json_object_object_get(o, "error")),
			       "rules[0].max_size"));
	json_object_put(o);
}

static void test_a_file_others_may_write_is_refused(void **state)
{
	struct place *p = *state;
	char text[OUTPUT_SIZE];

	assert_int_equal(chmod(p->good, 0666), 0);
	assert_int_equal(run((const char *[]){ "policy", "check", p->good, NULL }, text), 1);
	assert_non_null(strstr(text, "use: chmod go-w"));
	assert_int_equal(chmod(p->good, 0600), 0);
}

static void test_wrong_usage_is_2(void **state)
{
	static const char *const rows[][ARGS_MAX] = {
		{ "policy" },
		{ "policy", "check" },
		{ "policy", "check", "a", "b" },
		{ "policy", "explain" },
		{ "policy", "--json", "explain" },
		{ "policy", "reload", "a" },
		{ "policy", "reload", "--json" },
		{ "policy", "rewrite" },
		{ "policy", "check", "a", "--xml" },
		{ "policy", "check", "a", "--json=yes" },
	};
	char text[OUTPUT_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(run(rows[i], text), 2);
		assert_non_null(strstr(text, "(see ublk-oci policy "));
	}
}

/* A helper for one request, which has to be for a reload; the child's pid. */
static pid_t helper_start(const struct place *p, int code, const char *reason)
{
	struct wire_reply reply = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_REPLY, sizeof(reply), 0 },
		.status = -code,
	};
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct packet packet = PACKET_INIT;
	const struct wire_head *head;
	pid_t pid;

	snprintf(reply.reason, sizeof(reply.reason), "%s", reason);
	strcpy(addr.sun_path, p->socket);
	unlink(p->socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid) {
		close(fd);
		return pid;
	}
	alarm(10);
	fd = accept(fd, NULL, NULL);
	if (packet_receive(fd, &packet, 5000))
		_exit(1);
	head = (const void *)packet.bytes;
	if (head->type == WIRE_RELOAD && packet.size == sizeof(struct wire_reload) &&
	    head->size == packet.size && !packet.nr_fds)
		packet_send(fd, &reply, sizeof(reply), NULL, 0, 1000);
	_exit(0);
}

static void test_reload_says_what_the_helper_says(void **state)
{
	struct place *p = *state;
	const char *const args[] = { "policy", "reload", NULL };
	char text[OUTPUT_SIZE];
	pid_t pid;

	pid = helper_start(p, 0, "3 rules");
	assert_int_equal(run(args, text), 0);
	assert_string_equal(text, "the policy is read again: 3 rules\n");
	waitpid(pid, NULL, 0);

	pid = helper_start(p, EINVAL, "p.json: line 3, column 14: expected a value");
	assert_int_equal(run(args, text), 1);
	assert_string_equal(text,
			    "ublk-oci: policy: p.json: line 3, column 14: expected a value\n");
	waitpid(pid, NULL, 0);

	unlink(p->socket);
	assert_int_equal(run(args, text), 1);
	assert_non_null(strstr(text, "is ublk-ocid running?"));
}

static void test_help_is_not_an_error(void **state)
{
	char text[OUTPUT_SIZE];

	assert_int_equal(run((const char *[]){ "policy", "--help", NULL }, text), 0);
	assert_ptr_equal(strstr(text, "usage: ublk-oci policy check FILE [--json]\n"), text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_good_policy_is_ok),
		cmocka_unit_test(test_a_bad_policy_is_explained),
		cmocka_unit_test(test_json_says_the_same_to_programs),
		cmocka_unit_test(test_a_file_others_may_write_is_refused),
		cmocka_unit_test(test_wrong_usage_is_2),
		cmocka_unit_test(test_reload_says_what_the_helper_says),
		cmocka_unit_test(test_help_is_not_an_error),
	};

	return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
