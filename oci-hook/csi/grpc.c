/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/grpc.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"

#define GRPC_PREFIX 5 /* in front of a message: compressed?, and its size */
#define GRPC_TYPE "application/grpc"
#define GRPC_WORDS_MAX 1024 /* bytes of words, as they are sent */

enum stream_state {
	STREAM_OPEN,	 /* the request comes in */
	STREAM_CALLED,	 /* it is worked on */
	STREAM_ANSWERED, /* the answer goes out, or nothing more is said */
};

struct stream {
	struct stream *next;
	struct grpc *grpc;
	int32_t id;
	enum stream_state state;
	size_t headers;
	char path[GRPC_PATH_MAX];
	bool post, type, compressed;
	int timeout_ms;
	uint8_t *in; /* prefix and message, as they come */
	size_t in_size, in_room;
	uint8_t *out;
	size_t out_size, out_sent;
	enum code code;
	char words[GRPC_WORDS_MAX];
};

struct grpc {
	nghttp2_session *session;
	const struct grpc_events *events;
	void *arg;
	struct stream *streams;
	size_t kept; /* bytes of all requests */
	int64_t resets_since_ms;
	unsigned int resets;
	bool began;
};

/* --- header fields ------------------------------------------------------------------------ */

static bool bytes_are(const uint8_t *bytes, size_t size, const char *text)
{
	return size == strlen(text) && !memcmp(bytes, text, size);
}

int grpc_parse_timeout(const char *text, size_t size)
{
	/* How many of a unit are a millisecond, or how many milliseconds a unit is. */
	static const struct {
		char unit;
		uint64_t times, parts;
	} units[] = {
		{ 'H', 3600000, 1 }, { 'M', 60000, 1 }, { 'S', 1000, 1 },
		{ 'm', 1, 1 },	     { 'u', 1, 1000 },	{ 'n', 1, 1000000 },
	};
	uint64_t n = 0, ms;

	if (size < 2 || size > 9)
		return -EINVAL;
	for (size_t i = 0; i < size - 1; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		n = 10 * n + (uint64_t)(text[i] - '0');
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (units[i].unit != text[size - 1])
			continue;
		ms = (n * units[i].times + units[i].parts - 1) / units[i].parts;
		return ms > GRPC_TIMEOUT_MS_MAX ? GRPC_TIMEOUT_MS_MAX : (int)ms;
	}
	return -EINVAL;
}

static int header_path(struct stream *s, const uint8_t *value, size_t size)
{
	/* One that does not fit is no method's. */
	if (size >= sizeof(s->path) || memchr(value, '\0', size))
		size = 0;
	memcpy(s->path, value, size);
	s->path[size] = '\0';
	return 0;
}

static int header_method(struct stream *s, const uint8_t *value, size_t size)
{
	s->post = bytes_are(value, size, "POST");
	return 0;
}

/* "application/grpc", or that with "+proto" or parameters behind it. */
static int header_type(struct stream *s, const uint8_t *value, size_t size)
{
	size_t least = strlen(GRPC_TYPE);

	s->type = size >= least && !memcmp(value, GRPC_TYPE, least) &&
		  (size == least || value[least] == '+' || value[least] == ';');
	return 0;
}

static int header_timeout(struct stream *s, const uint8_t *value, size_t size)
{
	int ms = grpc_parse_timeout((const char *)value, size);

	s->timeout_ms = ms;
	return ms < 0 ? ms : 0;
}

static const struct {
	const char *name;
	int (*take)(struct stream *s, const uint8_t *value, size_t size);
} header_rows[] = {
	{ ":path", header_path },
	{ ":method", header_method },
	{ "content-type", header_type },
	{ "grpc-timeout", header_timeout },
};

/* --- streams ------------------------------------------------------------------------------ */

static struct stream *stream_find(struct grpc *g, int32_t id)
{
	struct stream *s = g->streams;

	while (s && s->id != id)
		s = s->next;
	return s;
}

static void stream_forget_request(struct stream *s)
{
	s->grpc->kept -= s->in_room;
	free(s->in);
	s->in = NULL;
	s->in_size = s->in_room = 0;
}

static void stream_free(struct stream *s)
{
	struct stream **link = &s->grpc->streams;

	while (*link != s)
		link = &(*link)->next;
	*link = s->next;
	stream_forget_request(s);
	free(s->out);
	free(s);
}

static int stream_keep(struct stream *s, const uint8_t *bytes, size_t size)
{
	size_t room = s->in_room ? s->in_room : 1024;
	uint8_t *in;

	if (size > GRPC_PREFIX + GRPC_MESSAGE_MAX - s->in_size)
		return -EMSGSIZE;
	while (room < s->in_size + size)
		room *= 2;
	if (s->grpc->kept - s->in_room + room > GRPC_MESSAGES_MAX)
		return -EMSGSIZE;
	if (room != s->in_room) {
		in = realloc(s->in, room);
		if (!in)
			return -ENOMEM;
		s->grpc->kept += room - s->in_room;
		s->in = in;
		s->in_room = room;
	}
	memcpy(s->in + s->in_size, bytes, size);
	s->in_size += size;
	return 0;
}

/* --- answers ------------------------------------------------------------------------------ */

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)name,
		.namelen = strlen(name),
		.value = (uint8_t *)value,
		.valuelen = strlen(value),
		.flags = NGHTTP2_NV_FLAG_NONE,
	};
}

/* Bytes that are no printable ASCII, and '%', as %XX. What does not fit is cut off. */
static void words_encode(char ret[GRPC_WORDS_MAX], const char *words)
{
	size_t n = 0;

	for (; *words && n + 4 <= GRPC_WORDS_MAX; words++) {
		unsigned char c = (unsigned char)*words;

		if (c >= 0x20 && c < 0x7f && c != '%')
			ret[n++] = (char)c;
		else
			n += (size_t)sprintf(ret + n, "%%%02X", c);
	}
	ret[n] = '\0';
}

/* The fields behind an answer, or of one that has only those. */
static size_t trailer(const struct stream *s, char number[4], nghttp2_nv ret[2])
{
	snprintf(number, 4, "%u", (unsigned int)s->code);
	ret[0] = header("grpc-status", number);
	ret[1] = header("grpc-message", s->words);
	return *s->words ? 2 : 1;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room,
		       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct stream *s = source->ptr;
	size_t n = s->out_size - s->out_sent;
	nghttp2_nv fields[2];
	char number[4];

	if (n > room)
		n = room;
	memcpy(buf, s->out + s->out_sent, n);
	s->out_sent += n;
	if (s->out_sent == s->out_size) {
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (nghttp2_submit_trailer(session, id, fields, trailer(s, number, fields)) != 0)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return (ssize_t)n;
}

static int stream_answer(struct stream *s)
{
	nghttp2_data_provider data = { .source.ptr = s, .read_callback = on_read };
	nghttp2_nv fields[4] = { header(":status", "200"), header("content-type", GRPC_TYPE) };
	size_t nr = 2;
	char number[4];

	s->state = STREAM_ANSWERED;
	stream_forget_request(s);
	if (!s->out)
		nr += trailer(s, number, fields + 2);
	return nghttp2_submit_response(s->grpc->session, s->id, fields, nr, s->out ? &data : NULL)
		       ? -ENOMEM
		       : 0;
}

static int stream_refuse(struct stream *s, enum code code, const char *words)
{
	s->code = code;
	words_encode(s->words, words);
	return stream_answer(s);
}

int grpc_answer(struct grpc *g, int32_t stream, enum code code, const char *words,
		const uint8_t *message, size_t size)
{
	struct stream *s = stream_find(g, stream);

	if (!s || s->state != STREAM_CALLED)
		return 0;
	if (code != CODE_OK)
		return stream_refuse(s, code, words);
	if (size > UINT32_MAX - GRPC_PREFIX)
		return stream_refuse(s, CODE_RESOURCE_EXHAUSTED, "the answer is too large");
	s->out = malloc(GRPC_PREFIX + size);
	if (!s->out)
		return stream_refuse(s, CODE_RESOURCE_EXHAUSTED, "there is no memory");
	s->out[0] = 0;
	for (int i = 0; i < 4; i++)
		s->out[1 + i] = (uint8_t)(size >> (24 - 8 * i));
	if (size)
		memcpy(s->out + GRPC_PREFIX, message, size);
	s->out_size = GRPC_PREFIX + size;
	return stream_answer(s);
}

/* --- what comes in ------------------------------------------------------------------------ */

/* Any other kind of HTTP than gRPC: answered as HTTP does. */
static int stream_refuse_http(struct stream *s, const char *status)
{
	nghttp2_nv fields[] = { header(":status", status) };

	s->state = STREAM_ANSWERED;
	stream_forget_request(s);
	return nghttp2_submit_response(s->grpc->session, s->id, fields, 1, NULL) ? -ENOMEM : 0;
}

static int stream_call(struct stream *s)
{
	const uint8_t *in = s->in;
	uint64_t size = 0;
	struct grpc_request request;

	if (!s->post)
		return stream_refuse_http(s, "405");
	if (!s->type)
		return stream_refuse_http(s, "415");
	if (s->in_size < GRPC_PREFIX)
		return stream_refuse(s, CODE_INTERNAL, "the request has no message");
	for (int i = 0; i < 4; i++)
		size = size << 8 | in[1 + i];
	if (in[0])
		return stream_refuse(s, CODE_UNIMPLEMENTED,
				     "the message is compressed; there is no compression here");
	if (size != s->in_size - GRPC_PREFIX)
		return stream_refuse(s, CODE_INTERNAL, "the request is not one message");
	request = (struct grpc_request){
		.stream = s->id,
		.path = s->path,
		.message = in + GRPC_PREFIX,
		.size = size,
		.timeout_ms = s->timeout_ms,
	};
	s->state = STREAM_CALLED;
	s->grpc->events->call(s->grpc->arg, &request);
	s = stream_find(s->grpc, request.stream);
	if (s)
		stream_forget_request(s);
	return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc *g = arg;
	struct stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	s->grpc = g;
	s->id = frame->hd.stream_id;
	s->timeout_ms = -1;
	s->next = g->streams;
	g->streams = s;
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_size, const uint8_t *value, size_t size, uint8_t flags, void *arg)
{
	struct stream *s = stream_find(arg, frame->hd.stream_id);

	if (!s || s->state != STREAM_OPEN)
		return 0;
	s->headers += name_size + size + 32; /* as RFC 9113, 10.5.1 counts */
	if (s->headers > GRPC_HEADERS_MAX)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	for (size_t i = 0; i < ARRAY_SIZE(header_rows); i++) {
		if (!bytes_are(name, name_size, header_rows[i].name))
			continue;
		return header_rows[i].take(s, value, size) < 0
			       ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
			       : 0;
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
		   size_t size, void *arg)
{
	struct stream *s = stream_find(arg, id);
	int r;

	if (!s || s->state != STREAM_OPEN)
		return 0;
	r = stream_keep(s, bytes, size);
	if (r < 0)
		r = stream_refuse(s, CODE_RESOURCE_EXHAUSTED,
				  r == -ENOMEM ? "there is no memory" : "the request is too large");
	return r < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* Calls begun and taken back, over and over: whoever does that is told to be calm, and left. */
static void count_reset(struct grpc *g)
{
	int64_t now_ms = clock_now_ms();

	if (now_ms - g->resets_since_ms > GRPC_RESETS_MS) {
		g->resets_since_ms = now_ms;
		g->resets = 0;
	}
	if (++g->resets > GRPC_RESETS_MAX)
		nghttp2_session_terminate_session(g->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc *g = arg;
	struct stream *s;

	g->began = true;
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		count_reset(g);
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	s = stream_find(g, frame->hd.stream_id);
	if (!s || s->state != STREAM_OPEN || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	return stream_call(s) < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	struct grpc *g = arg;
	struct stream *s = stream_find(g, id);

	if (!s)
		return 0;
	if (s->state == STREAM_CALLED)
		g->events->gone(g->arg, id);
	stream_free(s);
	return 0;
}

/* --- the connection ----------------------------------------------------------------------- */

static int grpc_begin(struct grpc *g)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, GRPC_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_HEADERS_MAX },
	};
	nghttp2_session_callbacks *callbacks;
	int r;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	r = nghttp2_session_server_new(&g->session, callbacks, g);
	nghttp2_session_callbacks_del(callbacks);
	if (r == 0)
		r = nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, settings,
					    ARRAY_SIZE(settings));
	return r ? -ENOMEM : 0;
}

int grpc_open(struct grpc **ret, const struct grpc_events *events, void *arg)
{
	auto_grpc struct grpc *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->events = events;
	g->arg = arg;
	r = grpc_begin(g);
	if (r == 0)
		*ret = ptr_take(g);
	return r;
}

void grpc_close(struct grpc *g)
{
	nghttp2_session_del(g->session);
	while (g->streams)
		stream_free(g->streams);
	free(g);
}

void grpc_closep(struct grpc **g)
{
	if (*g)
		grpc_close(*g);
	*g = NULL;
}

int grpc_take(struct grpc *g, const uint8_t *bytes, size_t size)
{
	ssize_t n = nghttp2_session_mem_recv(g->session, bytes, size);

	return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : n != (ssize_t)size ? -EPROTO : 0;
}

ssize_t grpc_give(struct grpc *g, const uint8_t **ret)
{
	ssize_t n = nghttp2_session_mem_send(g->session, ret);

	return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : n < 0 ? -EPROTO : n;
}

bool grpc_ended(const struct grpc *g)
{
	return !nghttp2_session_want_read(g->session) && !nghttp2_session_want_write(g->session);
}

bool grpc_began(const struct grpc *g)
{
	return g->began;
}

void grpc_shut(struct grpc *g)
{
	nghttp2_submit_goaway(g->session, NGHTTP2_FLAG_NONE,
			      nghttp2_session_get_last_proc_stream_id(g->session), NGHTTP2_NO_ERROR,
			      NULL, 0);
}
