/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/bpf.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BPF_LOAD_ATTEMPTS 5 /* the verifier gives up when a signal comes */

static int bpf_call(enum bpf_cmd command, const union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, command, attr, sizeof(*attr));

	return r < 0 ? -errno : (int)r;
}

/* What the kernel shows people; the last byte stays 0. */
static void bpf_name(char to[BPF_OBJ_NAME_LEN], const char *name)
{
	memcpy(to, name, strnlen(name, BPF_OBJ_NAME_LEN - 1));
}

int bpf_map_make(const struct bpf_map_shape *shape)
{
	union bpf_attr attr = { 0 };

	attr.map_type = shape->type;
	attr.key_size = shape->key_bytes;
	attr.value_size = shape->value_bytes;
	attr.max_entries = shape->entries;
	attr.map_flags = shape->flags;
	bpf_name(attr.map_name, shape->name);
	return bpf_call(BPF_MAP_CREATE, &attr);
}

int bpf_map_put(int map_fd, const void *key, const void *value)
{
	union bpf_attr attr = { 0 };

	attr.map_fd = (uint32_t)map_fd;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	attr.flags = BPF_ANY;
	return bpf_call(BPF_MAP_UPDATE_ELEM, &attr);
}

int bpf_map_remove(int map_fd, const void *key)
{
	union bpf_attr attr = { 0 };

	attr.map_fd = (uint32_t)map_fd;
	attr.key = (uintptr_t)key;
	return bpf_call(BPF_MAP_DELETE_ELEM, &attr);
}

int bpf_map_next(int map_fd, const void *key, void *ret_key)
{
	union bpf_attr attr = { 0 };

	attr.map_fd = (uint32_t)map_fd;
	attr.key = (uintptr_t)key;
	attr.next_key = (uintptr_t)ret_key;
	return bpf_call(BPF_MAP_GET_NEXT_KEY, &attr);
}

int bpf_map_first(int map_fd, void *ret_key)
{
	return bpf_map_next(map_fd, NULL, ret_key);
}

int bpf_pin(int fd, const char *path)
{
	union bpf_attr attr = { 0 };

	attr.pathname = (uintptr_t)path;
	attr.bpf_fd = (uint32_t)fd;
	return bpf_call(BPF_OBJ_PIN, &attr);
}

int bpf_open(const char *path)
{
	union bpf_attr attr = { 0 };

	attr.pathname = (uintptr_t)path;
	return bpf_call(BPF_OBJ_GET, &attr);
}

int bpf_program_load(enum bpf_prog_type type, enum bpf_attach_type attach, const char *name,
		     const struct bpf_insn *insns, size_t nr)
{
	union bpf_attr attr = { 0 };
	int r = -EAGAIN;

	attr.prog_type = type;
	attr.expected_attach_type = attach;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = (uint32_t)nr;
	attr.license = (uintptr_t) "Apache-2.0";
	bpf_name(attr.prog_name, name);
	for (int i = 0; i < BPF_LOAD_ATTEMPTS && r == -EAGAIN; i++)
		r = bpf_call(BPF_PROG_LOAD, &attr);
	return r;
}

int bpf_program_open(uint32_t id)
{
	union bpf_attr attr = { 0 };

	attr.prog_id = id;
	return bpf_call(BPF_PROG_GET_FD_BY_ID, &attr);
}

static int bpf_program_look(int program_fd, struct bpf_prog_info *ret)
{
	union bpf_attr attr = { 0 };

	*ret = (struct bpf_prog_info){ 0 };
	attr.info.bpf_fd = (uint32_t)program_fd;
	attr.info.info_len = sizeof(*ret);
	attr.info.info = (uintptr_t)ret;
	return bpf_call(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

int bpf_program_id(int program_fd, uint32_t *ret_id)
{
	struct bpf_prog_info info;
	int r = bpf_program_look(program_fd, &info);

	if (r == 0)
		*ret_id = info.id;
	return r;
}

int bpf_program_name(int program_fd, char ret[BPF_OBJ_NAME_LEN])
{
	struct bpf_prog_info info;
	int r = bpf_program_look(program_fd, &info);

	if (r == 0)
		memcpy(ret, info.name, BPF_OBJ_NAME_LEN); /* always ended */
	return r;
}

int bpf_attached(int cgroup_fd, enum bpf_attach_type attach, struct bpf_attached *ret)
{
	union bpf_attr attr = { 0 };
	int r;

	attr.query.target_fd = (uint32_t)cgroup_fd;
	attr.query.attach_type = attach;
	attr.query.prog_ids = (uintptr_t)ret->ids;
	attr.query.prog_cnt = ret->nr;
	r = bpf_call(BPF_PROG_QUERY, &attr);
	if (r == 0) {
		ret->flags = attr.query.attach_flags;
		ret->nr = attr.query.prog_cnt;
	}
	return r;
}

int bpf_attach(int cgroup_fd, enum bpf_attach_type attach, int program_fd, uint32_t flags,
	       int replace_fd)
{
	union bpf_attr attr = { 0 };

	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = attach;
	attr.attach_flags = flags;
	if (flags & BPF_F_REPLACE)
		attr.replace_bpf_fd = (uint32_t)replace_fd;
	return bpf_call(BPF_PROG_ATTACH, &attr);
}

int bpf_detach(int cgroup_fd, enum bpf_attach_type attach, int program_fd)
{
	union bpf_attr attr = { 0 };

	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = attach;
	return bpf_call(BPF_PROG_DETACH, &attr);
}
