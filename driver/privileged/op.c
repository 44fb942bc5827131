/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/op.h"

#include <errno.h>
#include <string.h>

#include "driver/base/clock.h"
#include "driver/privileged/cdi.h"
#include "driver/privileged/claims.h"
#include "driver/privileged/reload.h"
#include "driver/wire/packet.h"

/* The main process answers at once; this only guards against its death. */
#define OP_ANSWER_MS 10000
#define OP_RETRY_MS 10

enum op_question_type {
	OP_NONE,
	OP_RESERVE,
	OP_UPDATE,
	OP_TAKE,
	OP_DROP,
	OP_SHORTEN,
	OP_RELOAD,
	OP_OWNED,
	OP_CLAIM,
	OP_FIND_CLAIM,
	OP_LIST_AGAIN,
	OP_GROW,
	OP_SAW,
	OP_MEET,
};

/* Both ends are one program and one memory image, so this is no wire format. */
struct op_question {
	enum op_question_type type;
	int64_t deadline_ms;	   /* OP_SHORTEN only */
	uint64_t policy_serial;	   /* OP_RELOAD only, which comes with an fd */
	struct orphan_key key;	   /* OP_OWNED only */
	struct device_access seen; /* OP_SAW only */
	struct record rec;	   /* OP_TAKE, OP_DROP, OP_SAW: its generation only */
};

struct op_reply {
	int status;
	uint64_t policy_serial;
	struct record rec;
	struct err why;
};
static_assert(sizeof(struct op_reply) <= PACKET_SIZE_MAX, "one packet");

int op_left_ms(const struct op *op, int at_most_ms)
{
	int left = clock_left_ms(op->deadline_ms);

	return left < 0 || left > at_most_ms ? at_most_ms : left;
}

/* fd: -1 for none. */
static int op_exchange(const struct op *op, const struct op_question *question, int fd,
		       struct op_reply *ret, struct err *e)
{
	auto_packet struct packet p = PACKET_INIT;
	int r;

	r = packet_send(op->ledger_fd, question, sizeof(*question), &fd, fd >= 0, OP_ANSWER_MS);
	if (r == 0)
		r = packet_receive(op->ledger_fd, &p, OP_ANSWER_MS);
	if (r < 0 || p.size != sizeof(*ret))
		return err_sys(e, r < 0 ? -r : EPROTO, "the helper's main process does not answer");
	memcpy(ret, p.bytes, sizeof(*ret));
	if (e)
		*e = ret->why;
	return ret->status;
}

static int op_ask(const struct op *op, const struct op_question *question, struct record *ret,
		  struct err *e)
{
	struct op_reply reply = { 0 };
	int r = op_exchange(op, question, -1, &reply, e);

	if (ret && (r == 0 || r == -EALREADY))
		*ret = reply.rec;
	return r;
}

/* Asks until nobody else is at work on it, or the deadline. */
static int op_ask_patiently(const struct op *op, const struct op_question *question,
			    struct record *ret, struct err *e)
{
	int r;

	while ((r = op_ask(op, question, ret, e)) == -EAGAIN && op_left_ms(op, OP_RETRY_MS) > 0)
		clock_sleep_ms(OP_RETRY_MS);
	return r == -EAGAIN ? -EBUSY : r;
}

int op_reserve(const struct op *op, struct record *rec, struct err *e)
{
	struct op_question question = { .type = OP_RESERVE, .rec = *rec };

	return op_ask_patiently(op, &question, rec, e);
}

int op_meet(const struct op *op, struct record *rec, struct err *e)
{
	struct op_question question = { .type = OP_MEET, .rec = *rec };

	return op_ask_patiently(op, &question, rec, e);
}

int op_claim(const struct op *op, struct record *rec, struct err *e)
{
	struct op_question question = { .type = OP_CLAIM, .rec = *rec };

	return op_ask_patiently(op, &question, rec, e);
}

int op_grow(const struct op *op, struct record *rec, struct err *e)
{
	struct op_question question = { .type = OP_GROW, .rec = *rec };

	return op_ask(op, &question, rec, e);
}

int op_find_claim(const struct op *op, const struct record *device, struct record *ret,
		  struct err *e)
{
	struct op_question question = { .type = OP_FIND_CLAIM, .rec = *device };

	return op_ask(op, &question, ret, e);
}

int op_list_again(const struct op *op, struct err *e)
{
	struct op_question question = { .type = OP_LIST_AGAIN };

	return op_ask(op, &question, NULL, e);
}

int op_update(const struct op *op, const struct record *rec, struct err *e)
{
	struct op_question question = { .type = OP_UPDATE, .rec = *rec };

	return op_ask(op, &question, NULL, e);
}

int op_take(const struct op *op, uint64_t generation, struct record *ret, struct err *e)
{
	struct op_question question = { .type = OP_TAKE, .rec.generation = generation };

	return op_ask_patiently(op, &question, ret, e);
}

int op_drop(const struct op *op, uint64_t generation, struct err *e)
{
	struct op_question question = { .type = OP_DROP, .rec.generation = generation };

	return op_ask(op, &question, NULL, e);
}

int op_saw(const struct op *op, uint64_t generation, const struct device_access *seen,
	   struct err *e)
{
	struct op_question question = {
		.type = OP_SAW,
		.seen = *seen,
		.rec.generation = generation,
	};

	return op_ask(op, &question, NULL, e);
}

int op_owned(const struct op *op, const struct orphan_key *key, struct err *e)
{
	struct op_question question = { .type = OP_OWNED, .key = *key };

	return op_ask(op, &question, NULL, e);
}

void op_begin_undo(const struct op *op, struct record *rec)
{
	rec->state = WIRE_STATE_DETACHING;
	op_update(op, rec, NULL);
}

int op_shorten(struct op *op, uint32_t timeout_ms, struct err *e)
{
	struct op_question question = { .type = OP_SHORTEN };

	if (!timeout_ms || timeout_ms >= OP_TIMEOUT_MS)
		return 0;
	op->deadline_ms = clock_deadline_ms((int)timeout_ms);
	question.deadline_ms = op->deadline_ms;
	return op_ask(op, &question, NULL, e);
}

int op_reload(const struct op *op, int text_fd, uint64_t *serial, struct err *e)
{
	struct op_question question = { .type = OP_RELOAD, .policy_serial = *serial };
	struct op_reply reply = { 0 };
	int r = op_exchange(op, &question, text_fd, &reply, e);

	if (r == -EAGAIN)
		*serial = reply.policy_serial;
	return r;
}

/* The main process's part of a reload. */
static int op_answer_reload(const struct registry *reg, const struct op_question *question,
			    const struct packet *p, struct policy **ret, struct err *e)
{
	if (p->nr_fds != 1)
		return err_set(e, EPROTO, "the policy's text is missing");
	if (question->policy_serial != reg->policy_serial)
		return err_set(e, EAGAIN, "the policy was reloaded meanwhile");
	return reload_take(p->fds[0], ret, e);
}

static int op_answer_find_claim(const struct registry *reg, struct record *rec, struct err *e)
{
	const struct device *d = claims_find(reg, rec);

	if (!d)
		return err_set(e, ENOENT, "no container has it");
	*rec = d->rec;
	return 0;
}

int op_answer(int ledger_fd, struct registry *reg, const struct registry_peer *peer,
	      struct op_change *ret)
{
	auto_packet struct packet p = PACKET_INIT;
	struct op_question question;
	struct op_reply reply = { 0 };
	int r;

	r = packet_receive(ledger_fd, &p, 0);
	if (r < 0)
		return r;
	if (p.size != sizeof(question))
		return -EPROTO;
	memcpy(&question, p.bytes, sizeof(question));
	reply.rec = question.rec;
	switch (question.type) {
	case OP_RESERVE:
		reply.status = registry_reserve(reg, peer, &reply.rec, &reply.why);
		break;
	case OP_UPDATE:
		reply.status = registry_update(reg, &question.rec, &reply.why);
		break;
	case OP_TAKE:
		reply.status = registry_take(reg, question.rec.generation, peer->op_pid, &reply.rec,
					     &reply.why);
		break;
	case OP_DROP:
		reply.status = registry_drop(reg, question.rec.generation, &reply.why);
		break;
	case OP_SHORTEN:
		ret->deadline_ms = question.deadline_ms;
		break;
	case OP_RELOAD:
		reply.policy_serial = reg->policy_serial;
		reply.status = op_answer_reload(reg, &question, &p, &ret->policy, &reply.why);
		break;
	case OP_OWNED:
		reply.status = orphan_owned(reg, &question.key);
		break;
	case OP_CLAIM:
		reply.status = claims_begin(reg, peer, &reply.rec, &reply.why);
		break;
	case OP_FIND_CLAIM:
		reply.status = op_answer_find_claim(reg, &reply.rec, &reply.why);
		break;
	case OP_LIST_AGAIN:
		reg->cdi_stale = true;
		break;
	case OP_GROW:
		reply.status = registry_grow(reg, peer, &reply.rec, &reply.why);
		break;
	case OP_SAW:
		reply.status =
			registry_saw(reg, question.rec.generation, &question.seen, &reply.why);
		break;
	case OP_MEET:
		reply.status = registry_check_place(reg, &reply.rec, &reply.why);
		break;
	case OP_NONE:
		return -EPROTO;
	}
	cdi_refresh(reg); /* before who asked can say that it is done */
	/* Of what is to grow nothing has changed yet. */
	ret->generation = reply.status == 0 && question.type != OP_GROW ? reply.rec.generation : 0;
	/* Who asked may be dead by now; what was decided stands. */
	packet_send(ledger_fd, &reply, sizeof(reply), NULL, 0, 0);
	return 0;
}
