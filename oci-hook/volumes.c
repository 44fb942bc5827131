/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/volumes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/wire/packet.h"
#include "oci-hook/quote.h"

#define VOLUMES_SEND_MS 5000
#define VOLUMES_MAX (1u << 20)

void volumes_fini(struct volumes *v)
{
	free(v->rows);
	v->rows = NULL;
	v->nr = 0;
}

int volumes_set_name(char field[STORE_NAME_SIZE], const char *name, struct err *e)
{
	char word[QUOTE_SIZE];

	if (!text_device_name_ok(name) || text_copy(field, STORE_NAME_SIZE, name) < 0)
		return err_set(e, EINVAL,
			       "\"%s\" is no name for a volume: 1 to %d characters of A-Z a-z 0-9 "
			       "_ . : -, the first and the last a letter or a digit",
			       quote_text(word, sizeof(word), name), TEXT_DEVICE_NAME_MAX);
	return 0;
}

static int volumes_unreachable(int code, const char *path, struct err *e)
{
	if (code == EACCES || code == EPERM)
		return err_set(e, code,
			       "you may not ask the store at %s: you are not in group ublk-oci "
			       "(usermod -aG ublk-oci USER, then log in again)",
			       path);
	if (code == ENOENT || code == ECONNREFUSED)
		return err_set(e, ECONNREFUSED, /* ENOENT is a volume that is not there */
			       "cannot reach the store at %s: is ublk-oci-store running? "
			       "(systemctl start ublk-oci-store.socket)",
			       path);
	return err_sys(e, code, "cannot reach the store at %s", path);
}

static int volumes_connect(int *ret_fd, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = VOLUMES_SEND_MS / 1000 };
	const char *path = secure_getenv(VOLUMES_SOCKET_VARIABLE);
	auto_close int fd = -1;

	if (!path || !*path)
		path = STORE_SOCKET;
	if (text_copy(addr.sun_path, sizeof(addr.sun_path), path) < 0)
		return err_set(e, ENAMETOOLONG,
			       "the path of the store's socket is too long: %.200s", path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return volumes_unreachable(errno, path, e);
	*ret_fd = fd_take(&fd);
	return 0;
}

static int volumes_bad_answer(struct err *e)
{
	return err_set(e, EPROTO,
		       "the store's answer is not understood; are ublk-oci and ublk-oci-store of "
		       "the same release?");
}

static int volumes_add(struct volumes *v, const struct store_volume *row, struct err *e)
{
	struct store_volume *rows = v->rows;

	if (!text_padded_ok(row->name, sizeof(row->name)) ||
	    !text_padded_ok(row->origin, sizeof(row->origin)) ||
	    !text_padded_ok(row->pool, sizeof(row->pool)) || v->nr >= VOLUMES_MAX)
		return volumes_bad_answer(e);
	if (!(v->nr & (v->nr - 1))) /* doubles whenever it is full */
		rows = reallocarray(v->rows, v->nr ? 2 * v->nr : 1, sizeof(*rows));
	if (!rows)
		return err_sys(e, ENOMEM, "cannot keep the list of volumes");
	v->rows = rows;
	v->rows[v->nr++] = *row;
	return 0;
}

static int volumes_found(struct volumes *v, const struct store_found *found, struct err *e)
{
	if (!text_padded_ok(found->type, sizeof(found->type)) ||
	    !text_padded_ok(found->label, sizeof(found->label)) ||
	    !text_padded_ok(found->uuid, sizeof(found->uuid)) ||
	    !text_padded_ok(found->words, sizeof(found->words)) ||
	    found->content > STORE_CONTENT_USED || found->verdict > STORE_DAMAGED)
		return volumes_bad_answer(e);
	v->found = *found;
	return 0;
}

static int volumes_verdict(const struct store_reply *reply, struct volumes *ret, struct err *e)
{
	if (!text_padded_ok(reply->reason, sizeof(reply->reason)) || reply->status > 0)
		return volumes_bad_answer(e);
	if (reply->status == 0) {
		memcpy(ret->warning, reply->reason, sizeof(ret->warning));
		return 0;
	}
	return *reply->reason ? err_set(e, -reply->status, "%s", reply->reason)
			      : err_sys(e, -reply->status, "the store refused");
}

/* One packet of the answer; *ret_ended with the last one. */
static int volumes_take(const struct volumes_call *call, const struct packet *p,
			struct volumes *ret, bool *ret_ended, struct err *e)
{
	const struct wire_head *head = (const void *)p->bytes;
	const struct store_progress *progress = (const void *)p->bytes;

	if (p->size < sizeof(*head) || head->magic != STORE_MAGIC || head->size != p->size ||
	    p->nr_fds)
		return volumes_bad_answer(e);
	if (head->type == STORE_REPLY && p->size == sizeof(struct store_reply)) {
		*ret_ended = true;
		return volumes_verdict((const void *)p->bytes, ret, e);
	}
	if (head->type == STORE_VOLUME && p->size == sizeof(struct store_volume))
		return volumes_add(ret, (const void *)p->bytes, e);
	if (head->type == STORE_FOUND && p->size == sizeof(struct store_found))
		return volumes_found(ret, (const void *)p->bytes, e);
	if (head->type == STORE_ROOM && p->size == sizeof(ret->room)) {
		memcpy(&ret->room, p->bytes, sizeof(ret->room));
		return text_padded_ok(ret->room.pool, sizeof(ret->room.pool))
			       ? 0
			       : volumes_bad_answer(e);
	}
	if (head->type != STORE_PROGRESS || p->size != sizeof(*progress))
		return volumes_bad_answer(e);
	if (call->progress)
		call->progress(call->arg, progress->done_bytes, progress->all_bytes);
	return 0;
}

static int volume_order(const void *a, const void *b)
{
	return strcmp(((const struct store_volume *)a)->name,
		      ((const struct store_volume *)b)->name);
}

static int volumes_answer(const struct volumes_call *call, int fd, struct volumes *ret,
			  struct err *e)
{
	bool ended = false;
	int r = 0;

	while (r == 0 && !ended) {
		auto_packet struct packet p = PACKET_INIT;

		r = packet_receive(fd, &p, call->timeout_ms);
		if (r == -ETIMEDOUT)
			return err_set(e, ETIMEDOUT, "the store did not answer in time");
		if (r == -ECONNRESET || r == -EPIPE)
			return err_set(e, ECONNRESET,
				       "the store closed the connection without an answer; its log "
				       "says why (journalctl -u ublk-oci-store)");
		if (r < 0)
			return err_sys(e, -r, "cannot read the store's answer");
		r = volumes_take(call, &p, ret, &ended, e);
	}
	if (r == 0 && ret->nr)
		qsort(ret->rows, ret->nr, sizeof(*ret->rows), volume_order);
	return r;
}

int volumes_call(const struct volumes_call *call, struct volumes *ret, struct err *e)
{
	struct store_ask ask = call->ask;
	auto_close int fd = -1;
	int r;

	ask.head = (struct wire_head){
		.magic = STORE_MAGIC,
		.version = STORE_VERSION,
		.type = (uint16_t)call->type,
		.size = sizeof(ask),
		.nr_fds = call->fd >= 0,
	};
	r = volumes_connect(&fd, e);
	if (r < 0)
		return r;
	/* A store that refuses before it reads closes its end; its answer is still to be read. */
	r = packet_send(fd, &ask, sizeof(ask), &call->fd, ask.head.nr_fds, VOLUMES_SEND_MS);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return err_sys(e, -r, "cannot send the request to the store");
	return volumes_answer(call, fd, ret, e);
}
