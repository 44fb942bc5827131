/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the device program in an interpreter that knows the instructions it is made of. What cgroup
 * v1 has in its place are files, so a folder with such files is one.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/devfilter_bpf.h"
#include "driver/privileged/devfilter_print.h"
#include "driver/privileged/devfilter_v1.h"

#define MAP_FD 17
#define ARRAY_FD 18
#define BLOCK BPF_DEVCG_DEV_BLOCK
#define CHAR BPF_DEVCG_DEV_CHAR
#define R BPF_DEVCG_ACC_READ
#define W BPF_DEVCG_ACC_WRITE
#define M BPF_DEVCG_ACC_MKNOD

/* What the program decided; ORIGINAL: it called the program it stands in front of. */
enum verdict { DENY, ALLOW, ORIGINAL };

struct machine {
	uint64_t reg[11];
	uint8_t stack[512];
	struct devfilter_key key;
	uint32_t mask; /* what the map has for the key */
	bool array_empty;
};

static uint64_t *dst(struct machine *m, struct bpf_insn i)
{
	return &m->reg[i.dst_reg];
}

/* The value of a source operand. */
static uint64_t src(const struct machine *m, struct bpf_insn i)
{
	return BPF_SRC(i.code) == BPF_X ? m->reg[i.src_reg] : (uint64_t)(int64_t)i.imm;
}

static void run_alu(struct machine *m, struct bpf_insn i)
{
	uint64_t a = *dst(m, i), b = src(m, i);

	switch (BPF_OP(i.code)) {
	case BPF_MOV:
		a = b;
		break;
	case BPF_ADD:
		a += b;
		break;
	case BPF_AND:
		a &= b;
		break;
	case BPF_XOR:
		a ^= b;
		break;
	case BPF_RSH:
		a = (BPF_CLASS(i.code) == BPF_ALU ? (uint32_t)a : a) >> b;
		break;
	default:
		fail_msg("operation %#x", i.code);
	}
	*dst(m, i) = BPF_CLASS(i.code) == BPF_ALU ? (uint32_t)a : a;
}

/* Returns true when the program ends here. */
static bool run_call(struct machine *m, struct bpf_insn i)
{
	if (i.imm == BPF_FUNC_tail_call) {
		assert_int_equal(m->reg[2], ARRAY_FD);
		assert_int_equal(m->reg[3], 0);
		return !m->array_empty;
	}
	assert_int_equal(i.imm, BPF_FUNC_map_lookup_elem);
	assert_int_equal(m->reg[1], MAP_FD);
	m->reg[0] = memcmp((void *)(uintptr_t)m->reg[2], &m->key, sizeof(m->key))
			    ? 0
			    : (uintptr_t)&m->mask;
	/* Calls destroy their arguments. */
	for (int r = 1; r <= 5; r++)
		m->reg[r] = 0xdead;
	return false;
}

static enum verdict run(struct machine *m, const struct bpf_insn *insns, size_t nr,
			const struct bpf_cgroup_dev_ctx *ctx)
{
	uint32_t word;

	memset(m->reg, 0xee, sizeof(m->reg));
	m->reg[1] = (uintptr_t)ctx;
	m->reg[10] = (uintptr_t)(m->stack + sizeof(m->stack));
	for (size_t pc = 0; pc < nr; pc++) {
		struct bpf_insn i = insns[pc];

		switch (BPF_CLASS(i.code)) {
		case BPF_ALU:
		case BPF_ALU64:
			run_alu(m, i);
			break;
		case BPF_LDX:
			memcpy(&word, (void *)(uintptr_t)(m->reg[i.src_reg] + (uint64_t)i.off), 4);
			*dst(m, i) = word;
			break;
		case BPF_STX:
			word = (uint32_t)m->reg[i.src_reg];
			memcpy((void *)(uintptr_t)(m->reg[i.dst_reg] + (uint64_t)i.off), &word, 4);
			break;
		case BPF_LD:
			*dst(m, i) = (uint64_t)i.imm;
			pc++;
			break;
		case BPF_JMP:
			if (BPF_OP(i.code) == BPF_EXIT)
				return m->reg[0] ? ALLOW : DENY;
			if (BPF_OP(i.code) == BPF_CALL) {
				if (run_call(m, i))
					return ORIGINAL;
			} else if ((BPF_OP(i.code) == BPF_JEQ) == (*dst(m, i) == src(m, i))) {
				pc += (size_t)i.off;
			}
			break;
		default:
			fail_msg("class %#x", i.code);
		}
	}
	fail_msg("it ran off its end");
	return DENY;
}

static const struct {
	const char *what;
	uint32_t type, access, major, minor; /* asked for */
	uint32_t mask;			     /* the map has it for 253:7 */
	bool array_empty;
	enum verdict verdict;
} cases[] = {
	{ "listed, read", BLOCK, R, 253, 7, R, false, ALLOW },
	{ "listed, read and write", BLOCK, R | W, 253, 7, R | W, false, ALLOW },
	{ "listed, less than allowed", BLOCK, W, 253, 7, R | W, false, ALLOW },
	{ "listed, more than allowed", BLOCK, R | W, 253, 7, R, false, ORIGINAL },
	{ "listed, mknod", BLOCK, M, 253, 7, R | W, false, ORIGINAL },
	{ "a char device of that number", CHAR, R, 253, 7, R | W, false, ORIGINAL },
	{ "another minor", BLOCK, R, 253, 8, R | W, false, ORIGINAL },
	{ "another major", BLOCK, R, 254, 7, R | W, false, ORIGINAL },
	{ "swapped numbers", BLOCK, R, 7, 253, R | W, false, ORIGINAL },
	{ "listed with nothing", BLOCK, R, 253, 7, 0, false, ORIGINAL },
	{ "listed, and no original", BLOCK, R, 253, 7, R, true, ALLOW },
	{ "another, and no original", BLOCK, R, 253, 8, R, true, DENY },
	{ "a char device, and no original", CHAR, R, 1, 5, R, true, DENY },
};

static void test_the_program_decides(void **state)
{
	struct bpf_insn insns[DEVFILTER_INSNS_MAX];
	size_t nr = devfilter_bpf_write(insns, MAP_FD, ARRAY_FD);

	assert_true(nr <= DEVFILTER_INSNS_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct machine m = { .key = { 253, 7 },
				     .mask = cases[i].mask,
				     .array_empty = cases[i].array_empty };
		struct bpf_cgroup_dev_ctx ctx = { .access_type =
							  cases[i].access << 16 | cases[i].type,
						  .major = cases[i].major,
						  .minor = cases[i].minor };

		if (run(&m, insns, nr, &ctx) != cases[i].verdict)
			fail_msg("%s", cases[i].what);
	}
}

static void test_a_missing_directory_is_refused(void **state)
{
	struct err e = { "" };

	assert_true(devfilter_forget("/nonexistent", 1, 259, 0, &e) < 0);
	assert_non_null(strstr(e.text, "/nonexistent"));
}

static const char *const v1_files[] = { "devices.list", "devices.allow", "devices.deny" };

static void v1_put(int dir_fd, const char *name, const char *text)
{
	auto_close int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* What was written to it since it was put there. */
static const char *v1_get(int dir_fd, const char *name, char text[64])
{
	auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, 63);

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static int v1_make(char *path)
{
	int fd;

	assert_non_null(mkdtemp(path));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(v1_files); i++)
		v1_put(fd, v1_files[i], "");
	return fd;
}

static void v1_remove(const char *path, int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(v1_files); i++)
		unlinkat(fd, v1_files[i], 0);
	assert_int_equal(rmdir(path), 0);
}

static void test_the_list_of_version_1_is_told(void **state)
{
	static const struct {
		const char *list; /* what the cgroup allows */
		bool deny;
		unsigned int how;
		const char *allowed, *denied;
	} rows[] = {
		{ "c 1:3 rwm\n", false, 0, "b 259:7 r", "" },
		{ "c 1:3 rwm\n", false, DEVFILTER_WRITE, "b 259:7 rw", "" },
		{ "", false, DEVFILTER_WRITE | DEVFILTER_IN_UNIT, "b 259:7 rw", "" },
		{ "c 1:3 rwm\n", true, 0, "", "b 259:7 rw" },
		{ "a *:* rwm\n", false, DEVFILTER_WRITE, "", "" },
		{ "a *:* rwm\n", true, 0, "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char path[] = "/tmp/test_devfilter.XXXXXX", text[64];
		auto_close int fd = v1_make(path);
		struct err e;

		v1_put(fd, "devices.list", rows[i].list);
		assert_int_equal(rows[i].deny ? devfilter_v1_deny(fd, 259, 7, &e)
					      : devfilter_v1_allow(fd, 259, 7, rows[i].how, &e),
				 0);
		assert_string_equal(v1_get(fd, "devices.allow", text), rows[i].allowed);
		assert_string_equal(v1_get(fd, "devices.deny", text), rows[i].denied);
		v1_remove(path, fd);
	}
}

static void test_any_change_of_the_list_of_version_1_is_seen(void **state)
{
	char path[] = "/tmp/test_devfilter.XXXXXX";
	auto_close int fd = v1_make(path);
	uint64_t prints[3];
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(prints); i++) {
		struct devfilter_look look = { .print = DEVFILTER_PRINT_INIT, .ours = true };

		v1_put(fd, "devices.list", i == 1 ? "b 259:7 r\n" : "b 259:7 rw\n");
		assert_int_equal(devfilter_v1_look(fd, &look, &e), 0);
		assert_true(!look.ours && !look.wrapped && !look.systemds && look.print);
		prints[i] = look.print;
	}
	assert_true(prints[0] != prints[1]);
	assert_true(prints[0] == prints[2]);
	v1_remove(path, fd);
}

static void test_a_folder_that_is_no_cgroup_is_refused(void **state)
{
	char path[] = "/tmp/test_devfilter.XXXXXX";
	auto_close int fd = v1_make(path);
	struct devfilter_look look = { .print = DEVFILTER_PRINT_INIT };
	struct err e = { "" };

	assert_false(devfilter_v1_is(fd));
	unlinkat(fd, "devices.deny", 0);
	assert_int_equal(devfilter_v1_deny(fd, 259, 7, &e), -ENOENT);
	assert_non_null(strstr(e.text, "devices.deny"));
	unlinkat(fd, "devices.list", 0);
	assert_int_equal(devfilter_v1_allow(fd, 259, 7, 0, &e), -ENOENT);
	assert_int_equal(devfilter_v1_look(fd, &look, &e), -ENOENT);
	assert_non_null(strstr(e.text, "devices.list"));
	v1_remove(path, fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_program_decides),
		cmocka_unit_test(test_a_missing_directory_is_refused),
		cmocka_unit_test(test_the_list_of_version_1_is_told),
		cmocka_unit_test(test_any_change_of_the_list_of_version_1_is_seen),
		cmocka_unit_test(test_a_folder_that_is_no_cgroup_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
