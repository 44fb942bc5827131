/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two pools for tests of volumes: "first", with a capacity of 10M of which twice as much may be
 * promised, and "second", with none.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "oci-hook/store/change.h"
#include "oci-hook/store/examine.h"
#include "tests/unit/store_steps.h"

/* For cmocka's setup and teardown. */
int store_fixture_begin(void **state);
int store_fixture_end(void **state);

/* The program that was built, not one that is installed. */
extern const struct probing probing;

struct volume a_volume(const char *name, uint64_t bytes);

/* Makes it, of what from_fd has, unless that is -1. */
int make(const struct fixture *f, size_t pool, const struct volume *v, int from_fd, uint64_t bytes,
	 struct err *e);
void must_make(const struct fixture *f, size_t pool, const char *name, uint64_t bytes);
void must_find(const struct fixture *f, const char *name, struct place *ret);

/* Its data, for reading and writing. */
int place_data(const struct place *p);

/* How many files and directories the pool has. */
unsigned int nr_entries(const struct fixture *f, size_t pool);

/* An image with holes: bytes at its begin, in its middle, at its end. */
int an_image(const struct fixture *f, uint64_t bytes);
void must_be_image(int fd, uint64_t bytes);

/* Can the file system be made here? */
bool have_ext4(void);
bool is_ext4(int fd);
enum store_content content_of(const struct place *p);
