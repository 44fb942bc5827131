/* SPDX-License-Identifier: Apache-2.0 */
/* Processes pinned so that a reused pid is never taken for the one that was meant. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The pid behind a pidfd in our namespace; -ESRCH when it has ended or is not visible. */
int process_of_pidfd(int pidfd, pid_t *ret_pid);

/* Start time in clock ticks since boot; proc_fd is its /proc/PID directory. */
int process_start_time(int proc_fd, uint64_t *ret_ticks);

/* The same from the text of /proc/PID/stat: 0 or -EINVAL. */
int process_parse_stat(const char *text, uint64_t *ret_ticks);

/* The path in the line "0::/path" of /proc/PID/cgroup, ended in place; NULL: no cgroup v2. */
char *process_parse_cgroup(char *text);

/* Opens /proc/PID (O_PATH). */
int process_proc_open(pid_t pid);

/* A pidfd for exactly this process, or -ESRCH. */
int process_pin(pid_t pid, uint64_t start_ticks);

bool process_ended(int pidfd);

/* By a signal, or by who traces it. */
bool process_stopped(pid_t pid);

/* 0, or -ETIMEDOUT when it has not ended by then. */
int process_wait_end(int pidfd, int timeout_ms);

/*
 * Reads a small file below a directory whole and ends it with a zero byte.
 * Returns its length or -errno; -E2BIG when it does not fit.
 */
ssize_t process_read(int dir_fd, const char *name, char *buf, size_t size);
