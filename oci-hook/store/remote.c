/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/remote.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/wire/packet.h"
#include "driver/wire/store.h"

#define REMOTE_SEND_MS 5000
#define REMOTE_GRACE_MS 10000 /* behind the time that a program has */

static_assert(POOL_NAME_SIZE == VOLUME_NAME_SIZE, "one is copied to the other");
static_assert(POOL_ID_SIZE == VOLUME_IMAGE_SIZE, "one is copied to the other");

int remote_begin(struct volume *v, const struct policy_pool *pool, struct err *e)
{
	uint64_t number;

	if (!pool->backend)
		return 0;
	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return err_sys(e, errno, "cannot make a name");
	snprintf(v->image, sizeof(v->image), "%016" PRIx64, number);
	return text_copy(v->backend, sizeof(v->backend), pool->backend) < 0
		       ? err_set(e, ENAMETOOLONG, "the name of the back end is too long")
		       : 0;
}

int remote_check(const struct volume *v, const struct policy_pool *pool, unsigned int type,
		 struct err *e)
{
	static const bool may[STORE_END] = {
		[STORE_INSPECT] = true, [STORE_CREATE] = true, [STORE_RESIZE] = true,
		[STORE_DELETE] = true,	[STORE_ATTACH] = true, [STORE_DETACH] = true,
	};
	const char *backend = pool->backend ? pool->backend : "";

	if (strcmp(v->backend, backend))
		return err_set(e, EINVAL,
			       "volume %s is of back end \"%s\", and the policy has \"%s\" for "
			       "pool %s",
			       v->name, v->backend, backend, pool->name);
	if (!remote_is(v) || may[type])
		return 0;
	return err_set(e, EOPNOTSUPP,
		       "the data of volume %s is at back end %s, where the store does not look: "
		       "attach it, or use the back end's own tools",
		       v->name, v->backend);
}

static int remote_connect(const struct volume *v, int *ret_fd, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = REMOTE_SEND_MS / 1000 };
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), POOL_DIR "/%s.sock", v->backend);
	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	/* One that accepts nobody is not waited for when its queue is full. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	/* Not ENOENT: that is a volume that is not there. */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(e, EHOSTDOWN,
			       "back end %s cannot be asked: %s: %s (ublk-oci-pool@%s.socket, of "
			       "ublk-oci-pool(8))",
			       v->backend, address.sun_path, strerror(errno), v->backend);
	*ret_fd = fd_take(&fd);
	return 0;
}

static int remote_admit(const struct packet *p, const char *backend, struct err *e)
{
	struct pool_reply reply;

	memcpy(&reply, p->bytes, sizeof(reply));
	if (p->size != sizeof(reply) || reply.head.magic != POOL_MAGIC ||
	    reply.head.version != POOL_VERSION || reply.head.type != POOL_REPLY || p->nr_fds ||
	    reply.status > 0 || !text_padded_ok(reply.reason, sizeof(reply.reason)))
		return err_set(e, EPROTO, "a strange word of back end %s", backend);
	return reply.status ? err_set(e, EIO, "back end %s: %s", backend, reply.reason) : 0;
}

int remote_ask(const struct volume *v, enum pool_verb verb, uint64_t size_bytes, struct err *e)
{
	auto_packet struct packet answer = PACKET_INIT;
	struct pool_ask ask = {
		.head = { POOL_MAGIC, POOL_VERSION, (uint16_t)verb, sizeof(ask), 0 },
		.size_bytes = size_bytes,
	};
	auto_close int fd = -1;
	int r;

	memcpy(ask.name, v->name, sizeof(ask.name));
	memcpy(ask.id, v->image, sizeof(ask.id));
	r = remote_connect(v, &fd, e);
	if (r < 0)
		return r;
	r = packet_send(fd, &ask, sizeof(ask), NULL, 0, REMOTE_SEND_MS);
	if (r == 0)
		r = packet_receive(fd, &answer, POOL_WORK_MS + REMOTE_GRACE_MS);
	if (r < 0)
		return err_set(e, EIO, "no word of back end %s: %s", v->backend, strerror(-r));
	return remote_admit(&answer, v->backend, e);
}

void remote_address(const struct volume *v, char address[WIRE_ADDRESS_SIZE])
{
	snprintf(address, WIRE_ADDRESS_SIZE, "unix:" POOL_DIR "/%s/%s", v->backend, v->image);
}
