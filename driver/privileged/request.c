/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/request.h"

#include <errno.h>
#include <string.h>

#include "driver/base/log.h"
#include "driver/privileged/attach.h"
#include "driver/privileged/audit.h"
#include "driver/privileged/claim.h"
#include "driver/privileged/detach.h"
#include "driver/privileged/reload.h"
#include "driver/privileged/repair.h"
#include "driver/privileged/resize.h"
#include "driver/privileged/show.h"
#include "driver/privileged/upgrade.h"

#define REQUEST_SEND_MS 2000

/*
 * Everything an unprivileged process can make root do. Adding a line here is
 * widening the attack surface; docs/privilege.md says why for each.
 */
static const struct request requests[] = {
	{ WIRE_ATTACH, "attach", sizeof(struct wire_attach), WIRE_FDS_MAX, false, attach_serve },
	{ WIRE_CLAIM, "claim", sizeof(struct wire_claim), 1, false, claim_serve },
	{ WIRE_DETACH, "detach", sizeof(struct wire_detach), 0, false, detach_serve },
	{ WIRE_LIST, "list", sizeof(struct wire_list), 0, false, show_list },
	{ WIRE_INSPECT, "inspect", sizeof(struct wire_inspect), 0, false, show_inspect },
	{ WIRE_RELOAD, "reload", sizeof(struct wire_reload), 0, true, reload_serve },
	{ WIRE_STATS, "stats", sizeof(struct wire_stats), 0, false, show_stats },
	{ WIRE_REPAIR, "repair", sizeof(struct wire_repair), 0, true, repair_serve },
	{ WIRE_UPGRADE, "upgrade", sizeof(struct wire_upgrade), 0, true, upgrade_serve },
	{ WIRE_RESIZE, "resize", sizeof(struct wire_resize), 0, false, resize_serve },
	{ WIRE_SNAPSHOTS, "snapshots", sizeof(struct wire_snapshots), 0, false, show_snapshots },
};

const struct request *request_admit(const void *bytes, size_t size, unsigned int nr_fds,
				    int *ret_version_refused)
{
	struct wire_head head;

	*ret_version_refused = 0;
	if (size < sizeof(head))
		return NULL;
	memcpy(&head, bytes, sizeof(head));
	if (head.magic != WIRE_MAGIC || head.size != size || head.nr_fds != nr_fds)
		return NULL;
	if (head.version != WIRE_VERSION) {
		*ret_version_refused = 1;
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		if (requests[i].type == head.type)
			return size == requests[i].size && nr_fds <= requests[i].fds_max
				       ? &requests[i]
				       : NULL;
	}
	return NULL;
}

static int request_send(int peer_fd, int status, const struct record *rec, const char *reason,
			int timeout_ms)
{
	struct wire_reply reply = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_REPLY, sizeof(reply), 0 },
		.status = status,
	};

	if (status == 0 && rec) {
		reply.dev_id = rec->dev_id;
		reply.generation = rec->generation;
		reply.major = rec->major;
		reply.minor = rec->minor;
	}
	strncpy(reply.reason, reason, sizeof(reply.reason) - 1);
	return packet_send(peer_fd, &reply, sizeof(reply), NULL, 0, timeout_ms);
}

int request_reply(int peer_fd, int status, const struct record *rec, const char *reason)
{
	return request_send(peer_fd, status, rec, reason, REQUEST_SEND_MS);
}

int request_refuse_now(int peer_fd, int status, const char *reason)
{
	return request_send(peer_fd, status, NULL, reason, 0);
}

void request_done(const struct op *op, const struct record *rec)
{
	struct wire_timing timing;

	if (op->timed && op->timing) {
		timing = timing_report(op->timing);
		packet_send(op->peer_fd, &timing, sizeof(timing), NULL, 0, REQUEST_SEND_MS);
	}
	request_reply(op->peer_fd, 0, rec, "");
}

void request_refused(const struct op *op, const char *what, const struct record *rec,
		     const char *reason)
{
	audit_note(&(struct audit_event){
		.request = what,
		.peer = &op->peer,
		.rec = rec,
		.reason = reason,
	});
}

void request_run(struct op *op)
{
	auto_packet struct packet p = PACKET_INIT;
	const struct request *request;
	struct err e = { "" };
	int r, version_refused;

	r = packet_receive(op->peer_fd, &p, 0);
	if (r < 0)
		return; /* closed, or something no request looks like */
	request = request_admit(p.bytes, p.size, p.nr_fds, &version_refused);
	if (version_refused) {
		request_reply(op->peer_fd, -EPROTONOSUPPORT, NULL,
			      "the helper speaks another version: use its own ublk-oci");
		return;
	}
	if (!request) {
		request_refused(op, "unknown", NULL, "what came is not a request");
		return;
	}
	if (request->root_only && op->uid != 0) {
		r = err_set(&e, EPERM, "only root may ask for this");
		request_refused(op, request->name, NULL, e.text);
	} else {
		r = request->serve(op, &p, &e);
	}
	if (r < 0) {
		log_info("refused uid %u: %s", op->uid, e.text);
		request_reply(op->peer_fd, r, NULL, e.text);
	}
}
