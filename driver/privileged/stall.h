/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices on which nothing ends, by the kernel's words alone: what it counts of each disk, and
 * how it sees the threads of a worker. Pure; hang.h reads and acts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One line of /proc/diskstats. */
struct stall_disk {
	uint32_t major;
	uint32_t minor;
	uint64_t in_flight;
	uint64_t finished; /* requests of all kinds */
};

bool stall_parse_disk(const char *line, struct stall_disk *ret);

/* What is remembered of a device. All zero: nothing yet. */
struct stall {
	uint64_t finished;
	int64_t since_ms;  /* since when requests wait and none has ended; 0: that is not so */
	int64_t looked_ms; /* when its worker was looked at for it last; 0: not yet */
	bool told;	   /* and the log that it waits */
};

/* True: so much time has passed since a request ended, or since this was said last. */
bool stall_note(struct stall *s, const struct stall_disk *disk, int64_t now_ms, int64_t limit_ms);

/* How often that needs to be asked, for this limit. */
int64_t stall_interval_ms(int64_t limit_ms);

#define STALL_THREADS_MAX 64

struct stall_thread {
	pid_t tid;
	char state;	 /* as ps shows it */
	bool kernels;	 /* the kernel's own, for the worker's ring */
	uint64_t ticks;	 /* of processor time */
	uint64_t sleeps; /* how often it gave up the processor by itself */
};

/* From the texts of its stat and status. */
bool stall_parse_thread(const char *stat, const char *status, struct stall_thread *ret);

struct stall_look {
	bool frozen; /* its cgroup is */
	size_t nr_threads;
	struct stall_thread threads[STALL_THREADS_MAX];
};

enum stall_cause {
	STALL_WAITS, /* for what it serves from: no other worker would do better */
	STALL_STOPPED,
	STALL_FROZEN,
	STALL_SPINS, /* runs, and asks the kernel for nothing */
};

/* Of two looks, some time apart. */
enum stall_cause stall_judge(const struct stall_look *first, const struct stall_look *second);
