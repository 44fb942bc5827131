/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the store within a call, and what of a volume goes into answers. */
#pragma once

#include <csi.pb-c.h>

#include "oci-hook/csi/call.h"
#include "oci-hook/volumes.h"

/* On failure the store's reason, and the code for it. */
enum code ask_store(struct call *c, enum store_type type, const struct store_ask *ask,
		    struct volumes *ret);

/* NOT_FOUND: there is no such volume (or, with snapshot, no such snapshot). */
enum code ask_find(struct call *c, const char *id, bool snapshot, struct store_volume *ret);

/* All volumes, or all snapshots, in the order of their ids. */
enum code ask_all(struct call *c, bool snapshots, struct volumes *ret);

/*
 * A part of a list: from behind the one that token names (""; from the first) at most so many
 * (0: no limit of the caller's). ABORTED: no token of ours. *ret_next: "" when there are no more.
 */
enum code ask_page(struct call *c, const struct volumes *all, const char *token, int32_t most,
		   size_t *ret_first, size_t *ret_nr, char **ret_next);

Csi__Volume *ask_volume_message(struct call *c, const struct store_volume *v);
Csi__Snapshot *ask_snapshot_message(struct call *c, const struct store_volume *v);
Csi__VolumeCondition *ask_condition_message(struct call *c, const struct store_volume *v);

/* Where volumes of this node can be used; and is this one such a place? */
#define ASK_TOPOLOGY_KEY "topology.ublk-oci.io/node"
Csi__Topology *ask_topology_message(struct call *c);
bool ask_topology_here(const struct call *c, const Csi__Topology *t);
