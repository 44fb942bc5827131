/* SPDX-License-Identifier: Apache-2.0 */
/* What a back end's program is called with, and what is shown of its words. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/backend/command.h"
#include "driver/privileged/backend.h"
#include "driver/privileged/cgroup.h"
#include "targets/image_format.h"

static void assert_words(const struct command *c, const char *const *words)
{
	unsigned int i;

	for (i = 0; words[i]; i++) {
		assert_true(i < c->nr);
		assert_string_equal(c->argv[i], words[i]);
	}
	assert_int_equal(c->nr, i);
	assert_null(c->argv[i]);
}

static struct backend_start image(uint32_t nr_files, uint32_t flags)
{
	return (struct backend_start){
		.kind = BACKEND_IMAGE,
		.flags = flags,
		.nr_files = nr_files,
		.formats = { IMAGE_QCOW2, IMAGE_RAW, IMAGE_QCOW2, IMAGE_QCOW2 },
	};
}

/* Nothing of it is the caller's: neither a path nor a word. */
static void one_image(void **state)
{
	static const char *const words[] = {
		"/usr/bin/qemu-storage-daemon",
		"--blockdev",
		"{\"driver\":\"file\",\"node-name\":\"file0\",\"filename\":\"/image/0\","
		"\"read-only\":false,\"discard\":\"unmap\"}",
		"--blockdev",
		"{\"driver\":\"qcow2\",\"node-name\":\"image\",\"file\":\"file0\","
		"\"read-only\":false,\"discard\":\"unmap\"}",
		"--nbd-server",
		"addr.type=fd,addr.str=3,max-connections=16",
		"--export",
		"type=nbd,id=device,node-name=image,name=,writable=on,writethrough=on",
		NULL,
	};
	const struct backend_start start = image(1, 0);
	struct command c;
	struct err e;

	assert_int_equal(command_make(&c, &start, &e), 0);
	assert_words(&c, words);
}

/* The base first, since a node is named after it is there; and never writable. */
static void chain(void **state)
{
	const struct backend_start start = image(2, 0);
	struct command c;
	struct err e;

	assert_int_equal(command_make(&c, &start, &e), 0);
	assert_string_equal(c.argv[2], "{\"driver\":\"file\",\"node-name\":\"file1\",\"filename\":"
				       "\"/image/1\",\"read-only\":true,\"discard\":\"unmap\"}");
	assert_string_equal(c.argv[4], "{\"driver\":\"raw\",\"node-name\":\"image1\",\"file\":"
				       "\"file1\",\"read-only\":true,\"discard\":\"unmap\"}");
	assert_string_equal(c.argv[8],
			    "{\"driver\":\"qcow2\",\"node-name\":\"image\",\"file\":\"file0\","
			    "\"read-only\":false,\"discard\":\"unmap\",\"backing\":\"image1\"}");
}

static void read_only(void **state)
{
	const struct backend_start start = image(BACKEND_FILES_MAX, BACKEND_READ_ONLY);
	struct command c;
	struct err e;

	assert_int_equal(command_make(&c, &start, &e), 0);
	for (unsigned int i = 0; i < c.nr; i++) {
		assert_null(strstr(c.argv[i], "\"read-only\":false"));
		assert_null(strstr(c.argv[i], "writable=on"));
	}
	assert_non_null(strstr(c.argv[c.nr - 1], "writable=off"));
}

/* The whole chain is given, and never what would make the image smaller. */
static void grown(void **state)
{
	static const char *const one[] = {
		"/usr/bin/qemu-img", "resize",
		"--image-opts",	     "driver=qcow2,file.driver=file,file.filename=/image/0",
		"1073741824",	     NULL,
	};
	struct backend_start start = image(1, 0);
	struct command c;
	struct err e;

	start.kind = BACKEND_GROW;
	start.size_bytes = 1 << 30;
	assert_false(command_serves(&start));
	assert_int_equal(command_make(&c, &start, &e), 0);
	assert_words(&c, one);
	start.nr_files = 3;
	assert_int_equal(command_make(&c, &start, &e), 0);
	assert_string_equal(c.argv[3], "driver=qcow2,file.driver=file,file.filename=/image/0,"
				       "backing.driver=raw,backing.file.driver=file,"
				       "backing.file.filename=/image/1,"
				       "backing.backing.driver=qcow2,"
				       "backing.backing.file.driver=file,"
				       "backing.backing.file.filename=/image/2");
	start.nr_files = BACKEND_FILES_MAX;
	assert_int_equal(command_make(&c, &start, &e), 0);
	start.nr_files = 0;
	assert_int_equal(command_make(&c, &start, &e), -EPROTO);
}

/* The image alone, and only read; what it answers is not among its words. */
static void snapshots(void **state)
{
	static const char *const words[] = {
		"/usr/bin/qemu-img",
		"info",
		"-U",
		"--output=json",
		"--image-opts",
		"driver=qcow2,file.driver=file,file.filename=/image/0",
		NULL,
	};
	struct backend_start start = image(2, BACKEND_READ_ONLY);
	struct command c;
	struct err e;

	assert_true(command_serves(&start) && !command_answers(&start));
	start.kind = BACKEND_SNAPSHOTS;
	assert_true(!command_serves(&start) && command_answers(&start));
	assert_int_equal(command_make(&c, &start, &e), 0);
	assert_words(&c, words);
	start.formats[0] = IMAGE_END;
	assert_int_equal(command_make(&c, &start, &e), -EPROTO);
}

/* Who has what was answered reads the same for ever. */
static void answer_sealed(void **state)
{
	struct backend b = BACKEND_INIT;
	struct err e;
	int fd = -1;

	b.says_fd = memfd_create("says", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(pwrite(b.says_fd, "{}", 2, 0), 2);
	assert_int_equal(backend_answer(&b, &fd, &e), 0);
	assert_true(fd >= 0 && b.says_fd < 0);
	assert_int_equal(pwrite(fd, "[]", 2, 0), -1);
	assert_int_equal(fcntl(fd, F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_SEAL),
			 F_SEAL_WRITE | F_SEAL_SEAL);
	close(fd);
	assert_true(backend_answer(&b, &fd, &e) < 0);
	backend_fini(&b);
}

static void program(void **state)
{
	static const char *const words[] = { "/usr/bin/nbdkit", "-f", "a b", NULL };
	struct backend_start start = {
		.kind = BACKEND_EXEC,
		.nr_args = 3,
		.args = "/usr/bin/nbdkit\0-f\0a b",
	};
	struct command c;
	struct err e;

	assert_int_equal(command_make(&c, &start, &e), 0);
	assert_words(&c, words);
}

/* The helper does not say so; if it did, nothing would be executed. */
static void nonsense(void **state)
{
	struct backend_start starts[] = {
		{ .kind = BACKEND_NONE },
		{ .kind = BACKEND_KINDS },
		image(0, 0),
		image(BACKEND_FILES_MAX + 1, 0),
		{ .kind = BACKEND_IMAGE, .nr_files = 1, .formats = { IMAGE_NONE } },
		{ .kind = BACKEND_IMAGE, .nr_files = 1, .formats = { IMAGE_END } },
		{ .kind = BACKEND_EXEC },
		{ .kind = BACKEND_EXEC, .nr_args = 1, .args = "nbdkit" },
		{ .kind = BACKEND_EXEC, .nr_args = BACKEND_ARGS_MAX + 1, .args = "/x" },
		{ .kind = BACKEND_EXEC, .nr_args = 1 },
	};
	struct command c;
	struct err e;

	memset(starts[9].args, '/', sizeof(starts[9].args));
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		assert_true(command_make(&c, &starts[i], &e) < 0);
}

static void format_names(void **state)
{
	for (unsigned int i = IMAGE_NONE + 1; i < IMAGE_END; i++)
		assert_int_equal(image_format_find(image_format_name(i)), i);
	assert_int_equal(image_format_find("luks"), IMAGE_NONE);
	assert_int_equal(image_format_find(""), IMAGE_NONE);
	assert_null(image_format_name(IMAGE_NONE));
	assert_null(image_format_name(IMAGE_END));
	assert_true(image_format_grows(IMAGE_QCOW2) && !image_format_grows(IMAGE_VMDK));
	assert_true(!image_format_grows(IMAGE_NONE) && !image_format_grows(IMAGE_END));
	assert_true(image_format_has_snapshots(IMAGE_QCOW2) &&
		    !image_format_has_snapshots(IMAGE_VMDK));
	assert_true(!image_format_has_snapshots(IMAGE_NONE) &&
		    !image_format_has_snapshots(IMAGE_END));
}

#define WORDS_SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static int words_file(int seals, off_t size, const char *said, size_t n)
{
	int fd = memfd_create("words", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	assert_int_equal(pwrite(fd, said, n, 0), (ssize_t)n);
	return fd;
}

static void words_shown(void **state)
{
	static const struct {
		const char *said, *shown;
	} rows[] = {
		{ "", "" },
		{ "\n\n", "" },
		{ "one\n", "one" },
		{ "one\ntwo", "two" },
		{ "one\nt\x1b[wo\n\n", "t?[wo" },
	};
	char words[BACKEND_WORDS_SIZE], longer[2 * BACKEND_WORDS_SIZE];
	int fd;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fd = words_file(WORDS_SEALS, 4096, rows[i].said, strlen(rows[i].said));
		backend_words(fd, words);
		assert_string_equal(words, rows[i].shown);
		close(fd);
	}
	memset(longer, 'a', sizeof(longer));
	memcpy(longer + sizeof(longer) - 3, "end", 3);
	fd = words_file(WORDS_SEALS, 4096, longer, sizeof(longer));
	backend_words(fd, words);
	assert_int_equal(strlen(words), BACKEND_WORDS_SIZE - 1);
	assert_string_equal(words + BACKEND_WORDS_SIZE - 4, "end");
	close(fd);
}

/* What the keeper may give in their place is not read: it could be anybody's, or make us wait. */
static void words_of_others(void **state)
{
	char words[BACKEND_WORDS_SIZE] = "x";
	int fds[5], pair[2];

	assert_int_equal(pipe(pair), 0);
	assert_int_equal(write(pair[1], "a\n", 2), 2);
	fds[0] = words_file(0, 4096, "secret", 6);
	fds[1] = words_file(WORDS_SEALS, 8192, "secret", 6);
	fds[2] = words_file(F_SEAL_GROW | F_SEAL_SHRINK, 4096, "secret", 6);
	fds[3] = pair[0];
	fds[4] = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		assert_true(fds[i] >= 0);
		memcpy(words, "x", 2);
		backend_words(fds[i], words);
		assert_string_equal(words, "");
		close(fds[i]);
	}
	backend_words(-1, words);
	assert_string_equal(words, "");
	close(pair[1]);
}

struct cgroups_seen {
	unsigned int nr, nr_back_ends;
	uint32_t numbers;
};

static int cgroup_seen(void *arg, const char *path, uint32_t dev_id, uint32_t number)
{
	struct cgroups_seen *seen = arg;

	seen->nr++;
	seen->nr_back_ends += cgroup_is_backend(path);
	seen->numbers |= number;
	assert_true(!access(path, F_OK));
	assert_int_equal(dev_id, cgroup_is_backend(path) ? 0 : 7);
	return 0;
}

/* Whose device it is for is in its name, and nothing else has such a name. */
static void cgroups(void **state)
{
	static const char *const names[] = {
		"00000000f0000001-ublk7-00000001", "00000000f0000001-ublk7-00000002-b",
		"backend-75626f6300000004",	   "backend-0000000000000008",
		"backend-75626f6300000010-b",	   "backend-75626f6300000040-c",
		"backend-75626F63000000A0",	   "backend-",
		"backend-75626f6300000020x",
	};
	char base[] = "/tmp/test_backend.XXXXXX", path[CGROUP_PATH_SIZE], worker[CGROUP_PATH_SIZE];
	struct cgroups_seen seen = { 0 };
	struct err e;

	assert_non_null(mkdtemp(base));
	snprintf(path, sizeof(path), "%s/workers", base);
	assert_int_equal(mkdir(path, 0700), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/workers/%s", base, names[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	assert_int_equal(cgroup_each_worker(base, cgroup_seen, &seen, &e), 0);
	assert_int_equal(seen.nr, 4);
	assert_int_equal(seen.nr_back_ends, 2);
	assert_int_equal(seen.numbers, 1 | 2 | 4 | 0x10);
	snprintf(worker, sizeof(worker), "%s/workers/%s", base, names[0]);
	assert_int_equal(cgroup_backend_path(path, worker, UINT64_C(0x75626f6300000004), &e), 0);
	assert_true(!access(path, F_OK) && cgroup_is_backend(path));
	memset(worker + strlen(worker), 'a', sizeof(worker) - 1 - strlen(worker));
	worker[sizeof(worker) - 2] = '/';
	worker[sizeof(worker) - 1] = '\0';
	assert_true(cgroup_backend_path(path, worker, 1, &e) < 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/workers/%s", base, names[i]);
		assert_int_equal(rmdir(path), 0);
	}
	snprintf(path, sizeof(path), "%s/workers", base);
	assert_true(!rmdir(path) && !rmdir(base));
}

static void swap(void **state)
{
	char dir[] = "/tmp/test_backend.XXXXXX", path[64], text[4] = "";
	FILE *f;

	assert_non_null(mkdtemp(dir));
	/* As without the controller. */
	assert_int_equal(cgroup_forbid_swap(dir), 0);
	snprintf(path, sizeof(path), "%s/memory.swap.max", dir);
	f = fopen(path, "w+");
	assert_non_null(f);
	assert_int_equal(cgroup_forbid_swap(dir), 0);
	assert_non_null(fgets(text, sizeof(text), f));
	assert_string_equal(text, "0");
	fclose(f);
	assert_int_equal(unlink(path) | rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_image),
		cmocka_unit_test(chain),
		cmocka_unit_test(read_only),
		cmocka_unit_test(grown),
		cmocka_unit_test(program),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(format_names),
		cmocka_unit_test(words_shown),
		cmocka_unit_test(words_of_others),
		cmocka_unit_test(cgroups),
		cmocka_unit_test(snapshots),
		cmocka_unit_test(answer_sealed),
		cmocka_unit_test(swap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
