/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/serve.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/wire/packet.h"
#include "oci-hook/store/remote.h"
#include "oci-hook/store/request.h"
#include "oci-hook/store/serve_verbs.h"

#define SERVE_REQUEST_MS 5000
#define SERVE_PROGRESS_MS 200

struct wire_head serve_head(enum store_type type, size_t size)
{
	return (struct wire_head){
		.magic = STORE_MAGIC,
		.version = STORE_VERSION,
		.type = (uint16_t)type,
		.size = (uint32_t)size,
	};
}

static void serve_reply(int fd, int status, const char *reason)
{
	struct store_reply reply = {
		.head = serve_head(STORE_REPLY, sizeof(reply)),
		.status = status,
	};

	if (reason)
		strncpy(reply.reason, reason, sizeof(reply.reason) - 1);
	packet_send(fd, &reply, sizeof(reply), NULL, 0, SERVE_ANSWER_MS);
}

int serve_step(void *arg, uint64_t done_bytes, uint64_t all_bytes)
{
	struct serve *s = arg;
	struct pollfd gone = { .fd = s->fd, .events = POLLRDHUP };
	int64_t now_ms = clock_now_ms();
	struct store_progress progress = {
		.head = serve_head(STORE_PROGRESS, sizeof(progress)),
		.done_bytes = done_bytes,
		.all_bytes = all_bytes,
	};

	if (!s->to_the_end && poll(&gone, 1, 0) > 0)
		return -ECANCELED;
	if (now_ms - s->told_ms < SERVE_PROGRESS_MS)
		return 0;
	s->told_ms = now_ms;
	packet_send(s->fd, &progress, sizeof(progress), NULL, 0, 0);
	return 0;
}

int serve_wait(void *arg, uint64_t done_bytes, uint64_t all_bytes)
{
	const struct serve *s = arg;
	struct pollfd gone = { .fd = s->fd, .events = POLLRDHUP };

	return !s->to_the_end && poll(&gone, 1, 0) > 0 ? -ECANCELED : 0;
}

int serve_found(const struct serve *s, struct store_found *found)
{
	found->head = serve_head(STORE_FOUND, sizeof(*found));
	return packet_send(s->fd, found, sizeof(*found), NULL, 0, SERVE_ANSWER_MS);
}

/* What was half made is neither data nor blank: it can be begun anew, or removed. */
static int serve_check_whole(const struct serve *s, const struct volume *v, struct err *e)
{
	static const bool may[STORE_END] = {
		[STORE_INSPECT] = true,
		[STORE_DELETE] = true,
		[STORE_DETACH] = true,
		[STORE_FORMAT] = true,
	};

	if (!v->formatting || may[s->ask.head.type])
		return 0;
	return err_set(e, EUCLEAN,
		       "volume %s was not formatted to the end: do that again (ublk-oci volume "
		       "format %s --fs %s), or delete it",
		       v->name, v->name, catalog_filesystem(v->formatting));
}

int serve_find(struct serve *s, const char *name, int lock, struct place *ret, struct err *e)
{
	bool hook = s->caller.hook &&
		    (s->ask.head.type == STORE_ATTACH || s->ask.head.type == STORE_DETACH);
	int r = pools_find(&s->pools, name, 0, ret, e);

	if (r < 0)
		return r;
	if (!hook && !caller_owns(&s->caller, &ret->volume))
		return err_set(e, ENOENT, "there is no volume %s", name);
	r = remote_check(&ret->volume, pools_at(&s->pools, ret->pool), s->ask.head.type, e);
	if (r < 0 || !lock)
		return r;
	place_close(ret);
	r = pools_find(&s->pools, name, lock, ret, e);
	/* It may be gone by now, and somebody else's have its name. */
	if (r == 0 && !hook && !caller_owns(&s->caller, &ret->volume))
		r = err_set(e, ENOENT, "there is no volume %s", name);
	return r < 0 ? r : serve_check_whole(s, &ret->volume, e);
}

int serve_decide(const struct serve *s, enum policy_act act, const struct place *place,
		 bool read_only, struct err *e)
{
	const struct caller_act what = {
		.request = request_name(s->ask.head.type),
		.act = act,
		.volume = place->volume.name,
		.pool = pools_at(&s->pools, place->pool)->name,
		.size_bytes = place->volume.size_bytes,
		.read_only = read_only,
		.nr_queues = s->ask.nr_queues,
		.depth = s->ask.depth,
	};

	return caller_decide(&s->caller, s->policy, &what, e);
}

static int (*const served[STORE_END])(struct serve *s, struct err *e) = {
	[STORE_LIST] = serve_list,     [STORE_INSPECT] = serve_inspect,
	[STORE_CREATE] = serve_create, [STORE_SNAPSHOT] = serve_create,
	[STORE_RESIZE] = serve_resize, [STORE_EXPORT] = serve_export,
	[STORE_DELETE] = serve_delete, [STORE_ATTACH] = serve_attach,
	[STORE_DETACH] = serve_detach, [STORE_FORMAT] = serve_format,
	[STORE_CHECK] = serve_check,   [STORE_CAPACITY] = serve_capacity,
};

static int serve_request(struct serve *s, const char *policy_file, struct err *e)
{
	auto_policy struct policy *policy = NULL;
	int r;

	r = caller_of_socket(&s->caller, s->fd, e);
	if (r == 0)
		r = policy_load(&policy, policy_file, 0, &policy_names_system, e);
	if (r == 0)
		r = pools_open(&s->pools, policy, e);
	if (r < 0)
		return r;
	s->policy = policy;
	r = served[s->ask.head.type](s, e);
	pools_close(&s->pools);
	return r;
}

void serve_run(int fd, const char *policy_file)
{
	auto_packet struct packet p = PACKET_INIT;
	struct serve s = { .fd = fd, .data_fd = -1 };
	struct err e = { "" };
	int r;

	if (packet_receive(fd, &p, SERVE_REQUEST_MS) < 0)
		return;
	r = request_admit(&p, &s.ask, &e);
	if (r == -EBADMSG)
		return;
	s.data_fd = p.fds[0];
	s.told_ms = clock_now_ms();
	if (r == 0)
		r = serve_request(&s, policy_file, &e);
	if (r < 0)
		log_info("%s: %s",
			 request_name(s.ask.head.type) ? request_name(s.ask.head.type) : "request",
			 *e.text ? e.text : strerror(-r));
	serve_reply(fd, r, r < 0 ? e.text : s.warning.text);
}

void serve_refuse_busy(int fd)
{
	serve_reply(fd, -EAGAIN, "too many requests are under way; try again");
}
