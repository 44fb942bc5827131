/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/pool/ask.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/text.h"

/* Has the verb a size? */
static const bool sized[POOL_END] = { [POOL_CREATE] = true, [POOL_RESIZE] = true };

int ask_admit(const struct packet *p, struct pool_ask *ret, char image[SERVER_IMAGE_SIZE])
{
	if (p->size != sizeof(*ret) || p->nr_fds)
		return -EBADMSG;
	memcpy(ret, p->bytes, sizeof(*ret));
	if (ret->head.magic != POOL_MAGIC || ret->head.version != POOL_VERSION ||
	    ret->head.size != sizeof(*ret) || ret->head.nr_fds || ret->head.type <= POOL_NONE ||
	    ret->head.type >= POOL_END || !text_padded_ok(ret->name, sizeof(ret->name)) ||
	    !text_device_name_ok(ret->name) || !text_padded_ok(ret->id, sizeof(ret->id)) ||
	    strlen(ret->id) != POOL_ID_LENGTH ||
	    strspn(ret->id, "0123456789abcdef") != POOL_ID_LENGTH ||
	    !ret->size_bytes == sized[ret->head.type])
		return -EBADMSG;
	snprintf(image, SERVER_IMAGE_SIZE, "%s.%s", ret->name, ret->id);
	return 0;
}
