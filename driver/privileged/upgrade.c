/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/upgrade.h"

#include <errno.h>
#include <string.h>

#include "driver/privileged/audit.h"

#define UPGRADE_SEND_MS 2000

static void upgrade_audit(const struct op *op, const struct record *rec)
{
	audit_note(&(struct audit_event){
		.request = "upgrade",
		.peer = &op->peer,
		.rec = rec,
		.allowed = true,
		.reason = "",
	});
}

void upgrade_answer(const struct op *op, const struct record *rec,
		    const struct recover_upgraded *done)
{
	const struct wire_upgraded answer = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_UPGRADED, sizeof(answer), 0 },
		.generation = rec->generation,
		.dev_id = rec->dev_id,
		.old_pid = done->old_pid,
		.new_pid = done->new_pid,
		.pause_us = done->pause_us,
		.size_bytes = done->size_bytes,
	};

	packet_send(op->peer_fd, &answer, sizeof(answer), NULL, 0, UPGRADE_SEND_MS);
}

int upgrade_serve(struct op *op, struct packet *p, struct err *e)
{
	struct recover_upgraded upgraded;
	const struct device *d;
	struct wire_upgrade ask;
	int r;

	memcpy(&ask, p->bytes, sizeof(ask));
	d = registry_find(op->registry, ask.generation);
	if (!d || d->rec.flags & WIRE_CLAIMED)
		return err_set(e, ENOENT, "there is no such device");
	r = op_shorten(op, ask.timeout_ms, e);
	if (r < 0)
		return r;
	upgrade_audit(op, &d->rec);
	r = recover_upgrade(op, ask.generation, NULL, NULL, &upgraded, e);
	if (r < 0)
		return r;
	upgrade_answer(op, &d->rec, &upgraded);
	return 0;
}
