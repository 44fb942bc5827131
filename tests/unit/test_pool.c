/* SPDX-License-Identifier: Apache-2.0 */
/* What ublk-oci-pool takes for a request, and what it makes of its program and its servers. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "oci-hook/pool/ask.h"
#include "oci-hook/pool/jobs.h"
#include "oci-hook/pool/program.h"

#define IMAGE "a.0123456789abcdef"

static struct packet a_packet(void)
{
	struct packet p = PACKET_INIT;
	struct pool_ask ask = {
		.head = { POOL_MAGIC, POOL_VERSION, POOL_CREATE, sizeof(ask), 0 },
		.size_bytes = 4096,
		.name = "a",
		.id = "0123456789abcdef",
	};

	memcpy(p.bytes, &ask, sizeof(ask));
	p.size = sizeof(ask);
	return p;
}

#define MUST_REFUSE(change)                                                                        \
	do {                                                                                       \
		struct packet p_ = a_packet();                                                     \
		struct pool_ask *ask = (void *)p_.bytes;                                           \
		(void)ask;                                                                         \
		change;                                                                            \
		assert_int_equal(ask_admit(&p_, &got, image), -EBADMSG);                           \
	} while (0)

static void test_only_exact_requests_are_taken(void **state)
{
	char image[SERVER_IMAGE_SIZE];
	struct packet p = a_packet();
	struct pool_ask got;

	assert_int_equal(ask_admit(&p, &got, image), 0);
	assert_string_equal(image, IMAGE);
	MUST_REFUSE(p_.size--);
	MUST_REFUSE(p_.nr_fds = 1);
	MUST_REFUSE(ask->head.magic++);
	MUST_REFUSE(ask->head.version++);
	MUST_REFUSE(ask->head.size++);
	MUST_REFUSE(ask->head.nr_fds = 1);
	MUST_REFUSE(ask->head.type = POOL_NONE);
	MUST_REFUSE(ask->head.type = POOL_END);
	MUST_REFUSE(ask->head.type = POOL_REMOVE); /* with a size */
	MUST_REFUSE(ask->size_bytes = 0);
	MUST_REFUSE(*ask->name = '\0');
	MUST_REFUSE(*ask->name = '-');
	MUST_REFUSE(*ask->name = '/');
	MUST_REFUSE(memset(ask->name, 'a', sizeof(ask->name)));
	MUST_REFUSE(ask->name[5] = 'x'); /* behind its end */
	MUST_REFUSE(ask->id[15] = '\0');
	MUST_REFUSE(ask->id[15] = 'F');
	MUST_REFUSE(ask->id[16] = '0');
	MUST_REFUSE(ask->id[3] = '/');
}

/* What is removed while it is being made would be there in the end, and nobody's. */
static void test_an_image_has_one_job(void **state)
{
	struct jobs jobs = { 0 };
	struct err e = { "" };
	char image[SERVER_IMAGE_SIZE];
	int fds[JOBS_MAX], more = -1;

	assert_int_equal(jobs_begin(&jobs, IMAGE, &fds[0], &e), 0);
	assert_int_equal(jobs_check(&jobs, IMAGE, &e), -EAGAIN);
	assert_int_equal(jobs_begin(&jobs, IMAGE, &more, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "still at work on image " IMAGE));
	assert_int_equal(jobs_check(&jobs, "b" IMAGE, &e), 0);
	for (int i = 1; i < JOBS_MAX; i++) {
		snprintf(image, sizeof(image), "%d" IMAGE, i);
		assert_int_equal(jobs_begin(&jobs, image, &fds[i], &e), 0);
	}
	assert_int_equal(jobs_begin(&jobs, "b" IMAGE, &more, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "too much"));
	/* What is over is over at once, whenever its process is gone. */
	close(fds[0]);
	assert_int_equal(jobs_begin(&jobs, IMAGE, &fds[0], &e), 0);
	assert_int_equal(jobs_check(&jobs, image, &e), -EAGAIN);
	for (int i = 0; i < JOBS_MAX; i++)
		close(fds[i]);
	assert_int_equal(jobs_check(&jobs, image, &e), 0);
	assert_int_equal(jobs.nr, 0);
	assert_int_equal(more, -1);
}

/* A program in a directory of the test's, which is the current one. */
static char dir[40];

static void program_write(const char *text)
{
	auto_close int fd = open("program", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/test_pool-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return chdir(dir);
}

static int teardown(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return chdir("/") || system(command);
}

static void test_a_program_says_why_it_failed(void **state)
{
	char program[64];
	struct err e = { "" };

	snprintf(program, sizeof(program), "%s/program", dir);
	program_write("#!/bin/sh\n"
		      "[ \"$#$1$2$3\" = 3create" IMAGE "4096 ] || exit 9\n"
		      "[ -z \"$LISTEN_FDS\" ] && [ \"$HOME\" = / ]\n");
	assert_int_equal(program_run(program, "create", IMAGE, 4096, &e), 0);
	assert_int_equal(program_run(program, "remove", IMAGE, 0, &e), -EIO);
	assert_string_equal(e.text, "remove: it does not say why (status 9)");
	/* The last line, of however many, and nothing that a terminal would obey. */
	program_write("#!/bin/sh\nseq 10000 >&2\nprintf 'no \\033space\\n\\n' >&2\nexit 3\n");
	assert_int_equal(program_run(program, "create", IMAGE, 4096, &e), -EIO);
	assert_string_equal(e.text, "create: no \\x1bspace (status 3)");
	program_write("#!/bin/sh\nkill -KILL $$\n");
	assert_int_equal(program_run(program, "create", IMAGE, 4096, &e), -EIO);
	assert_string_equal(e.text, "create: it was killed by signal 9");
	assert_int_equal(unlink("program"), 0);
	assert_int_equal(program_run(program, "create", IMAGE, 4096, &e), -EIO);
	assert_non_null(strstr(e.text, "cannot execute"));
}

static void test_a_program_is_roots(void **state)
{
	struct err e = { "" };

	program_write("");
	assert_int_equal(chmod("program", 0775), 0);
	assert_int_equal(program_check("program", &e), -EPERM);
	assert_int_equal(chmod("program", 0755), 0);
	assert_int_equal(program_check("program", &e), geteuid() ? -EPERM : 0);
	assert_int_equal(symlink("program", "link"), 0);
	assert_int_equal(program_check("link", &e), -EPERM);
	assert_int_equal(program_check("none", &e), -ENOENT);
}

/* What a server wrote, when it has. */
static void must_say(const char *file, const char *text)
{
	char got[64] = "";

	for (int i = 0; i < 500 && strcmp(got, text); i++) {
		auto_close int fd = open(file, O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			got[read(fd, got, sizeof(got) - 1)] = '\0';
		usleep(10000);
	}
	assert_string_equal(got, text);
}

static int try_connect(void)
{
	const struct sockaddr_un address = { AF_UNIX, "0123456789abcdef" };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

static void test_a_server_is_there_until_it_is_told(void **state)
{
	auto_free struct servers *s = calloc(1, sizeof(*s)), *next = calloc(1, sizeof(*s));
	struct err e = { "" };
	struct stat st;
	char program[64];

	snprintf(program, sizeof(program), "%s/program", dir);
	program_write("#!/bin/sh\n[ -S /dev/fd/3 ] && [ \"$LISTEN_FDS\" = 1 ] && echo \"$1 $2\" "
		      ">said\nexec sleep 1000\n");
	assert_true(s && next);
	s->program = next->program = program;
	s->dir_fd = next->dir_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(servers_begin(s, &e), 0);
	assert_int_equal(s->nr, 0);
	assert_int_equal(servers_start(s), -1);
	assert_int_equal(servers_add(s, IMAGE, &e), 0);
	assert_int_equal(servers_add(s, IMAGE, &e), 0);
	assert_int_equal(s->nr, 1);
	/* Who comes before it waits. */
	assert_int_equal(try_connect(), 0);
	assert_int_equal(stat("0123456789abcdef", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(servers_start(s), -1);
	must_say("said", "serve " IMAGE "\n");
	/* One that dies at once is started again, after a pause. */
	assert_int_equal(kill(s->all[0].pid, SIGKILL), 0);
	assert_int_equal(waitpid(s->all[0].pid, NULL, 0), s->all[0].pid);
	servers_ended(s, s->all[0].pid);
	assert_in_range(servers_start(s), 1, 1000);
	assert_int_equal(try_connect(), 0);
	s->all[0].again_ms = 0;
	assert_int_equal(servers_start(s), -1);
	assert_true(s->all[0].pid > 0);
	/* The next process finds it on record; a record that is not as it is written is none. */
	assert_int_equal(symlink("../../etc/passwd", "0123456789abcdee.image"), 0);
	assert_int_equal(servers_begin(next, &e), 0);
	assert_int_equal(next->nr, 1);
	assert_string_equal(next->all[0].image, IMAGE);
	assert_int_equal(servers_remove(next, IMAGE, &e), 0);
	assert_int_equal(servers_remove(s, IMAGE, &e), 0);
	assert_int_equal(servers_remove(s, IMAGE, &e), 0);
	assert_int_equal(s->nr, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(try_connect(), -ENOENT);
	assert_int_equal(access("0123456789abcdef.image", F_OK), -1);
	/* Where it cannot listen nothing new is on record, and what was there stays. */
	assert_int_equal(mkdir("0123456789abcdef", 0700), 0);
	assert_true(servers_add(s, IMAGE, &e) < 0);
	assert_int_equal(readlink("0123456789abcdef.image", program, sizeof(program)), -1);
	assert_int_equal(symlink(IMAGE, "0123456789abcdef.image"), 0);
	assert_int_equal(servers_begin(s, &e), 0);
	assert_int_equal(s->nr, 0);
	assert_true(readlink("0123456789abcdef.image", program, sizeof(program)) > 0);
	close(s->dir_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_exact_requests_are_taken),
		cmocka_unit_test(test_an_image_has_one_job),
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_a_program_says_why_it_failed),
		TEST(test_a_program_is_roots),
		TEST(test_a_server_is_there_until_it_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
