/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC over HTTP/2: what a client gets, with nghttp2's own client at the other end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "driver/base/cleanup.h"
#include "oci-hook/csi/grpc.h"

#define CALLS_MAX 300
#define BODY_MAX (2u << 20)

/* Both ends, and what they saw. */
static struct world {
	struct grpc *server;
	nghttp2_session *client;
	bool echo; /* calls are answered at once, by what they said */
	int32_t called[CALLS_MAX];
	size_t nr_called, nr_gone;
	char path[GRPC_PATH_MAX];
	int timeout_ms;
	uint8_t *body; /* of what is sent; prefix and message */
	size_t body_size, body_sent;
	char http[8], type[32], status[8], words[1100];
	uint8_t *answer;
	size_t answer_size;
	bool ended;
	uint32_t goaway;
} world;

/* --- the two ends ------------------------------------------------------------------------- */

static void on_call(void *arg, const struct grpc_request *request)
{
	assert_true(world.nr_called < CALLS_MAX);
	world.called[world.nr_called++] = request->stream;
	strcpy(world.path, request->path);
	world.timeout_ms = request->timeout_ms;
	if (world.echo)
		assert_int_equal(grpc_answer(world.server, request->stream, CODE_OK, NULL,
					     request->message, request->size),
				 0);
}

static void on_gone(void *arg, int32_t stream)
{
	world.nr_gone++;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_size, const uint8_t *value, size_t size, uint8_t flags, void *arg)
{
	static const struct {
		const char *name;
		char *to;
		size_t room;
	} rows[] = {
		{ ":status", world.http, sizeof(world.http) },
		{ "content-type", world.type, sizeof(world.type) },
		{ "grpc-status", world.status, sizeof(world.status) },
		{ "grpc-message", world.words, sizeof(world.words) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strlen(rows[i].name) == name_size && !memcmp(rows[i].name, name, name_size))
			snprintf(rows[i].to, rows[i].room, "%.*s", (int)size, value);
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
		   size_t size, void *arg)
{
	assert_true(world.answer_size + size <= BODY_MAX);
	memcpy(world.answer + world.answer_size, bytes, size);
	world.answer_size += size;
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	if (frame->hd.type == NGHTTP2_GOAWAY)
		world.goaway = frame->goaway.error_code;
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	world.ended = true;
	return 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
		       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	size_t n = world.body_size - world.body_sent;

	n = n < room ? n : room;
	memcpy(buf, world.body + world.body_sent, n);
	world.body_sent += n;
	if (world.body_sent == world.body_size)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

/* Everything both have to say, in small pieces. */
static int talk(void)
{
	const uint8_t *bytes;
	ssize_t n;
	int r = 0;

	for (bool more = true; more && r == 0;) {
		more = false;
		while (r == 0 && (n = nghttp2_session_mem_send(world.client, &bytes)) > 0) {
			for (ssize_t at = 0; at < n && r == 0; at += 7)
				r = grpc_take(world.server, bytes + at,
					      (size_t)(n - at < 7 ? n - at : 7));
			more = true;
		}
		while ((n = grpc_give(world.server, &bytes)) > 0) {
			assert_int_equal(nghttp2_session_mem_recv(world.client, bytes, (size_t)n),
					 n);
			more = true;
		}
		assert_int_equal(n, 0);
	}
	return r;
}

static int begin(void **state)
{
	static const struct grpc_events events = { on_call, on_gone };
	nghttp2_session_callbacks *callbacks;

	world = (struct world){ .body = malloc(BODY_MAX), .answer = malloc(BODY_MAX) };
	assert_true(world.body && world.answer);
	assert_int_equal(grpc_open(&world.server, &events, &world), 0);
	assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	assert_int_equal(nghttp2_session_client_new(&world.client, callbacks, NULL), 0);
	nghttp2_session_callbacks_del(callbacks);
	assert_int_equal(nghttp2_submit_settings(world.client, 0, NULL, 0), 0);
	assert_false(grpc_began(world.server));
	assert_int_equal(talk(), 0);
	assert_true(grpc_began(world.server));
	return 0;
}

static int end(void **state)
{
	grpc_closep(&world.server);
	nghttp2_session_del(world.client);
	free(world.body);
	free(world.answer);
	return 0;
}

static void set_body(uint8_t compressed, uint32_t said, const void *message, size_t size)
{
	const uint8_t prefix[] = { compressed, (uint8_t)(said >> 24), (uint8_t)(said >> 16),
				   (uint8_t)(said >> 8), (uint8_t)said };

	memcpy(world.body, prefix, sizeof(prefix));
	if (message)
		memcpy(world.body + sizeof(prefix), message, size);
	world.body_size = sizeof(prefix) + size;
	world.body_sent = 0;
}

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)name,
			     .namelen = strlen(name),
			     .value = (uint8_t *)value,
			     .valuelen = strlen(value) };
}

/* Sends the body, with these fields in place of the usual ones. */
static int32_t submit(const char *method, const char *path, const char *type, const char *timeout)
{
	nghttp2_data_provider data = { .read_callback = on_read };
	const nghttp2_nv fields[] = {
		field(":method", method),
		field(":scheme", "http"),
		field(":path", path),
		field(":authority", "localhost"),
		field("content-type", type),
		field("te", "trailers"),
		field("grpc-timeout", timeout ? timeout : ""),
	};

	world.ended = false;
	world.answer_size = 0;
	*world.http = *world.type = *world.status = *world.words = '\0';
	return nghttp2_submit_request(world.client, NULL, fields,
				      ARRAY_SIZE(fields) - (timeout ? 0 : 1), &data, NULL);
}

static void ask(const char *path)
{
	assert_true(submit("POST", path, "application/grpc", NULL) > 0);
	assert_int_equal(talk(), 0);
}

/* --- calls -------------------------------------------------------------------------------- */

static void test_a_call_is_answered(void **state)
{
	world.echo = true;
	set_body(0, 3, "abc", 3);
	assert_true(submit("POST", "/a.B/C", "application/grpc+proto", "1500m") > 0);
	assert_int_equal(talk(), 0);
	assert_true(world.ended);
	assert_string_equal(world.path, "/a.B/C");
	assert_int_equal(world.timeout_ms, 1500);
	assert_string_equal(world.http, "200");
	assert_string_equal(world.type, "application/grpc");
	assert_string_equal(world.status, "0");
	assert_int_equal(world.answer_size, 8);
	assert_memory_equal(world.answer, "\0\0\0\0\3abc", 8);
	/* Another one, empty, without a time; then one larger than a window. */
	set_body(0, 0, NULL, 0);
	ask("/");
	assert_int_equal(world.timeout_ms, -1);
	assert_int_equal(world.answer_size, 5);
	set_body(0, 300000, NULL, 0);
	memset(world.body + 5, 'x', 300000);
	world.body_size += 300000;
	ask("/");
	assert_string_equal(world.status, "0");
	assert_int_equal(world.answer_size, 300005);
	assert_int_equal(world.nr_called, 3);
	assert_int_equal(world.nr_gone, 0);
}

static void test_a_refusal_has_words(void **state)
{
	char words[2000];

	set_body(0, 0, NULL, 0);
	ask("/x");
	assert_false(world.ended);
	assert_int_equal(grpc_answer(world.server, world.called[0], CODE_ABORTED,
				     "50 % of \xc3\xa4\n", NULL, 0),
			 0);
	assert_int_equal(talk(), 0);
	assert_true(world.ended);
	assert_string_equal(world.http, "200");
	assert_string_equal(world.status, "10");
	assert_string_equal(world.words, "50 %25 of %C3%A4%0A");
	assert_int_equal(world.answer_size, 0);
	/* Once only, and not of what is not there. */
	assert_int_equal(grpc_answer(world.server, world.called[0], CODE_OK, NULL, NULL, 0), 0);
	assert_int_equal(grpc_answer(world.server, 99, CODE_OK, NULL, NULL, 0), 0);
	set_body(0, 0, NULL, 0);
	ask("/x");
	memset(words, '%', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	assert_int_equal(grpc_answer(world.server, world.called[1], CODE_INTERNAL, words, NULL, 0),
			 0);
	assert_int_equal(talk(), 0);
	assert_true(strlen(world.words) > 900 && strlen(world.words) % 3 == 0);
}

static void test_what_is_no_call(void **state)
{
	static const struct {
		const char *method, *type, *http, *status;
		uint8_t compressed;
		uint32_t said;
		size_t size;
	} rows[] = {
		{ "GET", "application/grpc", "405", "", 0, 0, 0 },
		{ "POST", "text/html", "415", "", 0, 0, 0 },
		{ "POST", "application/grpcx", "415", "", 0, 0, 0 },
		{ "POST", "application/grpc", "200", "12", 1, 1, 1 },
		{ "POST", "application/grpc", "200", "13", 0, 2, 1 },
		{ "POST", "application/grpc", "200", "13", 0, 1, 2 },
		{ "POST", "application/grpc", "200", "13", 0, UINT32_MAX, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		set_body(rows[i].compressed, rows[i].said, "xyz", rows[i].size);
		assert_true(submit(rows[i].method, "/x", rows[i].type, NULL) > 0);
		assert_int_equal(talk(), 0);
		assert_true(world.ended);
		assert_string_equal(world.http, rows[i].http);
		assert_string_equal(world.status, rows[i].status);
	}
	set_body(0, 0, NULL, 0);
	world.body_size = 3;
	ask("/x");
	assert_string_equal(world.status, "13");
	set_body(0, 0, NULL, 0);
	assert_true(submit("POST", "/x", "application/grpc", "soon") > 0);
	assert_int_equal(talk(), 0);
	assert_true(world.ended);
	assert_string_equal(world.status, "");
	assert_int_equal(world.nr_called, 0);
}

static void test_limits(void **state)
{
	char path[GRPC_PATH_MAX + 10], type[GRPC_HEADERS_MAX + 10];

	memset(path, '/', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	set_body(0, 0, NULL, 0);
	ask(path);
	assert_string_equal(world.path, "");
	memset(type, 'x', sizeof(type));
	type[sizeof(type) - 1] = '\0';
	assert_true(submit("POST", "/x", type, NULL) > 0);
	assert_int_equal(talk(), 0);
	assert_true(world.ended);
	assert_int_equal(world.nr_called, 1);
	/* One byte more than a message may have is not waited for. */
	set_body(0, GRPC_MESSAGE_MAX + 1, NULL, GRPC_MESSAGE_MAX + 1);
	memset(world.body + 5, 0, GRPC_MESSAGE_MAX + 1);
	ask("/x");
	assert_string_equal(world.status, "8");
	assert_int_equal(world.nr_called, 1);
	set_body(0, GRPC_MESSAGE_MAX, NULL, GRPC_MESSAGE_MAX);
	memset(world.body + 5, 0, GRPC_MESSAGE_MAX);
	ask("/x");
	assert_int_equal(world.nr_called, 2);
}

static void test_who_takes_calls_back_is_told_to_be_calm(void **state)
{
	int32_t stream;

	for (unsigned int i = 0; i < GRPC_RESETS_MAX; i++) {
		set_body(0, 0, NULL, 0);
		stream = submit("POST", "/x", "application/grpc", NULL);
		assert_true(stream > 0);
		assert_int_equal(talk(), 0);
		nghttp2_submit_rst_stream(world.client, 0, stream, NGHTTP2_CANCEL);
		assert_int_equal(talk(), 0);
		assert_int_equal(world.nr_gone, i + 1);
	}
	assert_int_equal(world.goaway, 0);
	set_body(0, 0, NULL, 0);
	stream = submit("POST", "/x", "application/grpc", NULL);
	talk();
	nghttp2_submit_rst_stream(world.client, 0, stream, NGHTTP2_CANCEL);
	talk();
	assert_int_equal(world.goaway, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_true(grpc_ended(world.server));
}

static void test_streams_are_limited(void **state)
{
	for (int i = 0; i < GRPC_STREAMS_MAX + 5; i++) {
		set_body(0, 0, NULL, 0);
		ask("/x");
	}
	assert_int_equal(world.nr_called, GRPC_STREAMS_MAX);
	for (int i = 0; i < 5; i++)
		grpc_answer(world.server, world.called[i], CODE_UNAVAILABLE, "x", NULL, 0);
	set_body(0, 0, NULL, 0);
	assert_int_equal(talk(), 0);
	assert_true(world.nr_called > GRPC_STREAMS_MAX);
}

static void test_what_is_no_http2_ends_it(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const struct grpc_events events = { on_call, on_gone };
	auto_grpc struct grpc *g = NULL;

	assert_int_equal(grpc_open(&g, &events, NULL), 0);
	assert_true(grpc_take(g, (const uint8_t *)text, sizeof(text) - 1) < 0);
	assert_false(grpc_began(g));
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int ms;
	} rows[] = {
		{ "1H", 3600000 },
		{ "2M", 120000 },
		{ "3S", 3000 },
		{ "4m", 4 },
		{ "1u", 1 },
		{ "1001u", 2 },
		{ "0n", 0 },
		{ "1n", 1 },
		{ "S", -EINVAL },
		{ "1", -EINVAL },
		{ "1s", -EINVAL },
		{ "-1S", -EINVAL },
		{ " 1S", -EINVAL },
		{ "1 S", -EINVAL },
		{ "", -EINVAL },
		{ "99999999n", 100 },
		{ "123456789S", -EINVAL },
		{ "99999999H", GRPC_TIMEOUT_MS_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(grpc_parse_timeout(rows[i].text, strlen(rows[i].text)),
				 rows[i].ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_call_is_answered, begin, end),
		cmocka_unit_test_setup_teardown(test_a_refusal_has_words, begin, end),
		cmocka_unit_test_setup_teardown(test_what_is_no_call, begin, end),
		cmocka_unit_test_setup_teardown(test_limits, begin, end),
		cmocka_unit_test_setup_teardown(test_who_takes_calls_back_is_told_to_be_calm, begin,
						end),
		cmocka_unit_test_setup_teardown(test_streams_are_limited, begin, end),
		cmocka_unit_test(test_what_is_no_http2_ends_it),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests_name("grpc", tests, NULL, NULL);
}
