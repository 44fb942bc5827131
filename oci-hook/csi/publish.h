/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting volumes where pods find them: handlers, as service.h says. To stage a volume is to have
 * its device made, by the store; to publish it is a claim of the helper's, at the target. There is
 * no record besides those two, so a call that was cut off is taken up by the next.
 *
 * A volume that a pod brings with it (volume_context says ephemeral) is made when it is published,
 * and removed when it is unpublished.
 */
#pragma once

#include "oci-hook/client.h"
#include "oci-hook/csi/call.h"
#include "oci-hook/volumes.h"

enum code publish_stage(struct call *c, const void *request, void *response);
enum code publish_unstage(struct call *c, const void *request, void *response);
enum code publish_publish(struct call *c, const void *request, void *response);
enum code publish_unpublish(struct call *c, const void *request, void *response);

/* The volume of this id, published or staged; inline ones too. NOT_FOUND. */
enum code publish_find(struct call *c, const char *id, struct store_volume *ret);

/* What is at path of it, by the helper's list. NOT_FOUND: nothing; UNAVAILABLE: not known. */
enum code publish_find_claim(struct call *c, const struct store_volume *v, const char *path,
			     struct wire_device *ret);
