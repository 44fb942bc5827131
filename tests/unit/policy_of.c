/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/policy_of.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int fake_find(const char *name, uint32_t *ret_id)
{
	if (strcmp(name, "ublk-oci-hook"))
		return -ENOENT;
	*ret_id = 970;
	return 0;
}

static const struct policy_names fake_names = { fake_find, fake_find };

struct policy *policy_of(const char *text)
{
	struct policy *p = NULL;
	struct err e = { "" };

	if (policy_parse(&p, text, strlen(text), &fake_names, &e) < 0)
		fail_msg("%s", e.text);
	return p;
}
