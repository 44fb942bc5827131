/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/check.h"

#include <stdio.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "policy/address.h"
#include "policy/pattern.h"
#include "policy/policy_shown.h"
#include "targets/catalog.h"
#include "targets/image_format.h"

static const char *check_target_facts(const struct policy_claim *claim)
{
	const struct catalog_target *target = catalog_target(claim->target);

	if (!target)
		return "the target is unknown";
	if (target->nr_fds && !claim->backing && !claim->pool)
		return "the path of the backing file is unknown";
	if (!target->nr_fds && claim->backing)
		return "this target has no backing file";
	if (target->based && !claim->base)
		return "the path of the base is unknown";
	if (!target->based && !target->image && claim->base)
		return "this target has no base";
	if (target->image && !image_format_name(claim->format))
		return "the format is unknown";
	if (!target->image && (claim->format || claim->base_format))
		return "this target has no format";
	if (target->image && !claim->base != !image_format_name(claim->base_format))
		return "an image's base and its format go together";
	if (target->by_address && !claim->address)
		return "the address is unknown";
	if (!target->by_address && claim->address)
		return "this target has no address";
	return NULL;
}

const char *check_claim(const struct policy_claim *claim)
{
	bool mounts = claim->act == POLICY_MOUNT;

	if (!rule_act_name(claim->act))
		return "what is to be done is unknown";
	if (mounts && !claim->mount_path)
		return "the place to mount it is unknown";
	if (mounts && !claim->mount_filesystem)
		return "the filesystem to mount is unknown";
	if (!mounts && (claim->mount_filesystem || (claim->mount_path && !claim->host)))
		return "this mounts nothing";
	if (!claim->size_bytes)
		return "the size is unknown";
	if (!claim->nr_queues)
		return "the number of queues is unknown";
	if (!claim->depth)
		return "the depth is unknown";
	return check_target_facts(claim);
}

/*
 * Each check says whether the rule allows one thing the claim asks for, and if
 * not, writes what the rule lacks.
 */
#define CHECK(what)                                                                                \
	static bool check_##what(const struct rule *rule, const struct policy_claim *claim,        \
				 char *why)

CHECK(user)
{
	if (!rule->principal.has_uid || claim->uid == rule->principal.uid)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "it is for uid %u, not for uid %u", rule->principal.uid,
		 claim->uid);
	return false;
}

CHECK(group)
{
	if (!rule->principal.has_gid)
		return true;
	for (size_t i = 0; i < claim->nr_gids; i++) {
		if (claim->gids[i] == rule->principal.gid)
			return true;
	}
	snprintf(why, CHECK_WHY_SIZE, "it is for group %u, which uid %u is not in",
		 rule->principal.gid, claim->uid);
	return false;
}

CHECK(who)
{
	return check_user(rule, claim, why) && check_group(rule, claim, why);
}

CHECK(host)
{
	if (claim->host == rule->host)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "it is for devices of %s",
		 rule->host ? "the host, not of containers" : "containers, not of the host");
	return false;
}

CHECK(cgroup)
{
	char shown[POLICY_SHOWN_SIZE], pattern[POLICY_SHOWN_SIZE];

	if (!rule->principal.cgroup || claim->ahead)
		return true;
	if (claim->cgroup && pattern_cgroup_fits(rule->principal.cgroup, claim->cgroup))
		return true;
	snprintf(why, CHECK_WHY_SIZE, "it is for cgroup %s, and the container's is %s",
		 policy_shown(rule->principal.cgroup, pattern),
		 claim->cgroup ? policy_shown(claim->cgroup, shown) : "unknown");
	return false;
}

CHECK(owner)
{
	if (!rule->principal.has_owner || claim->ahead ||
	    claim->owner_uid == rule->principal.owner_uid)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "it is for containers of uid %u, and this is one of uid %u",
		 rule->principal.owner_uid, claim->owner_uid);
	return false;
}

CHECK(act)
{
	if (rule->acts & 1u << claim->act)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "%s is not in what it may", rule_act_name(claim->act));
	return false;
}

CHECK(target)
{
	if (rule->targets & 1u << claim->target)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "target %s is not in its list",
		 catalog_target(claim->target)->name);
	return false;
}

static bool check_list(const struct texts *list, const char *text,
		       bool (*fits)(const char *pattern, const char *text), const char *what,
		       char *why)
{
	char shown[POLICY_SHOWN_SIZE];

	if (!text || texts_fit(list, text, fits))
		return true;
	snprintf(why, CHECK_WHY_SIZE, "%s %s is not in its list", what, policy_shown(text, shown));
	return false;
}

CHECK(pool)
{
	return check_list(&rule->pools, claim->pool, texts_same, "pool", why);
}

CHECK(access)
{
	if (claim->read_only || !rule->read_only)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "access rw is asked for, and it gives ro");
	return false;
}

/* What an image is over may be nobody's to write, so it has places of its own. */
CHECK(backing)
{
	const struct texts *base =
		catalog_target(claim->target)->image ? &rule->image_chain : &rule->backing;

	return check_list(&rule->backing, claim->backing, pattern_path_fits, "backing", why) &&
	       check_list(base, claim->base, pattern_path_fits, "base", why);
}

static bool check_one_format(const struct rule *rule, unsigned int format, char *why)
{
	if (!format || rule->formats & 1u << format)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "format %s is not in its list", image_format_name(format));
	return false;
}

CHECK(format)
{
	return check_one_format(rule, claim->format, why) &&
	       check_one_format(rule, claim->base_format, why);
}

CHECK(backing_owner)
{
	char shown[POLICY_SHOWN_SIZE];

	if (!claim->backing || rule->any_backing_owner || !claim->uid ||
	    claim->uid == claim->backing_uid)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "backing %s belongs to uid %u, not to uid %u who asks",
		 policy_shown(claim->backing, shown), claim->backing_uid, claim->uid);
	return false;
}

CHECK(address)
{
	return check_list(&rule->nbd, claim->address, address_fits, "address", why);
}

CHECK(size)
{
	char asked[NUM_SIZE_TEXT], most[NUM_SIZE_TEXT];

	if (claim->size_bytes <= rule->max_size_bytes)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "size %s is over its %s",
		 num_format_size(claim->size_bytes, asked),
		 num_format_size(rule->max_size_bytes, most));
	return false;
}

CHECK(queues)
{
	if (claim->nr_queues <= rule->max_queues)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "%u queues are over its %u", claim->nr_queues,
		 rule->max_queues);
	return false;
}

CHECK(depth)
{
	if (claim->depth <= rule->max_depth)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "depth %u is over its %u", claim->depth, rule->max_depth);
	return false;
}

CHECK(zero_copy)
{
	if (rule->zero_copy || !claim->zero_copy)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "zero copy is asked for, and it does not give it");
	return false;
}

CHECK(mount)
{
	return check_list(&rule->mount.under, claim->mount_path, pattern_path_fits, "mount path",
			  why) &&
	       check_list(&rule->mount.filesystems, claim->mount_filesystem, texts_same,
			  "mount filesystem", why);
}

CHECK(raw_writers)
{
	if (!claim->raw_writers || rule->mount.trust_raw_writers)
		return true;
	snprintf(why, CHECK_WHY_SIZE,
		 "others than root could write the filesystem, and it does not trust them");
	return false;
}

CHECK(container_devices)
{
	if (rule->host || claim->devices_in_container < rule->max_devices_per_container)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "the container has %u devices already, of its %u",
		 claim->devices_in_container, rule->max_devices_per_container);
	return false;
}

CHECK(devices)
{
	if (claim->devices_in_all < rule->max_devices)
		return true;
	snprintf(why, CHECK_WHY_SIZE, "there are %u devices already, of its %u",
		 claim->devices_in_all, rule->max_devices);
	return false;
}

/* Is there room for size_bytes more? The sum itself need not fit 64 bits. */
static bool check_bytes(uint64_t most_bytes, uint64_t used_bytes, uint64_t size_bytes,
			const char *where, char *why)
{
	char most[NUM_SIZE_TEXT], used[NUM_SIZE_TEXT], more[NUM_SIZE_TEXT];

	if (!most_bytes || (used_bytes <= most_bytes && size_bytes <= most_bytes - used_bytes))
		return true;
	snprintf(why, CHECK_WHY_SIZE, "%s %s already, and %s more are over its %s", where,
		 num_format_size(used_bytes, used), num_format_size(size_bytes, more),
		 num_format_size(most_bytes, most));
	return false;
}

CHECK(container_bytes)
{
	return check_bytes(rule->max_bytes_per_container, claim->bytes_in_container,
			   claim->size_bytes, "the container's devices have", why);
}

CHECK(all_bytes)
{
	return check_bytes(rule->max_bytes, claim->bytes_in_all, claim->size_bytes,
			   "all devices have", why);
}

typedef bool check(const struct rule *rule, const struct policy_claim *claim, char *why);

/* In the order of the table: the rule that gets furthest is the nearest one. */
static check *const checks[] = {
	check_who,		 /* first: a rule that fails here is about somebody else */
	check_host,		 /* container or host */
	check_cgroup,		 /* where the container runs */
	check_owner,		 /* whose container it is */
	check_act,		 /* what is to be done */
	check_target,		 /* what it is made of */
	check_pool,		 /* where the volume is from */
	check_access,		 /* whether it may be written */
	check_backing,		 /* which file it shows */
	check_format,		 /* how that is read */
	check_backing_owner,	 /* whose file that is */
	check_address,		 /* which server it shows */
	check_size,		 /* bytes */
	check_queues,		 /* hardware queues */
	check_depth,		 /* requests in flight */
	check_zero_copy,	 /* whether the worker may be handed the kernel's pages */
	check_mount,		 /* where the host mounts it, and as what */
	check_raw_writers,	 /* who could have written that */
	check_container_devices, /* how many more in this container */
	check_devices,		 /* how many more at all */
	check_container_bytes,	 /* how many bytes more in this container */
	check_all_bytes,	 /* how many bytes more at all */
};

/* What is true of a container, and was not known of it when the device was made. */
static check *const use_checks[] = {
	check_host,
	check_cgroup,
	check_owner,
	check_access,
	check_container_devices,
	check_container_bytes,
};

bool check_rule(const struct rule *rule, const struct policy_claim *claim, size_t *ret_passed,
		char why[CHECK_WHY_SIZE])
{
	why[0] = '\0';
	for (*ret_passed = 0; *ret_passed < ARRAY_SIZE(checks); (*ret_passed)++) {
		if (!checks[*ret_passed](rule, claim, why))
			return false;
	}
	return true;
}

bool check_rule_use(const struct rule *rule, const struct policy_claim *claim,
		    char why[CHECK_WHY_SIZE])
{
	why[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(use_checks); i++) {
		if (!use_checks[i](rule, claim, why))
			return false;
	}
	return true;
}
