/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/ids.h"

#include <errno.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>

#define IDS_SNAPSHOT "snapshot-"
#define IDS_HASHED "csi-" /* no name that begins so is kept */
#define IDS_HASH_BYTES 16 /* of SHA-256: 128 bits are enough that nobody finds two of one */

static void ids_hash(const char *text, uint8_t ret[SHA256_DIGEST_LENGTH])
{
	SHA2_CTX ctx;

	SHA256Init(&ctx);
	SHA256Update(&ctx, (const uint8_t *)text, strlen(text));
	SHA256Final(ret, &ctx);
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static int ids_of_hash(const char *name, char kind, char ret[IDS_SIZE])
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	size_t n;

	ids_hash(name, hash);
	n = (size_t)snprintf(ret, IDS_SIZE, IDS_HASHED "%c-", kind);
	for (size_t i = 0; i < IDS_HASH_BYTES; i++)
		n += (size_t)snprintf(ret + n, IDS_SIZE - n, "%02x", hash[i]);
	return 0;
}

static int ids_of(const char *name, bool snapshot, char ret[IDS_SIZE])
{
	if (!*name || strlen(name) > IDS_NAME_MAX)
		return -EINVAL;
	if (text_device_name_ok(name) && !begins(name, IDS_HASHED) &&
	    begins(name, IDS_SNAPSHOT) == snapshot)
		return text_copy(ret, IDS_SIZE, name);
	return ids_of_hash(name, snapshot ? 's' : 'v', ret);
}

int ids_of_inline(const char *name, char ret[IDS_SIZE])
{
	return *name && strlen(name) <= IDS_NAME_MAX ? ids_of_hash(name, 'i', ret) : -EINVAL;
}

int ids_of_volume(const char *name, char ret[IDS_SIZE])
{
	return ids_of(name, false, ret);
}

int ids_of_snapshot(const char *name, char ret[IDS_SIZE])
{
	return ids_of(name, true, ret);
}

bool ids_is_snapshot(const char *id)
{
	return begins(id, IDS_SNAPSHOT) || begins(id, IDS_HASHED "s-");
}

uint64_t ids_number(const char *id)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	uint64_t n;

	ids_hash(id, hash);
	memcpy(&n, hash, sizeof(n));
	return n;
}
