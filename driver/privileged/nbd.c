/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/nbd.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "driver/privileged/keep.h"
#include "driver/wire/packet.h"

#define NBD_END_MS 3000
#define NBD_LET_GO_MS 100
#define NBD_GRACE_MS 7000 /* of the connector, behind its deadline */
#define NBD_BLOCK_MAX 4096u
#define NBD_SECTOR 512u

void nbd_server_fini(struct nbd_server *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->fds); i++)
		close_fdp(&s->fds[i]);
}

/* --- one question ------------------------------------------------------------------------------
 */

static int nbd_ask(const void *question, size_t size, const int *fds, unsigned int nr_fds,
		   struct packet *answer, int timeout_ms, struct err *e)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = CONNECT_SOCKET };
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(e, ENOTCONN,
			       "there is no connector to NBD servers at " CONNECT_SOCKET
			       " (ublk-oci-nbd.socket, of ublk-oci-nbd(8)): %s",
			       strerror(errno));
	r = packet_send(fd, question, size, fds, nr_fds, timeout_ms);
	if (r == 0)
		r = packet_receive(fd, answer, timeout_ms + NBD_GRACE_MS);
	return r < 0 ? err_sys(e, -r, "no word from the connector to NBD servers") : 0;
}

/* What the connector says, of which the words come from the server. */
static int nbd_admit(struct connect_made *ret, const struct packet *p, enum connect_type type,
		     struct err *e)
{
	if (p->size != sizeof(*ret))
		return err_set(e, EPROTO, "a strange word from the connector");
	memcpy(ret, p->bytes, sizeof(*ret));
	if (ret->head.magic != CONNECT_MAGIC || ret->head.version != CONNECT_VERSION ||
	    ret->head.type != type || ret->head.size != sizeof(*ret) ||
	    ret->head.nr_fds != p->nr_fds || ret->status > 0 || ret->status < -4095 ||
	    (ret->status < 0 && p->nr_fds))
		return err_set(e, EPROTO, "a strange word from the connector");
	ret->reason[sizeof(ret->reason) - 1] = '\0';
	for (char *c = ret->reason; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	return 0;
}

static bool nbd_socket_ok(int fd)
{
	int type = 0, domain = 0, listens = 1;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 &&
	       type == SOCK_STREAM && !listens &&
	       (domain == AF_UNIX || domain == AF_INET || domain == AF_INET6);
}

static bool nbd_block_ok(uint32_t n)
{
	return !n || num_power_of_two(n);
}

static bool nbd_made_ok(const struct connect_made *m, const struct packet *p)
{
	if (!p->nr_fds || p->nr_fds > WIRE_CONNECTIONS_MAX ||
	    (p->nr_fds > 1 && !(m->flags & START_NBD_MULTI)) ||
	    m->flags & ~(uint32_t)START_NBD_FLAGS_ALL || m->bytes > INT64_MAX ||
	    !nbd_block_ok(m->min_block_bytes) || !nbd_block_ok(m->preferred_block_bytes))
		return false;
	for (unsigned int i = 0; i < p->nr_fds; i++) {
		if (!nbd_socket_ok(p->fds[i]))
			return false;
	}
	return true;
}

int nbd_connect(struct nbd_server *ret, const struct nbd_place *place, int timeout_ms,
		struct err *e)
{
	auto_packet struct packet answer = PACKET_INIT;
	struct connect_make m = {
		.head = { CONNECT_MAGIC, CONNECT_VERSION, CONNECT_MAKE, sizeof(m),
			  place->nr_given },
		.nr_connections = place->nr_connections,
		.timeout_ms = (uint32_t)timeout_ms,
	};
	struct connect_made made;
	int r;

	if (text_copy(m.address, sizeof(m.address), place->nr_given ? "" : place->address) < 0 ||
	    text_copy(m.export_name, sizeof(m.export_name), place->export_name) < 0)
		return err_set(e, ENAMETOOLONG, "the server's address is too long");
	r = nbd_ask(&m, sizeof(m), place->given, place->nr_given, &answer, timeout_ms, e);
	if (r == 0)
		r = nbd_admit(&made, &answer, CONNECT_MADE, e);
	if (r < 0)
		return r;
	if (made.status < 0)
		return err_set(e, EREMOTEIO, "NBD server %s: %s", place->address, made.reason);
	if (!nbd_made_ok(&made, &answer))
		return err_set(e, EPROTO, "NBD server %s is not like one", place->address);
	*ret = (struct nbd_server){
		.fds = { -1, -1, -1, -1 },
		.nr = answer.nr_fds,
		.flags = made.flags,
		.bytes = made.bytes,
		.min_block_bytes = made.min_block_bytes,
		.preferred_block_bytes = made.preferred_block_bytes,
		.max_block_bytes = made.max_block_bytes,
	};
	for (unsigned int i = 0; i < ret->nr; i++)
		ret->fds[i] = fd_take(&answer.fds[i]);
	return 0;
}

int nbd_end(const int *fds, unsigned int nr, int timeout_ms, struct err *e)
{
	auto_packet struct packet answer = PACKET_INIT;
	const struct connect_end m = {
		.head = { CONNECT_MAGIC, CONNECT_VERSION, CONNECT_END, sizeof(m), nr },
		.timeout_ms = (uint32_t)timeout_ms,
	};
	struct connect_made ended;
	int r;

	r = nbd_ask(&m, sizeof(m), fds, nr, &answer, timeout_ms, e);
	if (r == 0)
		r = nbd_admit(&ended, &answer, CONNECT_ENDED, e);
	if (r == 0 && ended.status < 0)
		r = err_set(e, EBUSY, "%s", ended.reason);
	return r;
}

/* --- a device's ----------------------------------------------------------------------------------
 */

static uint32_t nbd_most_bytes(uint32_t max, uint32_t most)
{
	max -= max % NBD_BLOCK_MAX;
	return max && max < most ? max : most;
}

int nbd_note(struct record *rec, const struct nbd_server *s, struct err *e)
{
	uint32_t block = s->min_block_bytes > NBD_SECTOR ? s->min_block_bytes : NBD_SECTOR;

	if (s->flags & START_NBD_READ_ONLY && !(rec->flags & WIRE_READ_ONLY))
		return err_set(e, EROFS, "the server's export is read-only: attach it so");
	if (block > NBD_BLOCK_MAX || (s->max_block_bytes && s->max_block_bytes < NBD_BLOCK_MAX))
		return err_set(e, EINVAL, "the server takes blocks of %u to %u bytes only", block,
			       s->max_block_bytes);
	rec->nbd.flags = s->flags;
	rec->nbd.nr_connections = s->nr;
	rec->logical_block_bytes = block;
	rec->physical_block_bytes =
		s->preferred_block_bytes >= block && s->preferred_block_bytes <= START_IO_BYTES_MAX
			? s->preferred_block_bytes
			: NBD_BLOCK_MAX;
	if (rec->physical_block_bytes > NBD_BLOCK_MAX)
		rec->physical_block_bytes = NBD_BLOCK_MAX;
	rec->piece_bytes = nbd_most_bytes(s->max_block_bytes, START_IO_BYTES_MAX);
	if (!rec->size_bytes)
		rec->size_bytes = s->bytes - s->bytes % block;
	if (!rec->size_bytes || rec->size_bytes > s->bytes || rec->size_bytes % block)
		return err_set(e, EINVAL,
			       "the server's export has %" PRIu64 " bytes in blocks of %u",
			       s->bytes, block);
	return 0;
}

int nbd_note_sockets(struct record *rec, const int *fds, unsigned int nr, struct err *e)
{
	struct stat st;

	memset(rec->nbd.kept_inodes, 0, sizeof(rec->nbd.kept_inodes));
	for (unsigned int i = 0; i < nr; i++) {
		if (fstat(fds[i], &st) < 0)
			return err_sys(e, errno, "cannot look at a socket");
		rec->kept_dev = st.st_dev;
		rec->nbd.kept_inodes[i] = st.st_ino;
	}
	rec->kept_inode = rec->nbd.kept_inodes[0];
	return 0;
}

/* The sockets a worker had, if the keeper has them, and they are those. */
static int nbd_find_old(const struct record *rec, int fds[WIRE_CONNECTIONS_MAX], struct err *e)
{
	struct stat st;
	int r;

	if (!rec->kept_dev)
		return err_set(e, ENOENT, "there was no keeper when it was attached");
	r = keep_get_files(rec->generation, fds, rec->nbd.nr_connections, e);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < rec->nbd.nr_connections; i++) {
		if (fstat(fds[i], &st) < 0 || st.st_dev != rec->kept_dev ||
		    st.st_ino != rec->nbd.kept_inodes[i])
			return err_set(e, ENOENT,
				       "the keeper gave another socket than the one on record");
	}
	return 0;
}

/* Nothing can come of the old ones that would do harm. */
static bool nbd_is_harmless(const struct record *rec)
{
	return rec->flags & WIRE_READ_ONLY || rec->nbd.state == RECORD_NBD_FRESH;
}

int nbd_may_leave(const struct record *rec, struct err *e)
{
	auto_nbd_server struct nbd_server old = NBD_SERVER_INIT;

	return nbd_is_harmless(rec) || rec->grants & RECORD_REISSUE ? 0
								    : nbd_find_old(rec, old.fds, e);
}

/*
 * A server may still be at a write of the old worker's. Were it asked that again by a new
 * connection, and then to write something else there, the first could come last.
 */
static int nbd_close_old(const struct record *rec, struct err *e)
{
	bool harmless = nbd_is_harmless(rec);
	struct nbd_server old = NBD_SERVER_INIT;
	struct err why;
	int r;

	r = nbd_find_old(rec, old.fds, &why);
	if (r == 0)
		r = nbd_end(old.fds, rec->nbd.nr_connections, harmless ? NBD_LET_GO_MS : NBD_END_MS,
			    &why);
	nbd_server_fini(&old);
	/* Nobody waits for those; but a server that has no room for others must see them end. */
	if (harmless)
		return 0;
	if (r == 0 || rec->grants & RECORD_REISSUE) {
		if (r < 0)
			log_warning("ublkb%u: %s; its rule has \"nbd_reissue\", so it goes on",
				    rec->dev_id, why.text);
		return 0;
	}
	return err_set(e, -r, "%s", why.text);
}

int nbd_check_same(const struct record *rec, const struct nbd_server *s, struct err *e)
{
	struct record now = *rec;
	int r;

	r = nbd_note(&now, s, e);
	if (r < 0)
		return r;
	if (now.logical_block_bytes > rec->logical_block_bytes ||
	    now.piece_bytes < rec->max_io_bytes ||
	    rec->nbd.flags & ~now.nbd.flags & (START_NBD_FLUSH | START_NBD_FUA))
		return err_set(e, EINVAL, "NBD server %s is not what it was", rec->backing);
	return 0;
}

int nbd_reconnect(struct nbd_server *ret, const struct record *rec, int timeout_ms, struct err *e)
{
	const struct nbd_place place = {
		.address = rec->backing,
		.export_name = rec->nbd.export_name,
		.nr_connections = rec->nbd.asked_connections,
	};
	int r;

	r = nbd_close_old(rec, e);
	if (r == 0)
		r = nbd_connect(ret, &place, timeout_ms, e);
	return r < 0 ? r : nbd_check_same(rec, ret, e);
}
