/* SPDX-License-Identifier: Apache-2.0 */
/* Devices as people and as programs want to see them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/wire/wire.h"
#include "oci-hook/auto_json.h"

/* Names and words of strangers: what is no UTF-8 becomes \xNN. */
void show_add_text(struct json_object *o, const char *key, const char *text);
/* "filesystem": what is mounted in place of a device; null: nothing is. */
void show_add_filesystem(struct json_object *o, uint32_t filesystem);
void show_add_number(struct json_object *o, const char *key, uint64_t n);
void show_add_bool(struct json_object *o, const char *key, bool yes);

/* 64-bit names as 16 hex digits: JSON readers keep 53 bits of a number. */
void show_add_hex(struct json_object *o, const char *key, uint64_t n);

const char *show_state(uint32_t state);
const char *show_target(uint32_t target);
const char *show_access(uint32_t flags);

/* Threads that serve it, each with a ring. */
unsigned int show_threads(const struct wire_device *d);

/* Which device, and what became of it: its names and "error", "" when r is 0. */
struct json_object *show_outcome(const struct wire_device *d, int r, const struct err *e);
/* Limits of I/O; what is not limited is null. */
struct json_object *show_io(const struct wire_io *io);

/* The stable keys of a device; owned by the caller. */
struct json_object *show_device(const struct wire_device *d);
struct json_object *show_details(const struct wire_details *d);

/* One value on stdout, indented. */
void show_json_print(struct json_object *o);

/* The same value as lines "worker.pid   4711". */
void show_text_print(struct json_object *o);
