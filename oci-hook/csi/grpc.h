/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's end of one gRPC connection: HTTP/2 without TLS, calls of one message each way.
 * Bytes go in and come out; it knows no socket and no message's meaning.
 *
 * What a peer can make it keep is limited: streams, header fields, bytes of requests, resets.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "oci-hook/csi/code.h"

#define GRPC_STREAMS_MAX 32
#define GRPC_HEADERS_MAX 8192 /* bytes of one request's header fields */
#define GRPC_PATH_MAX 128
#define GRPC_MESSAGE_MAX (1u << 20)  /* bytes of a request */
#define GRPC_MESSAGES_MAX (4u << 20) /* of all requests of a connection */
#define GRPC_RESETS_MAX 200	     /* calls taken back in GRPC_RESETS_MS */
#define GRPC_RESETS_MS 10000
#define GRPC_TIMEOUT_MS_MAX (24 * 60 * 60 * 1000)

struct grpc;

struct grpc_request {
	int32_t stream;
	const char *path; /* "/SERVICE/METHOD", as it was sent */
	const uint8_t *message;
	size_t size;
	int timeout_ms; /* -1: none */
};

struct grpc_events {
	/* One is here whole. grpc_answer() ends it, now or later. */
	void (*call)(void *arg, const struct grpc_request *request);
	/* Nobody waits for its answer any more; never after that answer. */
	void (*gone)(void *arg, int32_t stream);
};

/* events and arg are borrowed. */
int grpc_open(struct grpc **ret, const struct grpc_events *events, void *arg);

/* Tells of no stream any more. */
void grpc_close(struct grpc *g);
void grpc_closep(struct grpc **g);
#define auto_grpc __attribute__((cleanup(grpc_closep)))

/* What the peer sent. Not 0: the connection is to be closed, after what there is to send. */
int grpc_take(struct grpc *g, const uint8_t *bytes, size_t size);

/* The next bytes to send, until the next call; 0: none now; or -errno. */
ssize_t grpc_give(struct grpc *g, const uint8_t **ret);

/* Neither side has anything to say any more. */
bool grpc_ended(const struct grpc *g);

/* The peer said what HTTP/2 begins with. */
bool grpc_began(const struct grpc *g);

/* CODE_OK: with this message; else with these words. A stream that is gone is none. */
int grpc_answer(struct grpc *g, int32_t stream, enum code code, const char *words,
		const uint8_t *message, size_t size);

/* No new calls; the peer is told. */
void grpc_shut(struct grpc *g);

/* The value of the field "grpc-timeout": milliseconds, rounded up; -EINVAL. */
int grpc_parse_timeout(const char *text, size_t size);
