/* SPDX-License-Identifier: Apache-2.0 */
#include "targets/cow_format.h"

#include <errno.h>
#include <string.h>

#include "driver/base/num.h"

#define COW_CRC_POLYNOMIAL 0x82f63b78u /* Castagnoli's, reflected */

static const char cow_magic[8] = { 'u', 'b', 'l', 'k', 'c', 'o', 'w', '\n' };

int cow_layout_make(struct cow_layout *ret, uint64_t dev_bytes, uint32_t cluster_bytes,
		    struct err *e)
{
	struct cow_layout l = { .dev_bytes = dev_bytes, .cluster_bytes = cluster_bytes };

	if (!num_power_of_two(cluster_bytes) || cluster_bytes < COW_CLUSTER_MIN ||
	    cluster_bytes > COW_CLUSTER_MAX)
		return err_set(e, EINVAL,
			       "a cluster of %u bytes: it is a power of two from 4K to 1M",
			       cluster_bytes);
	if (!dev_bytes || dev_bytes % 512 || dev_bytes > COW_DEV_BYTES_MAX)
		return err_set(e, EINVAL, "a device of %llu bytes cannot have a delta",
			       (unsigned long long)dev_bytes);
	l.nr_clusters = (dev_bytes + cluster_bytes - 1) / cluster_bytes;
	l.map_off = COW_HEADER_BYTES;
	l.map_bytes = num_round_up((l.nr_clusters + 7) / 8, COW_BLOCK_BYTES);
	l.data_off = num_round_up(l.map_off + l.map_bytes, cluster_bytes);
	/* Whole clusters, so that the last block of a device of odd size can be written. */
	l.file_bytes = l.data_off + l.nr_clusters * cluster_bytes;
	*ret = l;
	return 0;
}

uint32_t cow_checksum(const unsigned char *bytes, size_t size)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? COW_CRC_POLYNOMIAL : 0);
	}
	return ~crc;
}

void cow_header_make(unsigned char bytes[COW_HEADER_BYTES], const struct cow_layout *l,
		     uint32_t flags, const char *base)
{
	struct cow_header h = {
		.version = COW_VERSION,
		.flags = flags,
		.cluster_bytes = l->cluster_bytes,
		.dev_bytes = l->dev_bytes,
		.map_off = l->map_off,
		.map_bytes = l->map_bytes,
		.data_off = l->data_off,
	};

	memcpy(h.magic, cow_magic, sizeof(h.magic));
	memcpy(h.base, base, strnlen(base, sizeof(h.base) - 1));
	memset(bytes, 0, COW_HEADER_BYTES);
	memcpy(bytes, &h, sizeof(h));
	h.checksum = cow_checksum(bytes, COW_HEADER_BYTES);
	memcpy(bytes, &h, sizeof(h));
}

/* All of it, not what is in the struct only: room for more must be known to be empty. */
static bool cow_checksum_ok(const unsigned char bytes[COW_HEADER_BYTES])
{
	unsigned char copy[COW_HEADER_BYTES];
	struct cow_header h;
	uint32_t checksum;

	memcpy(&h, bytes, sizeof(h));
	checksum = h.checksum;
	h.checksum = 0;
	memcpy(copy, bytes, sizeof(copy));
	memcpy(copy, &h, sizeof(h));
	return cow_checksum(copy, sizeof(copy)) == checksum;
}

int cow_header_read(struct cow_header *ret, struct cow_layout *ret_layout,
		    const unsigned char bytes[COW_HEADER_BYTES], uint64_t file_bytes, struct err *e)
{
	struct cow_layout l;
	struct cow_header h;
	int r;

	memcpy(&h, bytes, sizeof(h));
	if (memcmp(h.magic, cow_magic, sizeof(h.magic)))
		return err_set(e, EINVAL, "it is no delta: ublk-oci cow create makes one");
	if (!cow_checksum_ok(bytes))
		return err_set(e, EINVAL, "the header of the delta is damaged");
	if (h.version != COW_VERSION || h.flags & ~(uint32_t)COW_FLAGS_ALL)
		return err_set(e, EINVAL,
			       "the delta is of version %u with flags %#x, not known here",
			       h.version, h.flags);
	r = cow_layout_make(&l, h.dev_bytes, h.cluster_bytes, e);
	if (r < 0)
		return r;
	if (h.map_off != l.map_off || h.map_bytes != l.map_bytes || h.data_off != l.data_off ||
	    h.base[sizeof(h.base) - 1])
		return err_set(e, EINVAL, "the header of the delta contradicts itself");
	if (file_bytes < l.file_bytes)
		return err_set(e, EINVAL, "the delta has %llu bytes and needs %llu",
			       (unsigned long long)file_bytes, (unsigned long long)l.file_bytes);
	*ret = h;
	*ret_layout = l;
	return 0;
}

bool cow_map_ok(const struct cow_layout *l, const unsigned char *map)
{
	for (uint64_t i = l->nr_clusters; i < l->map_bytes * 8; i++) {
		if (cow_map_get(map, i))
			return false;
	}
	return true;
}

uint64_t cow_map_run(const unsigned char *map, uint64_t cluster, uint64_t end)
{
	bool bit = cow_map_get(map, cluster);
	unsigned char whole = bit ? 0xff : 0;

	for (cluster++; cluster < end; cluster++) {
		while (cluster % 8 == 0 && end - cluster >= 8 && map[cluster / 8] == whole)
			cluster += 8;
		if (cluster < end && cow_map_get(map, cluster) != bit)
			return cluster;
	}
	return end;
}
