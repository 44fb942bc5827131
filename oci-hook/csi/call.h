/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call under way: what it may know, where its memory is, and how it fails. Each is served by
 * a process of its own, which may be killed at any moment; so what it changes is the store's or
 * the helper's to keep whole.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "oci-hook/csi/code.h"

/* What does not change while the program runs. */
struct config {
	const char *node_id;
	bool online; /* this kernel makes a device larger that is used */
};

struct call_block;

struct call {
	const struct config *config;
	int locks_fd;	     /* who works on which volume, see call_lock(); -1: nobody else does */
	int64_t deadline_ms; /* clock_now_ms(); INT64_MAX: none */
	struct err e;	     /* why it failed */
	struct call_block *blocks;
};

void call_fini(struct call *c);
#define auto_call __attribute__((cleanup(call_fini)))

/* Zeroes that live as long as the call. Without memory the process ends. */
void *call_alloc(struct call *c, size_t size);

/* The same for a message, with the defaults of its fields. */
void *call_message(struct call *c, const ProtobufCMessageDescriptor *descriptor);

/* A text that lives as long as the call. */
char *call_text(struct call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For protobuf-c: that memory, which nobody needs to free. */
ProtobufCAllocator call_allocator(struct call *c);

/* Sets the reason, and returns code. */
enum code call_refuse(struct call *c, enum code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* INVALID_ARGUMENT: the request lacks this field. */
enum code call_lacks(struct call *c, const char *field);

/*
 * Nobody else works on what has this id until the process ends: ABORTED when somebody does. Those
 * that only read it (shared) do not exclude each other.
 */
enum code call_lock(struct call *c, const char *id, bool shared);
