/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the helper. Every front-end goes through here: one connection, one
 * request, one answer, never longer than the timeout.
 *
 * A refusal of the helper comes back as its -errno with its words. So does
 * everything else that can go wrong, with the remedy where there is one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/wire/wire.h"

#define CLIENT_TIMEOUT_MS 30000
#define CLIENT_SOCKET_VARIABLE "UBLK_OCI_SOCKET" /* another path than WIRE_SOCKET */

/*
 * req: everything but its head and timeout. place_fd: the pidfd of the container's init
 * process; with WIRE_HOST the directory to mount on; else, and with WIRE_AHEAD, -1. files: the
 * target's, as many as it has. All are borrowed. On success ret->reason may hold a warning.
 * ret_timing comes with WIRE_TIMED only, and may be NULL without.
 */
int client_attach(const struct wire_attach *req, int place_fd, const int *files,
		  unsigned int nr_files, int timeout_ms, struct wire_reply *ret,
		  struct wire_timing *ret_timing, struct err *e);

/*
 * req: generation, flags and labels; the rest as above. The device made ahead is this container's,
 * or the host's: *ret names the claim.
 */
int client_claim(const struct wire_claim *req, int pidfd, int timeout_ms, struct wire_reply *ret,
		 struct err *e);

/* flags: enum wire_detach_flag. */
int client_detach(uint64_t generation, uint32_t flags, int timeout_ms, struct wire_reply *ret,
		  struct err *e);

/*
 * The same in two halves, so that several are under way at once: an asked
 * question is one connection to the helper, which grants each user few.
 */
struct client_call {
	int fd;
	int64_t deadline_ms;
	bool timed;
	/* NULL, or told what is lost with WIRE_DETACH_TELL, while it is still to be done. */
	void (*lost)(void *arg, const char *text);
	void *arg;
};

int client_detach_begin(struct client_call *ret, uint64_t generation, uint32_t flags,
			int timeout_ms, struct err *e);

/* Waits for the answer and closes. ret_timing: with WIRE_DETACH_TIMED only. */
int client_detach_end(struct client_call *call, struct wire_reply *ret,
		      struct wire_timing *ret_timing, struct err *e);

struct client_devices {
	struct wire_device *rows;
	size_t nr;
};

void client_devices_fini(struct client_devices *d);
#define auto_client_devices __attribute__((cleanup(client_devices_fini)))

/*
 * All devices the caller may see, by device number; what containers have of one made ahead
 * (WIRE_CLAIMED) comes behind it. ret is empty before.
 */
int client_list(struct client_devices *ret, int timeout_ms, struct err *e);

/* generation 0: the device with this dev_id. */
int client_inspect(uint64_t generation, uint32_t dev_id, int timeout_ms, struct wire_details *ret,
		   struct err *e);

/*
 * The counters of a device (driver/wire/stats.h), to be read through *ret_fd,
 * which is the caller's then. -ENOENT: it has none, or there is no such device.
 */
int client_counters(uint64_t generation, int timeout_ms, struct wire_device *ret, int *ret_fd,
		    struct err *e);

/*
 * What the tool of the image behind a device says of it, to be read through *ret_fd, which is the
 * caller's then: a stranger's text, see snapshots.h. -EOPNOTSUPP: it can hold no snapshots.
 */
int client_snapshots(uint64_t generation, int timeout_ms, int *ret_fd, struct err *e);

/* Only root may ask. Another worker for a device that is used. */
int client_upgrade(uint64_t generation, int timeout_ms, struct wire_upgraded *ret, struct err *e);
/* size_bytes 0: as large as what is behind it. */
int client_resize(uint64_t generation, uint64_t size_bytes, int timeout_ms,
		  struct wire_upgraded *ret, struct err *e);

/* Only root may ask. On success ret->reason says what there is now. */
int client_reload(int timeout_ms, struct wire_reply *ret, struct err *e);

struct client_orphans {
	struct wire_orphan *rows;
	size_t nr;
};

void client_orphans_fini(struct client_orphans *o);
#define auto_client_orphans __attribute__((cleanup(client_orphans_fini)))

/*
 * flags: enum wire_repair_flag. Only root may ask. ret is empty before; ret_reply->reason
 * says when there may be more.
 */
int client_repair(uint32_t flags, int timeout_ms, struct client_orphans *ret,
		  struct wire_reply *ret_reply, struct err *e);

struct client_accesses {
	struct wire_access *rows;
	size_t nr;
};

void client_accesses_fini(struct client_accesses *a);
#define auto_client_accesses __attribute__((cleanup(client_accesses_fini)))

/*
 * The same of a container, by one of its devices: what became of each. Only root may ask. ret is
 * empty before.
 */
int client_repair_container(uint64_t generation, uint32_t flags, int timeout_ms,
			    struct client_accesses *ret, struct err *e);

/*
 * Whether a device belongs to a container: 2 if its label is id, 1 if its
 * label begins with id, else 0.
 */
int client_device_matches(const struct wire_device *d, const char *id);
