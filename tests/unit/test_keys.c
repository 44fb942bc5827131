/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/wire/start.h"
#include "oci-hook/delta.h"
#include "oci-hook/keys.h"
#include "oci-hook/keys_check.h"
#include "oci-hook/keys_files.h"
#include "oci-hook/keys_set.h"
#include "oci-hook/quote.h"

static int parse(struct attach_options *o, const char *text, struct err *e)
{
	keys_init(o);
	memset(e, 0, sizeof(*e));
	return keys_parse(o, text, e);
}

/* A volume is what the device is made of, so nothing else is. */
static void test_a_volume_takes_the_place_of_a_target(void **state)
{
	static const char *const bad[] = {
		"volume=a,target=memory", "volume=a,backing=/a",
		"volume=a,size=1M",	  "volume=a,mount=/mnt,fs=ext4",
		"volume=a,base=/a",	  "volume=a,delta=ephemeral",
		"volume=a,delay=5",
	};
	struct attach_options o;
	struct err e;

	keys_init(&o);
	assert_int_equal(keys_parse(&o, "volume=pg-data,access=ro,mode=0640,depth=8", &e), 0);
	assert_true(keys_check(&o, false, &e) < 0);
	keys_default_path(&o);
	assert_int_equal(keys_check(&o, false, &e), 0);
	assert_string_equal(o.path, "/dev/pg-data");
	assert_true(keys_check(&o, true, &e) < 0);
	keys_init(&o);
	assert_int_equal(keys_parse(&o, "volume=a,path=/dev/data", &e), 0);
	keys_default_path(&o);
	assert_string_equal(o.path, "/dev/data");
	assert_int_equal(keys_check(&o, false, &e), 0);
	/* The host mounts it. */
	keys_init(&o);
	assert_int_equal(keys_parse(&o, "volume=a,mount=/srv/data,fs=ext4", &e), 0);
	keys_default_path(&o);
	assert_string_equal(o.path, "/srv/data");
	assert_int_equal(keys_check(&o, true, &e), 0);
	keys_init(&o);
	assert_int_equal(keys_parse(&o, "volume=a,mount=/srv/data", &e), 0);
	assert_true(keys_check(&o, true, &e) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		keys_init(&o);
		assert_int_equal(keys_parse(&o, bad[i], &e), 0);
		keys_default_path(&o);
		assert_true(keys_check(&o, false, &e) < 0);
	}
	keys_init(&o);
	assert_true(keys_parse(&o, "volume=../a", &e) < 0);
}

static void test_all_keys_are_understood(void **state)
{
	struct wire_attach w = { 0 };
	struct attach_options o;
	struct err e;

	assert_int_equal(parse(&o,
			       "target=file,backing=/srv/a%2Cb%25c,size=1G,path=/dev/disk/data,"
			       "access=ro,queues=4,depth=64,profile=throughput,data-path=zero-copy,"
			       "uid=1000,gid=4294967294,mode=0600",
			       &e),
			 0);
	assert_int_equal(o.target, TARGET_FILE);
	assert_string_equal(o.backing, "/srv/a,b%c");
	assert_true(o.size_bytes == 1 << 30);
	assert_string_equal(o.path, "/dev/disk/data");
	assert_true(o.read_only);
	assert_int_equal(o.nr_queues, 4);
	assert_int_equal(o.depth, 64);
	assert_int_equal(o.path_flags, WIRE_THROUGHPUT | WIRE_ZERO_COPY);
	assert_int_equal(o.uid, 1000);
	assert_true(o.gid == 4294967294u);
	assert_int_equal(o.mode, 0600);
	for (unsigned int i = KEY_NONE + 1; i < KEY_END; i++)
		assert_true(o.given[i] == (i < KEY_MOUNT));
	assert_int_equal(parse(&o, "target=file,backing=/a,mount=/srv/data,fs=xfs", &e), 0);
	assert_true(o.given[KEY_MOUNT] && o.given[KEY_FS]);
	assert_string_equal(o.path, "/srv/data");
	assert_int_equal(o.filesystem, FILESYSTEM_XFS);
	keys_fill(&o, false, &w);
	assert_int_equal(w.filesystem, FILESYSTEM_XFS);
	assert_string_equal(w.path, "/srv/data");
	assert_int_equal(w.flags, 0);
	keys_fill(&o, true, &w);
	assert_int_equal(w.flags, WIRE_HOST);
	assert_string_equal(w.path, "/srv/data");
}

/* As long as Kubernetes makes them. */
static void test_a_place_of_kubernetes_is_one(void **state)
{
	static const char place[] =
		"/var/lib/kubelet/pods/6a1c2c2e-1a5f-4b43-9e0e-3b2f1c0d9e8f/volumes/"
		"kubernetes.io~csi/pvc-0b9d8a7c-6e5f-4d3c-2b1a-0f9e8d7c6b5a/mount";
	struct attach_options o;
	char text[256];
	struct err e;

	snprintf(text, sizeof(text), "target=file,backing=/a,fs=ext4,mount=%s", place);
	assert_int_equal(parse(&o, text, &e), 0);
	assert_string_equal(o.path, place);
}

static void test_keys_may_have_semicolons_between_them(void **state)
{
	struct attach_options o;
	struct err e;

	assert_int_equal(parse(&o, "target=file;backing=/srv/a%3Bb%2Cc,access=ro;path=/dev/x", &e),
			 0);
	assert_int_equal(o.target, TARGET_FILE);
	assert_string_equal(o.backing, "/srv/a;b,c");
	assert_string_equal(o.path, "/dev/x");
	assert_true(o.read_only);
}

static void test_defaults_are_the_helpers(void **state)
{
	struct attach_options o;
	struct wire_attach w = { 0 };
	struct err e;

	assert_int_equal(parse(&o, "target=memory,size=64M,path=/dev/x", &e), 0);
	keys_fill(&o, false, &w);
	assert_int_equal(w.target, TARGET_MEMORY);
	assert_int_equal(w.flags, 0);
	assert_int_equal(w.nr_queues, 0);
	assert_int_equal(w.depth, 0);
	assert_int_equal(w.uid, 0);
	assert_int_equal(w.mode, 0660);
	assert_string_equal(w.path, "/dev/x");
	keys_fill(&o, true, &w);
	assert_int_equal(w.flags, WIRE_HOST);
}

static void test_faults_are_numbers(void **state)
{
	struct attach_options o;
	struct wire_attach w = { 0 };
	struct err e;

	assert_int_equal(parse(&o,
			       "target=fault,backing=/a,path=/dev/x,delay=1.5,error-ratio=.01,"
			       "error-range=1M+4K",
			       &e),
			 0);
	assert_int_equal(keys_check(&o, false, &e), 0);
	keys_fill(&o, false, &w);
	assert_int_equal(w.fault.delay_us, 1500);
	assert_int_equal(w.fault.error_ppm, 10000);
	assert_true(w.fault.error_off == 1 << 20 && w.fault.error_len == 4096);
	assert_int_equal(parse(&o, "target=fault,backing=/a,error-range=0+512", &e), 0);
	keys_fill(&o, true, &w);
	assert_int_equal(w.fault.error_ppm, WIRE_FAULT_PPM_MAX);
	assert_int_equal(parse(&o, "target=file,backing=/a,path=/dev/x,delay=1", &e), 0);
	assert_int_equal(keys_check(&o, false, &e), -EINVAL);
	assert_non_null(strstr(e.text, "delay is for target fault"));
}

static const struct {
	const char *text;
	const char *word; /* that the reason has in it */
} bad_texts[] = {
	{ "", "empty" },
	{ "target", "key=value" },
	{ "target=memory,", "key=value" },
	{ "target=memory;", "key=value" },
	{ "target=memory;,size=1M", "key=value" },
	{ "target=memory;size=1M,size=2M", "size is given twice" },
	{ ",target=memory", "key=value" },
	{ "=memory", "unknown key \"\"" },
	{ "targe=memory", "unknown key \"targe\"; known are: target, backing" },
	{ " target=memory", "unknown key" },
	{ "Target=memory", "unknown key" },
	{ "target=memory,target=memory", "target is given twice" },
	{ "size=1M,size=2M", "size is given twice" },
	{ "target=qcow", "null, memory, file" },
	{ "target=", "null, memory, file" },
	{ "size=0", "no bytes" },
	{ "size=513", "multiple of 512" },
	{ "size=-1", "not a size" },
	{ "size=16E", "too large" },
	{ "size=1M ", "not a size" },
	{ "path=/etc/passwd", "begin with /dev/" },
	{ "path=/dev/../etc/x", "component" },
	{ "mount=data", "begin with /" },
	{ "mount=/", "empty component" },
	{ "mount=/data/", "empty component" },
	{ "mount=/data/../etc", "component" },
	{ "mount=/data/~a", "component" },
	{ "path=/dev/a~b", "component" },
	{ "fs=auto", "none of: ext4" },
	{ "fs=", "none of: ext4" },
	{ "path=/dev//x", "empty component" },
	{ "path=/dev/", "empty component" },
	{ "path=/dev/a%2F..%2Fb", "component" },
	{ "path=/dev/a%0Ab", "control character" },
	{ "path=/dev/a%00b", "two hex digits" },
	{ "path=/dev/a%4", "two hex digits" },
	{ "path=/dev/a%zz", "two hex digits" },
	{ "path=/dev/a%", "two hex digits" },
	{ "path=/dev/0123456789012345678901234567890123456789012345678901234567890123456789"
	  "0123456789012345678901234567890123456789012345678901234567890123456789"
	  "0123456789012345678901234567890123456789012345678901234567890123456789"
	  "0123456789012345678901234567890123456789012345678901234567890123456789",
	  "longer than" },
	{ "access=write", "neither rw nor ro" },
	{ "queues=0", "from 1 to 16" },
	{ "queues=17", "from 1 to 16" },
	{ "depth=257", "from 1 to 256" },
	{ "uid=-1", "number" },
	{ "uid=4294967295", "number" },
	{ "gid=root", "number" },
	{ "mode=1777", "octal" },
	{ "mode=rw", "octal" },
	{ "backing=", "empty" },
	{ "base=", "empty" },
	{ "cluster=2K", "power of two from 4K to 1M" },
	{ "cluster=2M", "power of two from 4K to 1M" },
	{ "cluster=12K", "power of two from 4K to 1M" },
	{ "format=luks", "no format of an image" },
	{ "base-format=", "no format of an image" },
	{ "nbd=exec:disk", "nor exec:/usr/PROGRAM" },
	{ "nbd=nbds://disks/a", "needs TLS, which a proxy" },
	{ "nbd=nbds+unix:///a?socket=/b", "needs TLS, which a proxy" },
	{ "nbd=nbd+unix:///a?socket=/b", "is written unix:/PATH" },
	{ "nbd=nbd://disks/a", "is written tcp:HOST:PORT" },
	{ "delta=gone", "neither kept nor ephemeral" },
	{ "delay=", "no such number" },
	{ "delay=1.0005", "no such number" },
	{ "delay=1.5.0", "no such number" },
	{ "delay=60001", "out of range" },
	{ "delay=5ms", "no such number" },
	{ "error-ratio=1.1", "out of range" },
	{ "error-ratio=-1", "no such number" },
	{ "error-ratio=99999999999999999999999", "out of range" },
	{ "error-range=4096", "write 1M+64K" },
	{ "error-range=0+0", "write 1M+64K" },
	{ "error-range=+1M", "write 1M+64K" },
	{ "error-range=16E+1", "write 1M+64K" },
	{ "error-range=15E+15E", "write 1M+64K" },
	{ "backing=/srv/x\ny", "control character" },
	{ "a\033[31m=1", "\"a\\x1b[31m\"" },
};

static void test_bad_texts_are_refused_in_words(void **state)
{
	struct attach_options o;
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(bad_texts); i++) {
		int r = parse(&o, bad_texts[i].text, &e);

		if (r >= 0 || !strstr(e.text, bad_texts[i].word))
			print_error("\"%s\": %d %s\n", bad_texts[i].text, r, e.text);
		assert_true(r < 0);
		assert_non_null(strstr(e.text, bad_texts[i].word));
		assert_null(strpbrk(e.text, "\n\033"));
	}
}

static void test_long_text_is_refused_whole(void **state)
{
	static char text[KEYS_TEXT_MAX + 2];
	struct attach_options o;
	struct err e;

	memset(text, 'a', sizeof(text) - 1);
	assert_int_equal(parse(&o, text, &e), -E2BIG);
	text[KEYS_TEXT_MAX] = '\0';
	assert_int_equal(parse(&o, text, &e), -EINVAL);
}

static const struct {
	const char *text;
	bool host;
	const char *word; /* NULL: fine */
} checks[] = {
	{ "target=null,size=1G,path=/dev/x", false, NULL },
	{ "target=null,size=1G", true, NULL },
	{ "target=file,backing=/x", true, NULL },
	{ "target=image,format=qcow2,backing=/x,size=1G", true, NULL },
	{ "target=image,format=qcow2,backing=/x,size=1G,base=/y,base-format=raw", true, NULL },
	{ "target=image,backing=/x,size=1G", true, "needs a format" },
	{ "target=image,format=raw,size=1G", true, "needs a backing file" },
	{ "target=image,format=raw,backing=/x", true, NULL },
	{ "target=image,format=raw,backing=/x,size=1G,base=/y", true, "go together" },
	{ "target=image,format=raw,backing=/x,size=1G,base-format=raw", true, "go together" },
	{ "target=image,format=raw,backing=/x,size=1G,cluster=64K", true, "for target cow" },
	{ "target=file,backing=/x,format=raw", true, "has no format" },
	{ "target=cow,backing=/x,base=/y,base-format=raw", true, "go together" },
	{ "size=1G,path=/dev/x", false, "target is missing" },
	{ "target=null,path=/dev/x", false, "needs a size" },
	{ "target=file,path=/dev/x", false, "needs a backing file" },
	{ "target=memory,size=1G,backing=/x,path=/dev/x", false, "has no backing file" },
	{ "target=null,size=1G", false, "path of the device" },
	{ "target=null,size=1G,path=/dev/x", true, "path is for" },
	{ "target=null,size=1G,mode=0600", true, "mode is for" },
	{ "target=file,backing=/x,mount=/data,fs=ext4", false, NULL },
	{ "target=file,backing=/x,mount=/data", false, "go together" },
	{ "target=file,backing=/x,path=/dev/x,fs=ext4", false, "go together" },
	{ "target=file,backing=/x,mount=/data,fs=ext4", true, NULL },
	{ "target=file,backing=/x,mount=/data", true, "go together" },
	{ "target=file,backing=/x,mount=/data,fs=ext4,uid=1", true, "uid is for a device" },
	{ "target=memory,size=1M,mount=/data,fs=ext4", true, "has no file system" },
	{ "target=file,backing=/x,mount=/data,fs=ext4,path=/dev/x", false, "path is for a device" },
	{ "target=file,backing=/x,mount=/data,fs=ext4,uid=1", false, "uid is for a device" },
	{ "target=memory,size=1M,mount=/data,fs=ext4", false, "has no file system" },
};

static void test_keys_must_make_sense_together(void **state)
{
	struct attach_options o;
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		int r;

		assert_int_equal(parse(&o, checks[i].text, &e), 0);
		r = keys_check(&o, checks[i].host, &e);
		if (checks[i].word) {
			assert_true(r < 0);
			assert_non_null(strstr(e.text, checks[i].word));
		} else {
			assert_int_equal(r, 0);
		}
	}
}

static void test_limits_are_the_workers(void **state)
{
	assert_int_equal(KEYS_QUEUES_MAX, START_QUEUES_MAX);
	assert_int_equal(KEYS_DEPTH_MAX, START_DEPTH_MAX);
}

static int open_backing(const char *text, const char *path, int *fd, struct err *e)
{
	struct attach_options o;
	struct keys_files files = KEYS_FILES_INIT;
	int r;

	assert_int_equal(parse(&o, text, e), 0);
	assert_int_equal(keys_set(&o, KEY_BACKING, path, e), 0);
	r = keys_files_open(&o, &files, e);
	*fd = fd_take(&files.fds[0]);
	return r;
}

static int open_cow(const char *dir, const char *rest, struct keys_files *files, struct err *e)
{
	struct attach_options o;
	char text[256];
	int r;

	snprintf(text, sizeof(text), "target=cow,path=/dev/x,base=%s/base,backing=%s%s", dir, dir,
		 rest);
	assert_int_equal(parse(&o, text, e), 0);
	r = keys_check(&o, false, e);
	*files = (struct keys_files)KEYS_FILES_INIT;
	return r < 0 ? r : keys_files_open(&o, files, e);
}

static void test_a_delta_is_made_fits_and_goes_again(void **state)
{
	char dir[] = "/tmp/test_keys.XXXXXX", base[64], delta[64];
	struct keys_files files;
	struct cow_header h;
	struct cow_layout l;
	struct err e;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(base, sizeof(base), "%s/base", dir);
	snprintf(delta, sizeof(delta), "%s/delta", dir);
	fd = open(base, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
	close(fd);
	assert_int_equal(open_cow(dir, "/delta,access=ro", &files, &e), -ENOENT);
	assert_int_equal(open_cow(dir, "/delta,cluster=4K", &files, &e), 0);
	assert_int_equal(files.nr, 2);
	assert_int_equal(delta_read_header(files.fds[0], &h, &l, &e), 0);
	assert_int_equal(l.cluster_bytes, 4096);
	assert_true(l.dev_bytes == 1 << 20 && !h.flags);
	assert_string_equal(h.base, base);
	assert_int_equal(fcntl(files.fds[1], F_GETFL) & O_ACCMODE, O_RDONLY);
	keys_files_close(&files, false); /* refused: it was made for nothing */
	assert_int_equal(access(delta, F_OK), -1);
	assert_int_equal(open_cow(dir, "/delta", &files, &e), 0);
	keys_files_close(&files, true);
	assert_int_equal(access(delta, F_OK), 0);
	assert_int_equal(open_cow(dir, "/delta", &files, &e), 0);
	assert_string_equal(files.made, "");
	keys_files_close(&files, false); /* it was there before */
	assert_int_equal(access(delta, F_OK), 0);
	assert_int_equal(open_cow(dir, "/delta,cluster=4K", &files, &e), -EINVAL);
	assert_non_null(strstr(e.text, "clusters have 65536"));
	assert_int_equal(open_cow(dir, "/delta,size=512K", &files, &e), -EINVAL);
	assert_int_equal(open_cow(dir, "/base", &files, &e), -EINVAL);
	assert_non_null(strstr(e.text, "no delta"));
	assert_int_equal(open_cow(dir, ",delta=ephemeral", &files, &e), 0);
	assert_int_equal(delta_read_header(files.fds[0], &h, &l, &e), 0);
	assert_int_equal(h.flags, COW_EPHEMERAL);
	keys_files_close(&files, true);
	assert_int_equal(open_cow(dir, ",delta=ephemeral,access=ro", &files, &e), -EINVAL);
	unlink(delta);
	unlink(base);
	assert_int_equal(rmdir(dir), 0); /* nothing else is left */
}

static void test_backing_files_are_opened_with_the_callers_rights(void **state)
{
	char dir[] = "/tmp/test_keys.XXXXXX", path[64];
	int fd = -1, file;
	struct err e;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x", dir);
	assert_int_equal(open_backing("target=file", path, &fd, &e), -ENOENT);
	assert_int_equal(open_backing("target=file", dir, &fd, &e), -EISDIR);
	assert_int_equal(open_backing("target=file", "/dev/null", &fd, &e), -EINVAL);
	assert_non_null(strstr(e.text, "/dev/null"));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(open_backing("target=file", path, &fd, &e), -EINVAL);
	unlink(path);
	file = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(open_backing("target=file", path, &fd, &e), -EINVAL);
	assert_non_null(strstr(e.text, "empty"));
	assert_int_equal(ftruncate(file, 1000), 0);
	assert_int_equal(open_backing("target=file", path, &fd, &e), -EINVAL);
	assert_non_null(strstr(e.text, "multiple of 512"));
	assert_int_equal(fd, -1);
	assert_int_equal(open_backing("target=file,size=512", path, &fd, &e), 0);
	close(fd);
	assert_int_equal(ftruncate(file, 1024), 0);
	assert_int_equal(open_backing("target=file", path, &fd, &e), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	assert_int_equal(open_backing("target=file,access=ro", path, &fd, &e), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd);
	close(file);
	unlink(path);
	rmdir(dir);
}

static const struct {
	const char *text;
	size_t size;
	const char *shown;
} quotes[] = {
	{ "plain", 96, "plain" },
	{ "", 96, "" },
	{ "a\nb", 96, "a\\x0ab" },
	{ "\033[2J", 96, "\\x1b[2J" },
	{ "\xc3\xa4", 96, "\xc3\xa4" },
	{ "\xc2\x9b", 96, "\\xc2\\x9b" },	   /* C1: a terminal's CSI */
	{ "\xe2\x80\xae", 96, "\\xe2\\x80\\xae" }, /* turns the direction of text */
	{ "\xff\xc3", 96, "\\xff\\xc3" },
	{ "\xc0\xaf", 96, "\\xc0\\xaf" },	   /* overlong */
	{ "\xed\xa0\x80", 96, "\\xed\\xa0\\x80" }, /* a surrogate */
	{ "\xf4\x90\x80\x80", 96, "\\xf4\\x90\\x80\\x80" },
	{ "12345678", 9, "12345678" },
	{ "123456789", 9, "12345..." },
	{ "1234\n\n", 9, "1234..." },
};

static void test_quoted_text_is_one_clean_line(void **state)
{
	char buf[96];

	for (size_t i = 0; i < ARRAY_SIZE(quotes); i++)
		assert_string_equal(quote_text(buf, quotes[i].size, quotes[i].text),
				    quotes[i].shown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_keys_are_understood),
		cmocka_unit_test(test_keys_may_have_semicolons_between_them),
		cmocka_unit_test(test_a_place_of_kubernetes_is_one),
		cmocka_unit_test(test_a_volume_takes_the_place_of_a_target),
		cmocka_unit_test(test_defaults_are_the_helpers),
		cmocka_unit_test(test_faults_are_numbers),
		cmocka_unit_test(test_bad_texts_are_refused_in_words),
		cmocka_unit_test(test_long_text_is_refused_whole),
		cmocka_unit_test(test_keys_must_make_sense_together),
		cmocka_unit_test(test_limits_are_the_workers),
		cmocka_unit_test(test_a_delta_is_made_fits_and_goes_again),
		cmocka_unit_test(test_backing_files_are_opened_with_the_callers_rights),
		cmocka_unit_test(test_quoted_text_is_one_clean_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
