/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The delta of target cow: what was written over a read-only base. One file: a
 * header, a map with one bit per cluster, and the data, each cluster at the
 * place it has in the device. docs/cow-format.md says what holds when.
 *
 * Pure: bytes in, facts out. What is read here was written by somebody else.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"

#define COW_VERSION 1
#define COW_HEADER_BYTES 4096u
#define COW_BLOCK_BYTES 4096u /* the map is written in these */
#define COW_CLUSTER_MIN 4096u
#define COW_CLUSTER_MAX (1u << 20)
#define COW_CLUSTER_DEFAULT (64u << 10)
#define COW_DEV_BYTES_MAX (UINT64_C(1) << 50)
#define COW_BASE_SIZE 1024
/* Clusters of one block of the map. */
#define COW_BLOCK_CLUSTERS (UINT64_C(8) * COW_BLOCK_BYTES)

enum cow_flag {
	COW_EPHEMERAL = 1 << 0, /* nobody wants it after a power cut: it is never synced */
};
#define COW_FLAGS_ALL COW_EPHEMERAL

/* As it is in the file, little-endian, the rest of COW_HEADER_BYTES zero. */
struct cow_header {
	char magic[8];
	uint32_t version;
	uint32_t checksum; /* CRC-32C of COW_HEADER_BYTES with zero here */
	uint32_t flags;	   /* enum cow_flag */
	uint32_t cluster_bytes;
	uint64_t dev_bytes;
	uint64_t map_off;
	uint64_t map_bytes;
	uint64_t data_off;
	char base[COW_BASE_SIZE]; /* the path it had, for people */
};
static_assert(sizeof(struct cow_header) == 1080, "the format of a delta changed");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

/* Follows from size of device and cluster alone. */
struct cow_layout {
	uint64_t dev_bytes;
	uint64_t nr_clusters;
	uint64_t map_off;
	uint64_t map_bytes; /* whole blocks */
	uint64_t data_off;
	uint64_t file_bytes;
	uint32_t cluster_bytes;
};

int cow_layout_make(struct cow_layout *ret, uint64_t dev_bytes, uint32_t cluster_bytes,
		    struct err *e);

/* The first COW_HEADER_BYTES of a delta. base is cut to what fits. */
void cow_header_make(unsigned char bytes[COW_HEADER_BYTES], const struct cow_layout *l,
		     uint32_t flags, const char *base);

/* CRC-32C. */
uint32_t cow_checksum(const unsigned char *bytes, size_t size);

/*
 * Is this the beginning of a delta of so many bytes? The header, all of it checked, and
 * the layout that follows from it; or -EINVAL with the reason.
 */
int cow_header_read(struct cow_header *ret, struct cow_layout *ret_layout,
		    const unsigned char bytes[COW_HEADER_BYTES], uint64_t file_bytes,
		    struct err *e);

/* Are the bits behind the last cluster's zero? */
bool cow_map_ok(const struct cow_layout *l, const unsigned char *map);

static inline bool cow_map_get(const unsigned char *map, uint64_t cluster)
{
	return map[cluster / 8] >> (cluster % 8) & 1;
}

static inline void cow_map_set(unsigned char *map, uint64_t cluster)
{
	map[cluster / 8] |= (unsigned char)(1u << (cluster % 8));
}

/* Where the run of equal bits that begins at cluster ends, at most at end. */
uint64_t cow_map_run(const unsigned char *map, uint64_t cluster, uint64_t end);
