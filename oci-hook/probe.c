/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/probe.h"

#include <errno.h>
#include <string.h>

#include "driver/base/text.h"

static const char *const verbs[PROBE_VERBS] = {
	[PROBE_LOOK] = "look", [PROBE_MKFS] = "mkfs",	  [PROBE_CHECK] = "check",
	[PROBE_MEND] = "mend", [PROBE_RESIZE] = "resize",
};

const char *probe_verb(unsigned int verb)
{
	return verb < PROBE_VERBS ? verbs[verb] : NULL;
}

static bool probe_printable(char c)
{
	return c >= ' ' && c <= '~';
}

void probe_text(char *field, size_t size, const char *text)
{
	size_t n = strnlen(text, size - 1);

	memset(field, 0, size);
	for (size_t i = 0; i < n; i++)
		field[i] = probe_printable(text[i]) ? text[i] : '?';
}

bool probe_type_ok(const char *type)
{
	return text_name_ok(type, PROBE_TYPE_SIZE - 1);
}

static bool probe_field_ok(const char *field, size_t size)
{
	if (!text_padded_ok(field, size))
		return false;
	for (; *field; field++) {
		if (!probe_printable(*field))
			return false;
	}
	return true;
}

/* Each of the three says what it has to say, and nothing of the others. */
static bool probe_content_ok(const struct probe_answer *a)
{
	if (a->content == PROBE_USED)
		return probe_type_ok(a->type) && !*a->reason;
	if (*a->type || *a->label || *a->uuid)
		return false;
	return a->content == PROBE_BLANK ? !*a->reason : a->content == PROBE_UNKNOWN && *a->reason;
}

int probe_answer_check(const struct probe_answer *a, size_t size, struct err *e)
{
	if (size != sizeof(*a) || a->magic != PROBE_MAGIC || a->version != PROBE_VERSION ||
	    a->pad || !probe_field_ok(a->type, sizeof(a->type)) ||
	    !probe_field_ok(a->label, sizeof(a->label)) ||
	    !probe_field_ok(a->uuid, sizeof(a->uuid)) ||
	    !probe_field_ok(a->reason, sizeof(a->reason)) || !probe_content_ok(a))
		return err_set(e, EPROTO, "the answer of ublk-oci-probe is not understood");
	return 0;
}
