/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 as a peer may send it. The first byte says in which pieces, and which calls are answered
 * at once, which later, which never; the rest is what comes in. No call is told of twice, none
 * after it is gone, and what one keeps is within its limits.
 */
#include <stdint.h>
#include <string.h>

#include "oci-hook/csi/grpc.h"
#include "tests/fuzz/fuzz.h"

#define WAITING_MAX (GRPC_STREAMS_MAX * 4)

struct world {
	struct grpc *grpc;
	unsigned int how;
	int32_t waiting[WAITING_MAX];
	size_t nr;
};

static size_t waiting_find(const struct world *w, int32_t stream)
{
	size_t i = 0;

	while (i < w->nr && w->waiting[i] != stream)
		i++;
	return i;
}

static void on_call(void *arg, const struct grpc_request *request)
{
	struct world *w = arg;

	must(waiting_find(w, request->stream) == w->nr && w->nr < GRPC_STREAMS_MAX);
	must(memchr(request->path, '\0', GRPC_PATH_MAX) && request->size <= GRPC_MESSAGE_MAX);
	must(request->timeout_ms >= -1 && request->timeout_ms <= GRPC_TIMEOUT_MS_MAX);
	w->waiting[w->nr++] = request->stream;
	if (w->how & 1) {
		w->nr--;
		must(grpc_answer(w->grpc, request->stream, CODE_OK, NULL, request->message,
				 request->size) == 0);
	}
}

static void on_gone(void *arg, int32_t stream)
{
	struct world *w = arg;
	size_t i = waiting_find(w, stream);

	must(i < w->nr);
	w->waiting[i] = w->waiting[--w->nr];
}

static void answer_late(struct world *w)
{
	while (w->how & 2 && w->nr)
		must(grpc_answer(w->grpc, w->waiting[--w->nr], CODE_ABORTED, "100 % \n\xff", NULL,
				 0) == 0);
}

static int drain(struct grpc *g)
{
	const uint8_t *out;
	ssize_t n;

	while ((n = grpc_give(g, &out)) > 0)
		must(out != NULL);
	return (int)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const struct grpc_events events = { on_call, on_gone };
	struct world w = { .how = size ? bytes[0] : 0 };
	size_t piece = 1 + (w.how >> 2) * 16, at = 1, n;
	int r = 0;

	must(grpc_open(&w.grpc, &events, &w) == 0);
	for (; at < size && r == 0; at += n) {
		n = size - at < piece ? size - at : piece;
		r = grpc_take(w.grpc, bytes + at, n);
		if (drain(w.grpc) < 0)
			break;
		answer_late(&w);
	}
	drain(w.grpc);
	grpc_close(w.grpc);
	return 0;
}
