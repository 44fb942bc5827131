/* SPDX-License-Identifier: Apache-2.0 */
/* What a packet must look like to be done. */
#pragma once

#include "driver/wire/packet.h"
#include "driver/wire/pool.h"
#include "oci-hook/pool/server.h"

/* -EBADMSG: it gets no answer. image: "NAME.ID". */
int ask_admit(const struct packet *p, struct pool_ask *ret, char image[SERVER_IMAGE_SIZE]);
