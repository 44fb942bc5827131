/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/caller.h"

#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>

#include "driver/base/log.h"
#include "oci-hook/auto_json.h"
#include "targets/catalog.h"

static_assert(sizeof(gid_t) == sizeof(uint32_t), "groups are copied as they are");

int caller_of_socket(struct caller *ret, int fd, struct err *e)
{
	struct passwd *hook = getpwnam(CALLER_HOOK_USER);
	struct ucred who;
	socklen_t size = sizeof(who), groups = sizeof(gid_t) * CALLER_GROUPS_MAX;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
		return err_sys(e, errno, "cannot tell who asks");
	/* More groups than fit (ERANGE) are an error: a rule may be about one that was cut off. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, ret->gids + 1, &groups) < 0)
		return err_sys(e, errno, "cannot tell which groups you are in");
	ret->uid = who.uid;
	ret->gids[0] = who.gid;
	ret->nr_gids = 1 + groups / sizeof(gid_t);
	ret->hook = hook && hook->pw_uid && hook->pw_uid == who.uid;
	return 0;
}

bool caller_owns(const struct caller *c, const struct volume *v)
{
	return c->uid == 0 || c->uid == v->owner_uid;
}

static void caller_audit(const struct caller *c, const struct caller_act *act,
			 const struct policy_verdict *v)
{
	auto_json struct json_object *o = json_object_new_object();
	const char *text;

	json_object_object_add(o, "request", json_object_new_string(act->request));
	json_object_object_add(o, "verdict",
			       json_object_new_string(v->allowed ? "allowed" : "refused"));
	json_object_object_add(o, "rule", json_object_new_string(v->rule));
	json_object_object_add(o, "reason", json_object_new_string(v->reason));
	json_object_object_add(o, "uid", json_object_new_int64(c->uid));
	json_object_object_add(o, "volume", json_object_new_string(act->volume));
	json_object_object_add(o, "pool", json_object_new_string(act->pool));
	json_object_object_add(o, "size_bytes", json_object_new_int64((int64_t)act->size_bytes));
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	log_text(LOG_LEVEL_INFO, text, strlen(text));
}

static bool caller_allowed(const struct caller *c, const struct policy *policy,
			   const struct caller_act *act, struct policy_verdict *ret)
{
	/* Containers come later, when one claims the device: see policy_decide_use(). */
	const struct policy_claim claim = {
		.act = act->act,
		.uid = c->uid,
		.gids = c->gids,
		.nr_gids = c->nr_gids,
		.ahead = true,
		.target = TARGET_FILE,
		.read_only = act->read_only,
		.size_bytes = act->size_bytes,
		.pool = act->pool,
		.nr_queues = act->nr_queues ? act->nr_queues : 1,
		.depth = act->depth ? act->depth : 1,
		.devices_in_all = act->volumes,
		.bytes_in_all = act->bytes,
	};

	policy_decide(policy, &claim, ret);
	return ret->allowed;
}

int caller_decide(const struct caller *c, const struct policy *policy, const struct caller_act *act,
		  struct err *e)
{
	struct policy_verdict v;

	caller_allowed(c, policy, act, &v);
	caller_audit(c, act, &v);
	return v.allowed ? 0 : err_set(e, EPERM, "the policy refuses it: %s", v.reason);
}

/* A rule that allows a size allows smaller ones. */
uint64_t caller_largest(const struct caller *c, const struct policy *policy,
			const struct caller_act *act)
{
	uint64_t good = 0, bad = VOLUME_BYTES_MAX / VOLUME_BLOCK_BYTES + 1; /* in blocks */
	struct caller_act trial = *act;
	struct policy_verdict v;

	while (bad - good > 1) {
		uint64_t middle = good + (bad - good) / 2;

		trial.size_bytes = middle * VOLUME_BLOCK_BYTES;
		if (caller_allowed(c, policy, &trial, &v))
			good = middle;
		else
			bad = middle;
	}
	return good * VOLUME_BLOCK_BYTES;
}
