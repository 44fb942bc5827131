/* SPDX-License-Identifier: Apache-2.0 */
/* A helper for tests of what speaks to one: a child that answers as a script says. */
#pragma once

#include <sys/types.h>

#include "driver/wire/packet.h"
#include "driver/wire/wire.h"

#define SHORT_MS 300 /* for helpers that never answer; the client adds its own grace */

/* Takes one connection; NULL: refuses it unread. */
typedef void script(int peer_fd, const struct packet *request);

struct fake {
	char dir[32];
	char path[64];
	pid_t pid;
};

/* The client finds it by the environment; fake_end() after its one answer. */
void fake_start(struct fake *f, script *answer);
void fake_end(struct fake *f);

/* What scripts answer with. */
struct wire_reply reply_make(int status, const char *reason);
struct wire_device device_make(uint32_t dev_id, const char *container, const char *path);
void send_bytes(int fd, const void *bytes, size_t size);

/* A script: one device, and no more. */
void answer_device(int fd, const struct packet *p);
