/* SPDX-License-Identifier: Apache-2.0 */
/* What of a policy comes from the system: its file, the names in it, and who has its worker ids. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
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
#include "driver/base/err.h"
#include "policy/policy.h"

static int no_name(const char *name, uint32_t *ret_id)
{
	return -ENOENT;
}

static const struct policy_names no_names = { no_name, no_name };

/* The linker leads the calls of the code under test here. */
static struct {
	bool no_memory;
	int name_error; /* errno after a name was not found; negative: ask the system */
} fault = { .name_error = -1 };

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	void *p = fault.no_memory ? NULL : __real_malloc(size);

	/* No zero is there that was not written. */
	return p ? memset(p, 0xa5, size) : NULL;
}

static bool no_name_now(void)
{
	if (fault.name_error < 0)
		return false;
	errno = fault.name_error;
	return true;
}

struct passwd *__real_getpwnam(const char *name);
struct passwd *__wrap_getpwnam(const char *name);
struct passwd *__wrap_getpwnam(const char *name)
{
	return no_name_now() ? NULL : __real_getpwnam(name);
}

struct group *__real_getgrnam(const char *name);
struct group *__wrap_getgrnam(const char *name);
struct group *__wrap_getgrnam(const char *name)
{
	return no_name_now() ? NULL : __real_getgrnam(name);
}

#define DRAFT_TEXT                                                                                 \
	"{ \"version\": 1, \"worker_ids\": { \"first\": 910000, \"count\": 1 }, "                  \
	"\"rules\": [] }\n"

struct draft {
	char dir[32];
	char path[64];
	int fd;
};

static void draft_new(struct draft *d)
{
	strcpy(d->dir, "/tmp/policy-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	snprintf(d->path, sizeof(d->path), "%s/policy.json", d->dir);
	d->fd = open(d->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(d->fd >= 0);
	assert_int_equal(write(d->fd, DRAFT_TEXT, strlen(DRAFT_TEXT)), strlen(DRAFT_TEXT));
}

static void draft_free(struct draft *d)
{
	close(d->fd);
	unlink(d->path);
	rmdir(d->dir);
}

/* How a file differs from one that loads; each returns the owner to load it as. */
static uint32_t draft_as_it_is(struct draft *d)
{
	return getuid();
}

static uint32_t draft_group_writable(struct draft *d)
{
	assert_int_equal(fchmod(d->fd, 0620), 0);
	return getuid();
}

static uint32_t draft_other_writable(struct draft *d)
{
	assert_int_equal(fchmod(d->fd, 0602), 0);
	return getuid();
}

static uint32_t draft_of_a_stranger(struct draft *d)
{
	if (getuid())
		return 0;
	assert_int_equal(fchown(d->fd, 4711, 0), 0);
	return 0;
}

static uint32_t draft_of_the_caller(struct draft *d)
{
	if (getuid())
		return getuid();
	assert_int_equal(fchown(d->fd, 4711, 0), 0);
	return 4711;
}

static uint32_t draft_of_root(struct draft *d)
{
	return getuid() ? getuid() : 4711;
}

static uint32_t draft_too_large(struct draft *d)
{
	assert_int_equal(ftruncate(d->fd, POLICY_SIZE_MAX + 1), 0);
	return getuid();
}

static uint32_t draft_directory(struct draft *d)
{
	assert_int_equal(unlink(d->path), 0);
	strcpy(d->path, d->dir);
	return getuid();
}

static uint32_t draft_fifo(struct draft *d)
{
	assert_int_equal(unlink(d->path), 0);
	assert_int_equal(mkfifo(d->path, 0600), 0);
	return getuid();
}

static uint32_t draft_link(struct draft *d)
{
	assert_int_equal(unlink(d->path), 0);
	assert_int_equal(symlink("/dev/null", d->path), 0);
	return getuid();
}

static uint32_t draft_missing(struct draft *d)
{
	assert_int_equal(unlink(d->path), 0);
	return getuid();
}

/* A regular file to stat(2), and its first byte cannot be read. */
static uint32_t draft_unreadable(struct draft *d)
{
	assert_int_equal(unlink(d->path), 0);
	strcpy(d->path, "/proc/self/mem");
	return getuid();
}

static uint32_t draft_without_memory(struct draft *d)
{
	fault.no_memory = true;
	return getuid();
}

static uint32_t draft_not_json(struct draft *d)
{
	assert_int_equal(pwrite(d->fd, "[", 1, 0), 1);
	return getuid();
}

static void test_files_are_loaded_as_the_table_says(void **state)
{
	static const struct {
		const char *name;
		uint32_t (*change)(struct draft *d);
		int r;
		const char *words;
	} rows[] = {
		{ "the owner's own file", draft_as_it_is, 0, "" },
		{ "a file of the caller who is not root", draft_of_the_caller, 0, "" },
		{ "a file of root for somebody else", draft_of_root, 0, "" },
		{ "writable by the group", draft_group_writable, -EPERM, "use: chmod go-w /tmp/" },
		{ "writable by others", draft_other_writable, -EPERM, "use: chmod go-w /tmp/" },
		{ "owned by somebody else", draft_of_a_stranger, -EPERM, "use: chown root /tmp/" },
		{ "too large", draft_too_large, -EFBIG, "it is larger than 262144 bytes" },
		{ "a directory", draft_directory, -EINVAL, "it is not a regular file" },
		{ "a fifo nobody writes to", draft_fifo, -EINVAL, "it is not a regular file" },
		{ "a symbolic link", draft_link, -ELOOP, "name the file itself" },
		{ "missing", draft_missing, -ENOENT, "No such file or directory" },
		{ "unreadable", draft_unreadable, -EIO, "/proc/self/mem: Input/output error" },
		{ "no memory", draft_without_memory, -ENOMEM, "Cannot allocate memory" },
		{ "not a policy", draft_not_json, -EINVAL,
		  "policy.json: line 1, column 12: expected ','" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_policy struct policy *p = NULL;
		struct err e = { "" };
		struct draft d;
		uint32_t owner;
		int r;

		draft_new(&d);
		owner = rows[i].change(&d);
		r = policy_load(&p, d.path, owner, &no_names, &e);
		fault.no_memory = false;
		draft_free(&d);
		if (r != rows[i].r || !strstr(e.text, rows[i].words) || !r != !!p)
			fail_msg("%s: %d, %s", rows[i].name, r, e.text);
	}
}

static void test_a_text_read_once_is_what_the_file_holds(void **state)
{
	auto_free char *text = NULL;
	struct err e = { "" };
	size_t size = 0;
	struct draft d;
	int r;

	draft_new(&d);
	r = policy_read(&text, &size, d.path, getuid(), &e);
	draft_free(&d);
	if (r < 0)
		fail_msg("%s", e.text);
	assert_int_equal(size, strlen(DRAFT_TEXT));
	assert_memory_equal(text, DRAFT_TEXT, size + 1);
}

static void test_the_system_knows_its_names(void **state)
{
	uint32_t id = 42;

	assert_int_equal(policy_names_system.find_user("root", &id), 0);
	assert_int_equal(id, 0);
	id = 42;
	assert_int_equal(policy_names_system.find_group("root", &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(policy_names_system.find_user("no-such-user", &id), -ENOENT);
	assert_int_equal(policy_names_system.find_group("no-such-group", &id), -ENOENT);
}

static void test_a_lookup_that_fails_is_not_a_missing_name(void **state)
{
	static const struct {
		int code;
		int r;
	} rows[] = { { 0, -ENOENT },	 { ENOENT, -ENOENT }, { ESRCH, -ENOENT },
		     { EBADF, -ENOENT }, { EPERM, -ENOENT },  { EIO, -EIO },
		     { EMFILE, -EMFILE } };
	uint32_t id;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		fault.name_error = rows[i].code;
		assert_int_equal(policy_names_system.find_user("root", &id), rows[i].r);
		assert_int_equal(policy_names_system.find_group("root", &id), rows[i].r);
		fault.name_error = -1;
	}
}

struct etc {
	const char *file;
	const char *text; /* NULL: a directory of that name */
};

static void etc_put(const char *dir, const struct etc *etc)
{
	auto_fclose FILE *f = NULL;
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", dir, etc->file);
	if (!etc->text) {
		assert_int_equal(mkdir(path, 0700), 0);
		return;
	}
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(etc->text, f) >= 0);
}

static void etc_remove(const char *dir, const struct etc *etc)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", dir, etc->file);
	assert_int_equal(remove(path), 0);
}

static int check_ids(uint32_t first, uint32_t count, const char *dir, struct err *e)
{
	auto_policy struct policy *p = NULL;
	char text[160];

	snprintf(text, sizeof(text),
		 "{ \"version\": 1, \"worker_ids\": { \"first\": %u, \"count\": %u }, "
		 "\"rules\": [] }",
		 first, count);
	if (policy_parse(&p, text, strlen(text), &no_names, e) < 0)
		fail_msg("%s", e->text);
	return policy_check_ids(p, dir, e);
}

/* Ids 2000 to 2009 against one file. */
static const struct {
	const char *name;
	struct etc etc;
	int r;
	const char *words; /* behind the path of the file */
} given[] = {
	{ "a user",
	  { "passwd", "root:x:0:0::/:/bin/sh\na:x:2000:100::/:/bin/sh\n" },
	  -EEXIST,
	  ", line 2 gives away 2000 to 2000" },
	{ "the last of them",
	  { "passwd", "a:x:2009:100::/:/bin/sh" },
	  -EEXIST,
	  ", line 1 gives away 2009 to 2009" },
	{ "a user's group",
	  { "passwd", "a:x:1000:2005::/:/bin/sh\n" },
	  -EEXIST,
	  ", line 1 gives away 2005 to 2005" },
	{ "users on both sides", { "passwd", "a:x:1999:1999::/:\nb:x:2010:2010::/:\n" }, 0, "" },
	{ "a group",
	  { "group", "a:x:2000:root,bin\n" },
	  -EEXIST,
	  ", line 1 gives away 2000 to 2000" },
	{ "a group beside them", { "group", "a:x:2010:\n" }, 0, "" },
	{ "subordinate users around them",
	  { "subuid", "# users\n\na:1000:65536\n" },
	  -EEXIST,
	  ", line 3 gives away 1000 to 66535" },
	{ "subordinate users up to them",
	  { "subuid", "a:1000:1001\n" },
	  -EEXIST,
	  ", line 1 gives away 1000 to 2000" },
	{ "subordinate users before them", { "subuid", "a:1000:1000\n1001:2010:65536\n" }, 0, "" },
	{ "no subordinate users", { "subuid", "a:2000:0\n" }, 0, "" },
	{ "subordinate users to the end of the numbers",
	  { "subuid", "a:2009:4294967295\n" },
	  -EEXIST,
	  ", line 1 gives away 2009 to 4294969303" },
	{ "subordinate groups",
	  { "subgid", "a:2005:1\n" },
	  -EEXIST,
	  ", line 1 gives away 2005 to 2005" },
	{ "lines that give nothing away",
	  { "subgid", "a\na:2000\na:x:y\n:::\na:2000:-1\n" },
	  0,
	  "" },
	{ "a last line without its end",
	  { "subgid", "a:2005:1" },
	  -EEXIST,
	  ", line 1 gives away 2005 to 2005" },
	{ "an empty file", { "subgid", "" }, 0, "" },
	{ "a directory in the place of the file", { "group", NULL }, -EISDIR, ": Is a directory" },
};

static void test_worker_ids_are_nobody_elses(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
		char dir[] = "/tmp/policy-XXXXXX", words[160] = "";
		struct err e = { "" };
		int r;

		assert_non_null(mkdtemp(dir));
		etc_put(dir, &given[i].etc);
		r = check_ids(2000, 10, dir, &e);
		etc_remove(dir, &given[i].etc);
		assert_int_equal(rmdir(dir), 0);
		if (r < 0)
			snprintf(words, sizeof(words), "%s/%s%s", dir, given[i].etc.file,
				 given[i].words);
		if (r != given[i].r || !strstr(e.text, words) || (r == 0) != !e.text[0])
			fail_msg("%s: %d, %s", given[i].name, r, e.text);
	}
}

static void test_worker_ids_are_not_systemds(void **state)
{
	static const struct {
		uint32_t first, count;
		const char *whose; /* NULL: free */
	} rows[] = {
		{ 60000, 1, NULL },
		{ 60000, 2, "60001 to 60513 for home directories" },
		{ 60514, 1, "60514 to 60577 for users mapped into containers" },
		{ 60705, 1, "60578 to 60705 for greeters" },
		{ 60706, 478, NULL },
		{ 61000, 1000, "61184 to 65519 for dynamic users" },
		{ 65536, 65536, NULL },
		{ 524287, 2, "524288 to 1879048191 for containers" },
		{ 910000, 1000, "524288 to 1879048191 for containers" },
		{ 1879048191, 1, "524288 to 1879048191 for containers" },
		{ 1879048192, 65536, NULL },
		{ 2100000000, 1000, NULL },
		{ 2147352575, 1, NULL },
		{ 2147352576, 1, "2147352576 to 2147418111 for foreign files" },
	};
	struct err e;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		e.text[0] = '\0';
		r = check_ids(rows[i].first, rows[i].count, "/nowhere", &e);
		if (r != (rows[i].whose ? -EEXIST : 0) || (r < 0 && !strstr(e.text, rows[i].whose)))
			fail_msg("%u: %d, %s", rows[i].first, r, e.text);
	}
}

static void test_a_folder_that_is_none_is_an_error(void **state)
{
	struct err e = { "" };

	assert_int_equal(check_ids(2000, 10, "/dev/null", &e), -ENOTDIR);
	assert_string_equal(e.text, "/dev/null/passwd: Not a directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_are_loaded_as_the_table_says),
		cmocka_unit_test(test_a_text_read_once_is_what_the_file_holds),
		cmocka_unit_test(test_the_system_knows_its_names),
		cmocka_unit_test(test_a_lookup_that_fails_is_not_a_missing_name),
		cmocka_unit_test(test_worker_ids_are_nobody_elses),
		cmocka_unit_test(test_worker_ids_are_not_systemds),
		cmocka_unit_test(test_a_folder_that_is_none_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
