/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/devfilter_bpf.h"

#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/bpf.h"

#define INSN(c, d, s, o, i)                                                                        \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define MOV(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOV_IMM(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ALU_IMM(op, d, i) INSN(BPF_ALU | (op) | BPF_K, d, 0, 0, i)
#define ALU(op, d, s) INSN(BPF_ALU | (op) | BPF_X, d, s, 0, 0)
#define LOAD(d, s, o) INSN(BPF_LDX | BPF_MEM | BPF_W, d, s, o, 0)
#define STORE(d, s, o) INSN(BPF_STX | BPF_MEM | BPF_W, d, s, o, 0)
#define LOAD_MAP(d, fd)                                                                            \
	INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd), INSN(0, 0, 0, 0, 0)
#define CALL(f) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define EXIT INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
/* Jumps that go to the tail call; their distance is filled in below. */
#define TO_ORIGINAL 0x7fff
#define UNLESS_EQUAL(d, i) INSN(BPF_JMP | BPF_JNE | BPF_K, d, 0, TO_ORIGINAL, i)
#define IF_ZERO(d) INSN(BPF_JMP | BPF_JEQ | BPF_K, d, 0, TO_ORIGINAL, 0)

enum { R0, R1, R2, R3, R4, R5, CONTEXT, ACCESS, R8, R9, FRAME };

size_t devfilter_bpf_write(struct bpf_insn insns[DEVFILTER_INSNS_MAX], int map_fd, int array_fd)
{
	const struct bpf_insn lookup[] = {
		MOV(CONTEXT, R1),
		/* access_type is access << 16 | device type */
		LOAD(ACCESS, CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, access_type)),
		MOV(R2, ACCESS),
		ALU_IMM(BPF_AND, R2, 0xffff),
		UNLESS_EQUAL(R2, BPF_DEVCG_DEV_BLOCK),
		ALU_IMM(BPF_RSH, ACCESS, 16),
		LOAD(R2, CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, major)),
		STORE(FRAME, R2, -8),
		LOAD(R2, CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, minor)),
		STORE(FRAME, R2, -4),
		LOAD_MAP(R1, map_fd),
		MOV(R2, FRAME),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, R2, 0, 0, -8),
		CALL(BPF_FUNC_map_lookup_elem),
		IF_ZERO(R0),
		/* What is asked for beyond the mask is for the original to decide. */
		LOAD(R1, R0, 0),
		ALU_IMM(BPF_XOR, R1, -1),
		ALU(BPF_AND, ACCESS, R1),
		UNLESS_EQUAL(ACCESS, 0),
		MOV_IMM(R0, 1),
		EXIT,
	};
	const struct bpf_insn original[] = {
		MOV(R1, CONTEXT),	  LOAD_MAP(R2, array_fd), MOV_IMM(R3, 0),
		CALL(BPF_FUNC_tail_call), MOV_IMM(R0, 0),	  EXIT,
	};

	memcpy(insns, lookup, sizeof(lookup));
	memcpy(insns + ARRAY_SIZE(lookup), original, sizeof(original));
	for (size_t i = 0; i < ARRAY_SIZE(lookup); i++) {
		if (insns[i].off == TO_ORIGINAL)
			insns[i].off = (int16_t)(ARRAY_SIZE(lookup) - i - 1);
	}
	return ARRAY_SIZE(lookup) + ARRAY_SIZE(original);
}

int devfilter_bpf_load(int map_fd, int array_fd, enum bpf_attach_type type)
{
	struct bpf_insn insns[DEVFILTER_INSNS_MAX];
	size_t nr = devfilter_bpf_write(insns, map_fd, array_fd);

	return bpf_program_load(BPF_PROG_TYPE_CGROUP_DEVICE, type, "ublk_devfilter", insns, nr);
}
