/* SPDX-License-Identifier: Apache-2.0 */
/* What the client makes of answers that no helper gives. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "oci-hook/client.h"
#include "tests/fake/helper_fake.h"

static void answer_short(int fd, const struct packet *p)
{
	struct wire_reply r = reply_make(0, "");

	send_bytes(fd, &r, sizeof(r) - 1);
}

static void answer_understated(int fd, const struct packet *p)
{
	struct wire_reply r = reply_make(0, "");

	r.head.size -= 8;
	send_bytes(fd, &r, sizeof(r));
}

static void answer_small(int fd, const struct packet *p)
{
	send_bytes(fd, "x", 1);
}

static void answer_oversized(int fd, const struct packet *p)
{
	char bytes[PACKET_SIZE_MAX + 1] = { 0 };

	send_bytes(fd, bytes, sizeof(bytes));
}

static void answer_other_magic(int fd, const struct packet *p)
{
	struct wire_reply r = reply_make(0, "");

	r.head.magic = 1;
	send_bytes(fd, &r, sizeof(r));
}

static void answer_other_type(int fd, const struct packet *p)
{
	struct wire_reply r = reply_make(0, "");

	r.head.type = WIRE_ATTACH;
	send_bytes(fd, &r, sizeof(r));
}

static void answer_with_fd(int fd, const struct packet *p)
{
	struct wire_reply r = reply_make(0, "");
	int null = open("/dev/null", O_RDONLY);

	packet_send(fd, &r, sizeof(r), &null, 1, 1000);
}

static void answer_endless_text(int fd, const struct packet *p)
{
	struct wire_reply r = reply_make(-EPERM, "");

	memset(r.reason, 'a', sizeof(r.reason));
	send_bytes(fd, &r, sizeof(r));
}

static void answer_positive(int fd, const struct packet *p)
{
	struct wire_reply r = reply_make(EPERM, "no");

	send_bytes(fd, &r, sizeof(r));
}

static void answer_new_version(int fd, const struct packet *p)
{
	struct wire_reply r = reply_make(-EPROTONOSUPPORT, "");

	r.head.version = 9;
	send_bytes(fd, &r, sizeof(r));
}

static void answer_unknown_version(int fd, const struct packet *p)
{
	struct wire_device d = device_make(1, "c", "/dev/x");

	d.head.version = 9;
	send_bytes(fd, &d, sizeof(d));
}

static void answer_close(int fd, const struct packet *p)
{
	close(fd);
}

static void answer_never(int fd, const struct packet *p)
{
	sleep(30);
}

static const struct {
	const char *name;
	script *answer;
	int r;
	const char *word; /* that the reason has in it */
} wrong[] = {
	{ "a byte is missing", answer_short, -EPROTO, "not a packet of ours" },
	{ "its size is not said", answer_understated, -EPROTO, "not a packet of ours" },
	{ "no head", answer_small, -EPROTO, "not a packet of ours" },
	{ "too long", answer_oversized, -EPROTO, "too long" },
	{ "another magic", answer_other_magic, -EPROTO, "not a packet of ours" },
	{ "a request as answer", answer_other_type, -EPROTO, "unknown type" },
	{ "a device as reply", answer_device, -EPROTO, "not a reply" },
	{ "a descriptor", answer_with_fd, -EPROTO, "file descriptors" },
	{ "words without end", answer_endless_text, -EPROTO, "a reply that is none" },
	{ "a positive status", answer_positive, -EPROTO, "a reply that is none" },
	{ "a newer helper", answer_new_version, -EPROTONOSUPPORT, "same release" },
	{ "an unknown version", answer_unknown_version, -EPROTO, "unknown version" },
	{ "it closes", answer_close, -ECONNRESET, "without an answer" },
	{ "it never answers", answer_never, -ETIMEDOUT, "did not answer in time" },
};

static void test_wrong_answers_are_errors_with_words(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct wire_reply reply = { .dev_id = 99 };
		struct fake f;
		struct err e;
		int r;

		fake_start(&f, wrong[i].answer);
		r = client_detach(1, 0, SHORT_MS, &reply, &e);
		fake_end(&f);
		if (r != wrong[i].r || !strstr(e.text, wrong[i].word))
			print_error("%s: %d %s\n", wrong[i].name, r, e.text);
		assert_int_equal(r, wrong[i].r);
		assert_non_null(strstr(e.text, wrong[i].word));
		assert_int_equal(reply.dev_id, 99);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_answers_are_errors_with_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
