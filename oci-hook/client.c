/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/client.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "driver/wire/packet.h"
#include "driver/wire/stats.h"
#include "driver/wire/timing.h"

/* The helper keeps the deadline it was told; this long after it, it is not coming. */
#define CLIENT_GRACE_MS 2000
#define CLIENT_CONNECT_SECONDS 5
#define CLIENT_DEVICES_MAX (1u << 20) /* more the driver cannot have */

struct field {
	size_t off, size;
};

#define FIELD(type, name)                                                                          \
	{                                                                                          \
		offsetof(type, name), sizeof(((type *)0)->name)                                    \
	}

static const struct field device_texts[] = {
	FIELD(struct wire_device, container), FIELD(struct wire_device, engine),
	FIELD(struct wire_device, path),      FIELD(struct wire_device, rule),
	FIELD(struct wire_device, backing),
};

static const struct field loss_texts[] = {
	FIELD(struct wire_loss, text),
};

static const struct field orphan_texts[] = {
	FIELD(struct wire_orphan, name),
	FIELD(struct wire_orphan, why),
	FIELD(struct wire_orphan, failure),
};

static const char *client_socket(void)
{
	const char *path = secure_getenv(CLIENT_SOCKET_VARIABLE);

	return path && *path ? path : WIRE_SOCKET;
}

static int client_unreachable(int code, const char *path, struct err *e)
{
	if (code == EACCES || code == EPERM)
		return err_set(e, code,
			       "you may not ask the helper at %s: you are not in group ublk-oci "
			       "(usermod -aG ublk-oci USER, then log in again)",
			       path);
	if (code == ENOENT || code == ECONNREFUSED)
		return err_set(e, ECONNREFUSED, /* ENOENT is a device that is not there */
			       "cannot reach the helper at %s: is ublk-ocid running? "
			       "(systemctl start ublk-ocid.socket)",
			       path);
	if (code == EAGAIN)
		return err_set(e, ETIMEDOUT, "the helper at %s is too busy to take the request",
			       path);
	return err_sys(e, code, "cannot reach the helper at %s", path);
}

static int client_connect(int *ret_fd, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = CLIENT_CONNECT_SECONDS };
	const char *path = client_socket();
	auto_close int fd = -1;
	int r;

	if (text_copy(addr.sun_path, sizeof(addr.sun_path), path) < 0)
		return err_set(e, ENAMETOOLONG,
			       "the path of the helper's socket is too long: %.200s", path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	/* connect() waits for room in the helper's queue, and knows no other deadline. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	do {
		r = connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return client_unreachable(errno, path, e);
	*ret_fd = fd_take(&fd);
	return 0;
}

static struct wire_head client_head(enum wire_type type, size_t size, unsigned int nr_fds)
{
	return (struct wire_head){
		.magic = WIRE_MAGIC,
		.version = WIRE_VERSION,
		.type = (uint16_t)type,
		.size = (uint32_t)size,
		.nr_fds = nr_fds,
	};
}

/* Connects and sends one request, whose first member is its head. */
static int client_ask(int *ret_fd, const struct wire_head *req, const int *fds, struct err *e)
{
	auto_close int fd = -1;
	int r;

	r = client_connect(&fd, e);
	if (r < 0)
		return r;
	/* A helper that refuses before it reads closes its end; its answer is still to be read. */
	r = packet_send(fd, req, req->size, fds, req->nr_fds, CLIENT_GRACE_MS);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return err_sys(e, -r, "cannot send the request to the helper");
	*ret_fd = fd_take(&fd);
	return 0;
}

static int client_bad_answer(const char *what, struct err *e)
{
	return err_set(e, EPROTO,
		       "the helper's answer is not understood (%s); are ublk-oci and ublk-ocid of "
		       "the same release?",
		       what);
}

static bool texts_ok(const void *message, const struct field *fields, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		if (!text_padded_ok((const char *)message + fields[i].off, fields[i].size))
			return false;
	}
	return true;
}

static const struct {
	enum wire_type type;
	size_t size;
	size_t texts_off; /* where the wire_device in it begins */
	bool has_device;
	unsigned int nr_fds;
} answers[] = {
	{ WIRE_ORPHAN, sizeof(struct wire_orphan) },
	{ WIRE_ACCESS, sizeof(struct wire_access) },
	{ WIRE_LOSS, sizeof(struct wire_loss) },
	{ WIRE_REPLY, sizeof(struct wire_reply), 0, false },
	{ WIRE_DEVICE, sizeof(struct wire_device), 0, true },
	{ WIRE_DETAILS, sizeof(struct wire_details), offsetof(struct wire_details, device), true },
	{ WIRE_TIMING, sizeof(struct wire_timing), 0, false },
	{ WIRE_COUNTERS, sizeof(struct wire_counters), offsetof(struct wire_counters, device), true,
	  1 },
	{ WIRE_UPGRADED, sizeof(struct wire_upgraded), 0, false },
	{ WIRE_IMAGE_SAYS, sizeof(struct wire_image_says), 0, false, 1 },
};

/* Is this a packet the helper may answer with? Its type is in the head then. */
static int client_admit(const struct packet *p, struct err *e)
{
	const struct wire_head *head = (const void *)p->bytes;
	const struct wire_reply *reply = (const void *)p->bytes;

	if (p->size < sizeof(*head) || head->magic != WIRE_MAGIC || head->size != p->size)
		return client_bad_answer("not a packet of ours", e);
	if (head->type == WIRE_REPLY && p->size == sizeof(*reply) &&
	    (head->version != WIRE_VERSION || reply->status == -EPROTONOSUPPORT))
		return err_set(e, EPROTONOSUPPORT,
			       "the helper does not speak version %d of the protocol (it has %u): "
			       "install ublk-oci and ublk-ocid of the same release",
			       WIRE_VERSION, head->version);
	if (head->version != WIRE_VERSION)
		return client_bad_answer("unknown version", e);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		if (head->type != answers[i].type)
			continue;
		if (p->size != answers[i].size)
			return client_bad_answer("wrong size", e);
		if (p->nr_fds != answers[i].nr_fds || head->nr_fds != p->nr_fds)
			return client_bad_answer("file descriptors", e);
		if (answers[i].has_device && !texts_ok(p->bytes + answers[i].texts_off,
						       device_texts, ARRAY_SIZE(device_texts)))
			return client_bad_answer("text without an end", e);
		if (head->type == WIRE_REPLY &&
		    (!text_padded_ok(reply->reason, sizeof(reply->reason)) || reply->status > 0))
			return client_bad_answer("a reply that is none", e);
		if (head->type == WIRE_LOSS &&
		    !texts_ok(p->bytes, loss_texts, ARRAY_SIZE(loss_texts)))
			return client_bad_answer("text without an end", e);
		if (head->type == WIRE_ORPHAN &&
		    !texts_ok(p->bytes, orphan_texts, ARRAY_SIZE(orphan_texts)))
			return client_bad_answer("text without an end", e);
		if (head->type == WIRE_TIMING && !timing_report_ok((const void *)p->bytes))
			return client_bad_answer("times that are none", e);
		return 0;
	}
	return client_bad_answer("unknown type", e);
}

/* The next packet of the helper. */
static int client_receive(int fd, struct packet *p, int64_t deadline_ms, struct err *e)
{
	int r;

	r = packet_receive(fd, p, clock_left_ms(deadline_ms));
	if (r == -ETIMEDOUT)
		return err_set(
			e, ETIMEDOUT,
			"the helper did not answer in time; what was asked may still be done "
			"(see ublk-oci list, and the log of ublk-ocid)");
	if (r == -ECONNRESET || r == -EPIPE)
		return err_set(e, ECONNRESET,
			       "the helper closed the connection without an answer; its log says "
			       "why (journalctl -u ublk-ocid)");
	if (r == -EMSGSIZE)
		return client_bad_answer("too long", e);
	if (r < 0)
		return err_sys(e, -r, "cannot read the helper's answer");
	return client_admit(p, e);
}

static uint16_t packet_type(const struct packet *p)
{
	return ((const struct wire_head *)(const void *)p->bytes)->type;
}

/* A reply as the result of the whole request: 0, or the helper's -errno and words. */
static int client_verdict(const struct packet *p, struct wire_reply *ret, struct err *e)
{
	struct wire_reply reply;

	memcpy(&reply, p->bytes, sizeof(reply));
	if (reply.status < 0)
		return *reply.reason ? err_set(e, -reply.status, "%s", reply.reason)
				     : err_sys(e, -reply.status, "the helper refused");
	if (ret)
		*ret = reply;
	return 0;
}

static int client_call_begin(struct client_call *ret, const struct wire_head *req, const int *fds,
			     int timeout_ms, bool timed, struct err *e)
{
	ret->deadline_ms = clock_deadline_ms(timeout_ms + CLIENT_GRACE_MS);
	ret->timed = timed;
	ret->lost = NULL;
	return client_ask(&ret->fd, req, fds, e);
}

/* The next packet that is none of those that say what is lost. */
static int client_receive_past_losses(const struct client_call *call, int fd, struct packet *p,
				      struct err *e)
{
	struct wire_loss loss;
	int r;

	while ((r = client_receive(fd, p, call->deadline_ms, e)) == 0 && call->lost &&
	       packet_type(p) == WIRE_LOSS) {
		memcpy(&loss, p->bytes, sizeof(loss));
		call->lost(call->arg, loss.text);
	}
	return r;
}

/* Expects nothing but a reply, with what it took before it if that was asked for. */
static int client_call_end(struct client_call *call, struct wire_reply *ret,
			   struct wire_timing *ret_timing, struct err *e)
{
	auto_close int fd = fd_take(&call->fd);
	auto_packet struct packet p = PACKET_INIT;
	bool told = false;
	int r;

	r = client_receive_past_losses(call, fd, &p, e);
	if (r == 0 && call->timed && packet_type(&p) == WIRE_TIMING) {
		memcpy(ret_timing, p.bytes, sizeof(*ret_timing));
		told = true;
		r = client_receive(fd, &p, call->deadline_ms, e);
	}
	if (r < 0)
		return r;
	if (packet_type(&p) != WIRE_REPLY)
		return client_bad_answer("not a reply", e);
	r = client_verdict(&p, ret, e);
	return r == 0 && call->timed && !told ? client_bad_answer("no times", e) : r;
}

static int client_ask_reply(const struct wire_head *req, const int *fds, int timeout_ms,
			    struct wire_reply *ret, struct err *e)
{
	struct client_call call = { .fd = -1 };
	int r;

	r = client_call_begin(&call, req, fds, timeout_ms, false, e);
	return r < 0 ? r : client_call_end(&call, ret, NULL, e);
}

int client_attach(const struct wire_attach *req, int place_fd, const int *files,
		  unsigned int nr_files, int timeout_ms, struct wire_reply *ret,
		  struct wire_timing *ret_timing, struct err *e)
{
	struct client_call call = { .fd = -1 };
	struct wire_attach ask = *req;
	unsigned int nr_fds = 0;
	int r, fds[WIRE_FDS_MAX];

	if (place_fd >= 0)
		fds[nr_fds++] = place_fd;
	for (unsigned int i = 0; i < nr_files && nr_fds < WIRE_FDS_MAX; i++)
		fds[nr_fds++] = files[i];
	ask.head = client_head(WIRE_ATTACH, sizeof(ask), nr_fds);
	ask.timeout_ms = (uint32_t)timeout_ms;
	r = client_call_begin(&call, &ask.head, fds, timeout_ms, ask.flags & WIRE_TIMED, e);
	return r < 0 ? r : client_call_end(&call, ret, ret_timing, e);
}

int client_claim(const struct wire_claim *req, int pidfd, int timeout_ms, struct wire_reply *ret,
		 struct err *e)
{
	struct wire_claim ask = *req;

	ask.head = client_head(WIRE_CLAIM, sizeof(ask), 1);
	ask.timeout_ms = (uint32_t)timeout_ms;
	return client_ask_reply(&ask.head, &pidfd, timeout_ms, ret, e);
}

int client_detach_begin(struct client_call *ret, uint64_t generation, uint32_t flags,
			int timeout_ms, struct err *e)
{
	struct wire_detach ask = {
		.head = client_head(WIRE_DETACH, sizeof(ask), 0),
		.generation = generation,
		.flags = flags,
		.timeout_ms = (uint32_t)timeout_ms,
	};

	return client_call_begin(ret, &ask.head, NULL, timeout_ms, flags & WIRE_DETACH_TIMED, e);
}

int client_detach_end(struct client_call *call, struct wire_reply *ret,
		      struct wire_timing *ret_timing, struct err *e)
{
	return client_call_end(call, ret, ret_timing, e);
}

int client_detach(uint64_t generation, uint32_t flags, int timeout_ms, struct wire_reply *ret,
		  struct err *e)
{
	struct client_call call = { .fd = -1 };
	int r;

	r = client_detach_begin(&call, generation, flags, timeout_ms, e);
	return r < 0 ? r : client_call_end(&call, ret, NULL, e);
}

void client_devices_fini(struct client_devices *d)
{
	free(d->rows);
	d->rows = NULL;
	d->nr = 0;
}

static int client_devices_add(struct client_devices *d, const struct packet *p, struct err *e)
{
	struct wire_device *rows = d->rows;

	if (d->nr >= CLIENT_DEVICES_MAX)
		return client_bad_answer("more devices than can be", e);
	if (!(d->nr & (d->nr - 1))) /* doubles whenever it is full */
		rows = reallocarray(d->rows, d->nr ? 2 * d->nr : 1, sizeof(*rows));
	if (!rows)
		return err_sys(e, ENOMEM, "cannot keep the list of devices");
	d->rows = rows;
	memcpy(&d->rows[d->nr++], p->bytes, sizeof(*rows));
	return 0;
}

static int device_order(const void *a, const void *b)
{
	const struct wire_device *x = a, *y = b;
	uint32_t claimed = x->flags & WIRE_CLAIMED;

	if (x->dev_id != y->dev_id)
		return x->dev_id < y->dev_id ? -1 : 1;
	if (claimed != (y->flags & WIRE_CLAIMED))
		return claimed ? 1 : -1;
	return strcmp(x->container, y->container);
}

int client_list(struct client_devices *ret, int timeout_ms, struct err *e)
{
	int64_t deadline = clock_deadline_ms(timeout_ms + CLIENT_GRACE_MS);
	struct wire_list ask = { .head = client_head(WIRE_LIST, sizeof(ask), 0) };
	auto_client_devices struct client_devices d = { 0 };
	auto_close int fd = -1;
	int r;

	r = client_ask(&fd, &ask.head, NULL, e);
	if (r < 0)
		return r;
	for (;;) {
		auto_packet struct packet p = PACKET_INIT;

		r = client_receive(fd, &p, deadline, e);
		if (r < 0)
			return r;
		if (packet_type(&p) == WIRE_REPLY) {
			r = client_verdict(&p, NULL, e);
			break;
		}
		if (packet_type(&p) != WIRE_DEVICE)
			return client_bad_answer("not a device", e);
		r = client_devices_add(&d, &p, e);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (d.nr)
		qsort(d.rows, d.nr, sizeof(*d.rows), device_order);
	*ret = d;
	d = (struct client_devices){ 0 };
	return 0;
}

/* One packet of this type, or the reason why there is none. */
static int client_ask_one(const struct wire_head *ask, enum wire_type wanted, const char *what,
			  int timeout_ms, struct packet *ret, struct err *e)
{
	int64_t deadline = clock_deadline_ms(timeout_ms + CLIENT_GRACE_MS);
	auto_close int fd = -1;
	char missing[32];
	int r;

	r = client_ask(&fd, ask, NULL, e);
	if (r == 0)
		r = client_receive(fd, ret, deadline, e);
	if (r < 0 || packet_type(ret) == wanted)
		return r;
	if (packet_type(ret) == WIRE_REPLY) {
		r = client_verdict(ret, NULL, e);
		if (r < 0)
			return r;
	}
	snprintf(missing, sizeof(missing), "%s %s", packet_type(ret) == WIRE_REPLY ? "no" : "not",
		 what);
	return client_bad_answer(missing, e);
}

int client_inspect(uint64_t generation, uint32_t dev_id, int timeout_ms, struct wire_details *ret,
		   struct err *e)
{
	struct wire_inspect ask = {
		.head = client_head(WIRE_INSPECT, sizeof(ask), 0),
		.generation = generation,
		.dev_id = dev_id,
	};
	auto_packet struct packet p = PACKET_INIT;
	int r;

	r = client_ask_one(&ask.head, WIRE_DETAILS, "details", timeout_ms, &p, e);
	if (r < 0)
		return r;
	memcpy(ret, p.bytes, sizeof(*ret));
	return 0;
}

int client_counters(uint64_t generation, int timeout_ms, struct wire_device *ret, int *ret_fd,
		    struct err *e)
{
	struct wire_stats ask = {
		.head = client_head(WIRE_STATS, sizeof(ask), 0),
		.generation = generation,
	};
	auto_packet struct packet p = PACKET_INIT;
	struct wire_counters answer;
	int r;

	r = client_ask_one(&ask.head, WIRE_COUNTERS, "counters", timeout_ms, &p, e);
	if (r < 0)
		return r;
	memcpy(&answer, p.bytes, sizeof(answer));
	if (!answer.device.nr_queues || answer.device.nr_queues > STATS_QUEUES_MAX ||
	    !answer.device.depth)
		return client_bad_answer("a device without queues", e);
	*ret = answer.device;
	*ret_fd = fd_take(&p.fds[0]);
	return 0;
}

int client_snapshots(uint64_t generation, int timeout_ms, int *ret_fd, struct err *e)
{
	struct wire_snapshots ask = {
		.head = client_head(WIRE_SNAPSHOTS, sizeof(ask), 0),
		.generation = generation,
		.timeout_ms = (uint32_t)timeout_ms,
	};
	auto_packet struct packet p = PACKET_INIT;
	int r;

	r = client_ask_one(&ask.head, WIRE_IMAGE_SAYS, "snapshots", timeout_ms, &p, e);
	if (r == 0)
		*ret_fd = fd_take(&p.fds[0]);
	return r;
}

static int client_ask_upgraded(struct wire_head *head, const char *what, int timeout_ms,
			       struct wire_upgraded *ret, struct err *e)
{
	auto_packet struct packet p = PACKET_INIT;
	int r;

	r = client_ask_one(head, WIRE_UPGRADED, what, timeout_ms, &p, e);
	if (r == 0)
		memcpy(ret, p.bytes, sizeof(*ret));
	return r;
}

int client_upgrade(uint64_t generation, int timeout_ms, struct wire_upgraded *ret, struct err *e)
{
	struct wire_upgrade ask = {
		.head = client_head(WIRE_UPGRADE, sizeof(ask), 0),
		.generation = generation,
		.timeout_ms = (uint32_t)timeout_ms,
	};

	return client_ask_upgraded(&ask.head, "upgrade", timeout_ms, ret, e);
}

int client_resize(uint64_t generation, uint64_t size_bytes, int timeout_ms,
		  struct wire_upgraded *ret, struct err *e)
{
	struct wire_resize ask = {
		.head = client_head(WIRE_RESIZE, sizeof(ask), 0),
		.generation = generation,
		.size_bytes = size_bytes,
		.timeout_ms = (uint32_t)timeout_ms,
	};

	return client_ask_upgraded(&ask.head, "resize", timeout_ms, ret, e);
}

int client_reload(int timeout_ms, struct wire_reply *ret, struct err *e)
{
	struct wire_reload ask = { .head = client_head(WIRE_RELOAD, sizeof(ask), 0) };

	return client_ask_reply(&ask.head, NULL, timeout_ms, ret, e);
}

void client_orphans_fini(struct client_orphans *o)
{
	free(o->rows);
	o->rows = NULL;
	o->nr = 0;
}

static int client_orphans_add(struct client_orphans *o, const struct packet *p, struct err *e)
{
	struct wire_orphan row;

	memcpy(&row, p->bytes, sizeof(row));
	if (o->nr >= WIRE_ORPHANS_MAX || row.kind >= WIRE_ORPHAN_END ||
	    row.outcome >= WIRE_OUTCOME_END)
		return client_bad_answer("an orphan that is none", e);
	if (!o->rows)
		o->rows = calloc(WIRE_ORPHANS_MAX, sizeof(*o->rows));
	if (!o->rows)
		return err_sys(e, ENOMEM, "cannot keep the answer");
	o->rows[o->nr++] = row;
	return 0;
}

void client_accesses_fini(struct client_accesses *a)
{
	free(a->rows);
	a->rows = NULL;
	a->nr = 0;
}

static int client_accesses_add(struct client_accesses *a, const struct packet *p, struct err *e)
{
	struct wire_access row, *more;

	memcpy(&row, p->bytes, sizeof(row));
	if (row.outcome >= WIRE_ACCESS_END || !text_padded_ok(row.path, sizeof(row.path)) ||
	    !text_padded_ok(row.why, sizeof(row.why)))
		return client_bad_answer("what is none", e);
	more = reallocarray(a->rows, a->nr + 1, sizeof(*more));
	if (!more)
		return err_sys(e, ENOMEM, "cannot keep the answer");
	a->rows = more;
	a->rows[a->nr++] = row;
	return 0;
}

/* What a repair of either kind answers, into one of the two. */
struct client_repaired {
	struct client_orphans *orphans;
	struct client_accesses *accesses;
};

static int client_repaired_add(const struct client_repaired *r, const struct packet *p,
			       struct err *e)
{
	if (r->orphans && packet_type(p) == WIRE_ORPHAN)
		return client_orphans_add(r->orphans, p, e);
	if (r->accesses && packet_type(p) == WIRE_ACCESS)
		return client_accesses_add(r->accesses, p, e);
	return client_bad_answer("not what was asked for", e);
}

static int client_ask_repair(const struct wire_repair *ask, int timeout_ms,
			     const struct client_repaired *ret, struct wire_reply *ret_reply,
			     struct err *e)
{
	int64_t deadline = clock_deadline_ms(timeout_ms + CLIENT_GRACE_MS);
	auto_close int fd = -1;
	int r;

	r = client_ask(&fd, &ask->head, NULL, e);
	while (r == 0) {
		auto_packet struct packet p = PACKET_INIT;

		r = client_receive(fd, &p, deadline, e);
		if (r < 0)
			break;
		if (packet_type(&p) == WIRE_REPLY)
			return client_verdict(&p, ret_reply, e);
		r = client_repaired_add(ret, &p, e);
	}
	return r;
}

int client_repair(uint32_t flags, int timeout_ms, struct client_orphans *ret,
		  struct wire_reply *ret_reply, struct err *e)
{
	const struct wire_repair ask = {
		.head = client_head(WIRE_REPAIR, sizeof(ask), 0),
		.flags = flags,
	};

	return client_ask_repair(&ask, timeout_ms, &(struct client_repaired){ .orphans = ret },
				 ret_reply, e);
}

int client_repair_container(uint64_t generation, uint32_t flags, int timeout_ms,
			    struct client_accesses *ret, struct err *e)
{
	const struct wire_repair ask = {
		.head = client_head(WIRE_REPAIR, sizeof(ask), 0),
		.flags = flags,
		.generation = generation,
	};
	struct wire_reply reply;

	return client_ask_repair(&ask, timeout_ms, &(struct client_repaired){ .accesses = ret },
				 &reply, e);
}

int client_device_matches(const struct wire_device *d, const char *id)
{
	if (!*id || d->flags & WIRE_NO_CONTAINER || strncmp(d->container, id, strlen(id)) != 0)
		return 0;
	return d->container[strlen(id)] ? 1 : 2;
}
