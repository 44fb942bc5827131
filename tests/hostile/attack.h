/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker tries from inside its sandbox, one attempt per process, and
 * how each has to end. The attack is chosen by the size of the device: the
 * product has no field for it, and gets none.
 */
#pragma once

#include <stdint.h>
#include <string.h>

/* X(name, end): "signal 31" is SIGSYS; "status N" is exit_group(errno). */
#define ATTACKS(X)                                                                                 \
	/* what is permitted: nothing refuses it */                                                \
	X(permitted_call, "status 200")                                                            \
	X(permitted_ring_write, "status 200")                                                      \
	/* system calls */                                                                         \
	X(openat, "signal 31")                                                                     \
	X(openat2, "signal 31")                                                                    \
	X(open_by_handle_at, "signal 31")                                                          \
	X(socket, "signal 31")                                                                     \
	X(execve, "signal 31")                                                                     \
	X(execveat, "signal 31")                                                                   \
	X(fork, "signal 31")                                                                       \
	X(clone3, "signal 31")                                                                     \
	X(ptrace, "signal 31")                                                                     \
	X(process_vm_readv, "signal 31")                                                           \
	X(kill, "signal 31")                                                                       \
	X(pidfd_getfd, "signal 31")                                                                \
	X(mount, "signal 31")                                                                      \
	X(unshare, "signal 31")                                                                    \
	X(setns, "signal 31")                                                                      \
	X(setuid, "signal 31")                                                                     \
	X(prctl, "signal 31")                                                                      \
	X(bpf, "signal 31")                                                                        \
	X(keyctl, "signal 31")                                                                     \
	X(userfaultfd, "signal 31")                                                                \
	X(mmap, "signal 31")                                                                       \
	X(mprotect, "signal 31")                                                                   \
	X(read, "signal 31")                                                                       \
	X(write, "signal 31")                                                                      \
	X(sendmsg, "signal 31")                                                                    \
	X(ioctl, "signal 31")                                                                      \
	X(dup, "signal 31")                                                                        \
	X(exit_thread, "signal 31")                                                                \
	X(io_uring_setup, "signal 31")                                                             \
	X(io_uring_register, "signal 31")                                                          \
	X(compat_call, "signal 31")                                                                \
	X(x32_call, "signal 31")                                                                   \
	/* ring operations: -EACCES where the list of operations or flags says no */               \
	X(ring_openat, "status 13")                                                                \
	X(ring_openat2, "status 13")                                                               \
	X(ring_socket, "status 13")                                                                \
	X(ring_connect, "status 13")                                                               \
	X(ring_accept, "status 13")                                                                \
	X(ring_sendmsg, "status 13")                                                               \
	X(ring_recvmsg, "status 13")                                                               \
	X(ring_close, "status 13")                                                                 \
	X(ring_read, "status 13")                                                                  \
	X(ring_fsync, "status 13")                                                                 \
	X(ring_files_update, "status 13")                                                          \
	X(ring_provide_buffers, "status 13")                                                       \
	X(ring_msg_ring, "status 13")                                                              \
	X(ring_fixed_fd_install, "status 13")                                                      \
	X(ring_unlinkat, "status 13")                                                              \
	X(ring_splice, "status 13")                                                                \
	X(ring_epoll_ctl, "status 13")                                                             \
	X(ring_madvise, "status 13")                                                               \
	X(ring_timeout, "status 13")                                                               \
	X(ring_nop, "status 13")                                                                   \
	X(ring_plain_fd, "status 13")                                                              \
	X(ring_async_flag, "status 13")                                                            \
	X(ring_link_flag, "status 13")                                                             \
	X(ring_personality, "status 22")                                                           \
	/* what is behind a permitted operation refuses */                                         \
	X(ring_absent_file, "status 9")                                                            \
	X(ring_write_char_device, "status 13")                                                     \
	X(ring_control_command, "status 22")                                                       \
	X(ring_fetch_foreign_queue, "status 22")                                                   \
	X(ring_commit_unfetched, "status 22")                                                      \
	X(ring_write_behind_end, "status 27")                                                      \
	X(ring_grow_backing, "status 27")                                                          \
	X(ring_absent_buffer, "status 14")                                                         \
	X(ring_foreign_memory, "status 14")

struct attack_name {
	const char *name;
	const char *end;
};

#define ATTACK_NAME(name, end) { #name, end },
static const struct attack_name attack_names[] = { ATTACKS(ATTACK_NAME) };
#undef ATTACK_NAME

#define ATTACKS_COUNT (sizeof(attack_names) / sizeof(attack_names[0]))
#define ATTACK_UNIT_BYTES (UINT64_C(1) << 20)

/* 0 for a name that is none. */
static inline uint64_t attack_dev_bytes(const char *name)
{
	for (uint64_t i = 0; i < ATTACKS_COUNT; i++) {
		if (!strcmp(attack_names[i].name, name))
			return (i + 1) * ATTACK_UNIT_BYTES;
	}
	return 0;
}
