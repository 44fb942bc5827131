/* SPDX-License-Identifier: Apache-2.0 */
/* Three answers to what is in a file, and that blank is the rarest of them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "oci-hook/probe/look.h"

#define MIB (1 << 20)

/* The range that cannot be read. */
static off64_t bad_from = -1, bad_to = -1;

ssize_t __real_pread64(int fd, void *at, size_t size, off64_t offset);
ssize_t __wrap_pread64(int fd, void *at, size_t size, off64_t offset);
ssize_t __wrap_pread64(int fd, void *at, size_t size, off64_t offset)
{
	if (offset < bad_to && offset + (off64_t)size > bad_from) {
		errno = EIO;
		return -1;
	}
	return __real_pread64(fd, at, size, offset);
}

static int a_file(off_t size)
{
	char path[] = "/tmp/test_probe-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static void put(int fd, off_t at, const void *bytes, size_t size)
{
	assert_int_equal(pwrite(fd, bytes, size, at), size);
}

static enum probe_content content(int fd, const char *type)
{
	struct probe_answer a;
	struct err e = { "" };

	look_at(fd, &a);
	if (probe_answer_check(&a, sizeof(a), &e) < 0)
		fail_msg("%s", e.text);
	if (a.content == PROBE_USED && type)
		assert_string_equal(a.type, type);
	return (enum probe_content)a.content;
}

static void test_blank(void **state)
{
	auto_close int fd = a_file(8 * MIB), small = a_file(4096);
	char zeroes[4096] = "";

	assert_int_equal(content(fd, NULL), PROBE_BLANK);
	assert_int_equal(content(small, NULL), PROBE_BLANK);
	put(fd, 3 * MIB, zeroes, sizeof(zeroes)); /* written, and nothing */
	assert_int_equal(content(fd, NULL), PROBE_BLANK);
}

static void test_a_byte_anywhere_is_not_blank(void **state)
{
	static const off_t places[] = { 0, 1, MIB - 1, MIB, 4 * MIB + 77, 7 * MIB, 8 * MIB - 1 };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		auto_close int fd = a_file(8 * MIB);

		put(fd, places[i], "x", 1);
		assert_int_equal(content(fd, NULL), PROBE_UNKNOWN);
	}
}

static void test_what_cannot_be_read_is_not_blank(void **state)
{
	static const off_t places[] = { 0, MIB / 2, 4 * MIB + 77, 8 * MIB - 1 };
	char zeroes[4096] = "";

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		auto_close int fd = a_file(8 * MIB);

		put(fd, 4 * MIB, zeroes, sizeof(zeroes)); /* no hole there */
		assert_int_equal(content(fd, NULL), PROBE_BLANK);
		bad_from = places[i];
		bad_to = bad_from + 1;
		assert_int_equal(content(fd, NULL), PROBE_UNKNOWN);
		bad_from = bad_to = -1;
	}
}

static void test_what_is_no_file_is_unknown(void **state)
{
	auto_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC), empty = a_file(0);

	assert_int_equal(content(null, NULL), PROBE_UNKNOWN);
	assert_int_equal(content(empty, NULL), PROBE_UNKNOWN);
	assert_int_equal(content(-1, NULL), PROBE_UNKNOWN);
}

/* A mark as each of these puts it, and nothing else of it. */
static void test_half_of_anything_is_not_blank(void **state)
{
	static const struct {
		off_t at;
		const char *bytes;
		size_t size;
	} marks[] = {
		{ 1024 + 56, "\x53\xef", 2 },			    /* ext4 */
		{ 0, "XFSB", 4 },				    /* XFS */
		{ 65536 + 64, "_BHRfS_M", 8 },			    /* btrfs */
		{ 0, "LUKS\xba\xbe\0\2", 8 },			    /* LUKS 2 */
		{ 4096 - 10, "SWAPSPACE2", 10 },		    /* swap */
		{ 512, "LABELONE", 8 },				    /* LVM */
		{ 4096, "\xfc\x4e\x2b\xa9\1\0\0\0", 8 },	    /* RAID 1.2 */
		{ 8 * MIB - 65536, "\xfc\x4e\x2b\xa9\0\0\0\0", 8 }, /* RAID 0.90 */
		{ 512, "EFI PART", 8 },				    /* GPT */
		{ 8 * MIB - 512, "EFI PART", 8 },		    /* its other end */
		{ 510, "\x55\xaa", 2 },				    /* MBR */
	};

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		auto_close int fd = a_file(8 * MIB);

		put(fd, marks[i].at, marks[i].bytes, marks[i].size);
		if (content(fd, NULL) == PROBE_BLANK)
			fail_msg("mark %zu is taken for nothing", i);
	}
}

static void put_u32(unsigned char *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (unsigned char)(value >> 8 * i);
}

/* A partition of type 0x83, from sector 2048 on. */
static void put_mbr(int fd)
{
	unsigned char row[16] = { 0, 0, 2, 0, 0x83, 0, 0, 0 };

	put_u32(row + 8, 2048);
	put_u32(row + 12, 2048);
	put(fd, 446, row, sizeof(row));
	put(fd, 510, "\x55\xaa", 2);
}

/* LVM's label: its checksum is of what is behind it, to the end of the sector. */
static void put_lvm(int fd)
{
	unsigned char sector[512] = "LABELONE";
	uint32_t sum = 0xf597a6cf;

	put_u32(sector + 8, 1);
	put_u32(sector + 20, 32);
	memcpy(sector + 24, "LVM2 001", 8);
	memset(sector + 32, 'a', 32);
	for (size_t i = 20; i < sizeof(sector); i++) {
		sum ^= sector[i];
		for (int bit = 0; bit < 8; bit++)
			sum = sum & 1 ? sum >> 1 ^ 0xedb88320 : sum >> 1;
	}
	put_u32(sector + 16, sum);
	put(fd, 512, sector, sizeof(sector));
}

/* A RAID's superblock of version 1.2 with its checksum, at 4 KiB. */
static void put_raid(int fd)
{
	unsigned char sb[256] = "";
	uint64_t sum = 0;

	put_u32(sb, 0xa92b4efc);
	put_u32(sb + 4, 1);
	memset(sb + 16, 'u', 16);
	strcpy((char *)sb + 32, "host:0");
	sb[144] = 8; /* it is at sector 8 */
	for (size_t i = 0; i < sizeof(sb); i += 4) {
		uint32_t word;

		memcpy(&word, sb + i, 4);
		sum += word;
	}
	put_u32(sb + 216, (uint32_t)((sum & 0xffffffff) + (sum >> 32)));
	put(fd, 4096, sb, sizeof(sb));
}

static void put_swap(int fd)
{
	unsigned char head[1024 + 44] = "";

	put_u32(head + 1024, 1);
	put_u32(head + 1028, 2047);
	memset(head + 1036, 'u', 16);
	put(fd, 0, head, sizeof(head));
	put(fd, 4096 - 10, "SWAPSPACE2", 10);
}

static void put_luks(int fd)
{
	char head[592] = "LUKS\xba\xbe\0\1";

	strcpy(head + 168, "285f8742-88e1-42c3-b5e5-8ffc01a803be");
	put(fd, 0, head, sizeof(head));
}

static void test_what_libblkid_knows_has_a_name(void **state)
{
	static const struct {
		const char *type;
		void (*put)(int fd);
	} rows[] = {
		{ "dos", put_mbr },
		{ "LVM2_member", put_lvm },
		{ "linux_raid_member", put_raid },
		{ "swap", put_swap },
		{ "crypto_LUKS", put_luks },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_close int fd = a_file(8 * MIB);

		rows[i].put(fd);
		if (content(fd, rows[i].type) != PROBE_USED)
			fail_msg("%s is not known", rows[i].type);
	}
}

static void test_two_marks_are_not_told_apart(void **state)
{
	auto_close int fd = a_file(8 * MIB);

	put_lvm(fd);
	put_raid(fd);
	assert_int_not_equal(content(fd, "linux_raid_member"), PROBE_BLANK);
}

static void test_words_of_strangers_are_made_printable(void **state)
{
	char field[8];

	memset(field, 'x', sizeof(field));
	probe_text(field, sizeof(field), "a\x1b[\xffz");
	assert_memory_equal(field, "a?[?z\0\0", sizeof(field));
	probe_text(field, sizeof(field), "longer than it");
	assert_string_equal(field, "longer ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blank),
		cmocka_unit_test(test_a_byte_anywhere_is_not_blank),
		cmocka_unit_test(test_what_cannot_be_read_is_not_blank),
		cmocka_unit_test(test_what_is_no_file_is_unknown),
		cmocka_unit_test(test_half_of_anything_is_not_blank),
		cmocka_unit_test(test_what_libblkid_knows_has_a_name),
		cmocka_unit_test(test_two_marks_are_not_told_apart),
		cmocka_unit_test(test_words_of_strangers_are_made_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
