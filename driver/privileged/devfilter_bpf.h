/* SPDX-License-Identifier: Apache-2.0 */
/* The program that stands in front of a runtime's device program; see devfilter.h. */
#pragma once

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

/* The map's value is a mask of BPF_DEVCG_ACC_*. */
struct devfilter_key {
	uint32_t major;
	uint32_t minor;
};

#define DEVFILTER_INSNS_MAX 48

/*
 * Writes the program: what the map allows is allowed, all else is decided by
 * the program in slot 0 of the array, and refused when that is empty. Returns
 * the number of instructions.
 */
size_t devfilter_bpf_write(struct bpf_insn insns[DEVFILTER_INSNS_MAX], int map_fd, int array_fd);

/* Loads it: an fd or -errno. */
int devfilter_bpf_load(int map_fd, int array_fd, enum bpf_attach_type type);
