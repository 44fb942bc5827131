/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A delta of target cow, which its owner may write as he likes: the header, read in the sealed
 * worker and in the command line, and the map. The first byte says whether a good header is
 * changed, and its checksum mended, or the input is one; the second how many bytes of changes come
 * before the map. What is taken keeps within the file; whatever the map says, its runs cover the
 * device once.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "targets/cow_format.h"
#include "tests/fuzz/fuzz.h"

/* As a writer with a checksum of his own would. */
static void mend(unsigned char header[COW_HEADER_BYTES], const uint8_t *bytes, size_t size)
{
	struct cow_layout l;
	struct cow_header h;

	if (cow_layout_make(&l, 1 << 20, 4096, NULL) < 0)
		must(false);
	cow_header_make(header, &l, 0, "/srv/base.img");
	memcpy(&h, header, sizeof(h));
	for (; size >= 3; bytes += 3, size -= 3)
		((unsigned char *)&h)[(bytes[0] | bytes[1] << 8) % sizeof(h)] = bytes[2];
	h.checksum = 0;
	memcpy(header, &h, sizeof(h));
	h.checksum = cow_checksum(header, COW_HEADER_BYTES);
	memcpy(header, &h, sizeof(h));
}

static void layout_must_hold(const struct cow_layout *l, uint64_t file_bytes)
{
	must(l->dev_bytes && l->dev_bytes <= COW_DEV_BYTES_MAX);
	must(l->cluster_bytes >= COW_CLUSTER_MIN && l->cluster_bytes <= COW_CLUSTER_MAX);
	must(l->map_off >= COW_HEADER_BYTES && l->map_bytes % COW_BLOCK_BYTES == 0);
	must(l->map_bytes * 8 >= l->nr_clusters);
	must(l->data_off >= l->map_off + l->map_bytes && l->data_off % l->cluster_bytes == 0);
	must(l->nr_clusters * l->cluster_bytes >= l->dev_bytes);
	must((l->nr_clusters - 1) * l->cluster_bytes < l->dev_bytes);
	must(l->file_bytes == l->data_off + l->nr_clusters * l->cluster_bytes);
	must(l->file_bytes <= file_bytes);
}

static void map_must_hold(const struct cow_layout *l, const uint8_t *bytes, size_t size)
{
	auto_free unsigned char *map = NULL;
	uint64_t end, nr = 0;
	bool last = false;

	if (l->map_bytes > 1 << 20)
		return;
	map = calloc(1, l->map_bytes);
	must(map);
	memcpy(map, bytes, size < l->map_bytes ? size : l->map_bytes);
	if (!cow_map_ok(l, map))
		return;
	for (uint64_t i = 0; i < l->nr_clusters; i = end) {
		end = cow_map_run(map, i, l->nr_clusters);
		must(end > i && end <= l->nr_clusters);
		must(!i || cow_map_get(map, i) != last);
		last = cow_map_get(map, i);
		for (uint64_t k = i; k < end; k++)
			must(cow_map_get(map, k) == last);
		nr += end - i;
	}
	must(nr == l->nr_clusters);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	unsigned char header[COW_HEADER_BYTES] = { 0 };
	uint64_t file_bytes = UINT64_MAX >> 1;
	struct cow_layout l;
	struct cow_header h;
	struct err e;
	size_t n;

	if (size < 2)
		return 0;
	n = bytes[1] < size - 2 ? bytes[1] : size - 2;
	if (bytes[0] & 1)
		mend(header, bytes + 2, n);
	else
		memcpy(header, bytes + 2, size - 2 < sizeof(header) ? size - 2 : sizeof(header));
	if (bytes[0] & 2)
		file_bytes = 1 << 20;
	if (cow_header_read(&h, &l, header, file_bytes, &e) < 0) {
		must(*e.text);
		return 0;
	}
	layout_must_hold(&l, file_bytes);
	must(memchr(h.base, '\0', sizeof(h.base)));
	map_must_hold(&l, bytes + 2 + n, size - 2 - n);
	return 0;
}
