/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzzer without libFuzzer: runs every file of the folders it is given, with
 * whatever compiler and sanitizer the build has.
 *
 * usage: replay_NAME FOLDER...
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "tests/fuzz/fuzz.h"

#pragma weak LLVMFuzzerInitialize

#define REPLAY_SIZE_MAX (1u << 20)

/* From memory of exactly its size, so that a sanitizer sees a step beyond the end. */
static int replay_file(const char *path)
{
	auto_fclose FILE *f = fopen(path, "re");
	auto_free uint8_t *room = malloc(REPLAY_SIZE_MAX), *bytes = NULL;
	size_t size;

	if (!f || !room) {
		perror(path);
		return -1;
	}
	size = fread(room, 1, REPLAY_SIZE_MAX, f);
	bytes = malloc(size ? size : 1);
	if (!bytes || ferror(f) || size == REPLAY_SIZE_MAX) {
		fprintf(stderr, "%s: cannot be read whole\n", path);
		return -1;
	}
	memcpy(bytes, room, size);
	LLVMFuzzerTestOneInput(bytes, size);
	return 0;
}

/* The number of files that were run; -1: not all could be read. */
static int replay_folder(const char *folder)
{
	auto_closedir DIR *dir = opendir(folder);
	struct dirent *entry;
	int nr = 0;

	if (!dir) {
		perror(folder);
		return -1;
	}
	while ((entry = readdir(dir))) {
		auto_free char *path = NULL;

		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0 || replay_file(path) < 0)
			return -1;
		nr++;
	}
	return nr;
}

int main(int argc, char **argv)
{
	int nr = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++) {
		int n = replay_folder(argv[i]);

		if (n <= 0)
			return 1;
		nr += n;
	}
	printf("%d inputs\n", nr);
	return nr ? 0 : 1;
}
