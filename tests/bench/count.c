/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plug-in for QEMU 7.2 (plug-in interface 1) that counts how often the guest ran each of
 * its basic blocks, between marks the guest sets; profile.py loads it and reads what it
 * writes, a line per block:
 *
 *   MARK ADDRESS RUNS INSTRUCTIONS
 *
 * A mark is an instruction that does nothing, with a number in it:
 *
 *   0f 1f 80 NN ad be 5e     nopl 0x5ebeadNN(%rax)
 *
 * From there on blocks count for NN; number 0 is not written. QEMU ships no header for this
 * on Debian, so what is used of its interface is declared here.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*translated)(uint64_t id,
							      struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int add, void *to,
					      uint64_t n);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*ran)(unsigned int cpu, void *arg), int flags,
					    void *arg);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*ended)(uint64_t id, void *arg), void *arg);

EXPORT int qemu_plugin_version = 1;

#define BLOCKS (1u << 22) /* a power of two, and more than a boot and a few rows need */

struct block {
	uint64_t address;
	uint64_t nr_insns; /* 0: unused */
	uint64_t runs;
	uint64_t runs_before; /* the mark that holds */
};

/* One machine, one plug-in: callbacks get no pointer of ours. */
static struct {
	struct block blocks[BLOCKS];
	unsigned int nr_blocks;
	unsigned int mark;
	FILE *out;
} count;

/* A block that begins in the middle of another, or is cut differently, is one of its own. */
static struct block *count_block(uint64_t address, uint64_t nr_insns)
{
	uint64_t hash = (address * 0x9e3779b97f4a7c15u) ^ (nr_insns * 0xc2b2ae3d27d4eb4fu);

	for (uint32_t i = (uint32_t)(hash >> 42);; i++) {
		struct block *b = &count.blocks[i % BLOCKS];

		if (b->address == address && b->nr_insns == nr_insns)
			return b;
		if (b->nr_insns)
			continue;
		if (++count.nr_blocks > BLOCKS / 2) {
			fputs("count.so: too many blocks\n", stderr);
			abort();
		}
		*b = (struct block){ .address = address, .nr_insns = nr_insns };
		return b;
	}
}

static void count_write(void)
{
	for (uint32_t i = 0; i < BLOCKS; i++) {
		struct block *b = &count.blocks[i];
		uint64_t runs = b->runs - b->runs_before;

		b->runs_before = b->runs;
		if (runs && count.mark)
			fprintf(count.out, "%u %llx %llu %llu\n", count.mark,
				(unsigned long long)b->address, (unsigned long long)runs,
				(unsigned long long)(runs * b->nr_insns));
	}
}

static void count_marked(unsigned int cpu, void *arg)
{
	count_write();
	count.mark = (unsigned int)(uintptr_t)arg;
}

static void count_translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	static const unsigned char begin[] = { 0x0f, 0x1f, 0x80 }, end[] = { 0xad, 0xbe, 0x5e };
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct block *b = count_block(qemu_plugin_tb_vaddr(tb), n);

	qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &b->runs, 1);
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const unsigned char *bytes = qemu_plugin_insn_data(insn);

		if (qemu_plugin_insn_size(insn) == 7 && !memcmp(bytes, begin, sizeof(begin)) &&
		    !memcmp(bytes + 4, end, sizeof(end)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, count_marked, 0,
							       (void *)(uintptr_t)bytes[3]);
	}
}

static void count_ended(uint64_t id, void *arg)
{
	count_write();
	fclose(count.out);
}

/* One argument: out=FILE. */
EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4))
		return 1;
	count.out = fopen(argv[0] + 4, "w");
	if (!count.out)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, count_translated);
	qemu_plugin_register_atexit_cb(id, count_ended, NULL);
	return 0;
}
