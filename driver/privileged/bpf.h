/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of bpf(2) that a device filter needs, and no others: a library for
 * all of them would be in every process of the helper. Each returns -errno, or 0 or the
 * new descriptor, which is close-on-exec.
 */
#pragma once

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_map_shape {
	enum bpf_map_type type;
	const char *name; /* at most 15 characters */
	uint32_t key_bytes;
	uint32_t value_bytes;
	uint32_t entries;
	uint32_t flags;
};

int bpf_map_make(const struct bpf_map_shape *shape);
int bpf_map_put(int map_fd, const void *key, const void *value);
int bpf_map_remove(int map_fd, const void *key);
/* -ENOENT: it is empty. */
int bpf_map_first(int map_fd, void *ret_key);
/* The one behind key; -ENOENT: it was the last. */
int bpf_map_next(int map_fd, const void *key, void *ret_key);

/* Names in a bpf file system. */
int bpf_pin(int fd, const char *path);
int bpf_open(const char *path);

int bpf_program_load(enum bpf_prog_type type, enum bpf_attach_type attach, const char *name,
		     const struct bpf_insn *insns, size_t nr);
int bpf_program_open(uint32_t id);
/* The kernel's number of it; 0 is never one. */
int bpf_program_id(int program_fd, uint32_t *ret_id);
/* What who loaded it called it, or "". */
int bpf_program_name(int program_fd, char ret[BPF_OBJ_NAME_LEN]);

/* The device programs of a cgroup itself. */
struct bpf_attached {
	uint32_t flags;
	uint32_t nr;
	uint32_t *ids; /* has room for nr before the call */
};
int bpf_attached(int cgroup_fd, enum bpf_attach_type attach, struct bpf_attached *ret);
/* replace_fd: with BPF_F_REPLACE in flags, else -1. */
int bpf_attach(int cgroup_fd, enum bpf_attach_type attach, int program_fd, uint32_t flags,
	       int replace_fd);
int bpf_detach(int cgroup_fd, enum bpf_attach_type attach, int program_fd);
