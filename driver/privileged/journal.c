/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/privileged/hierarchy.h"
#include "targets/catalog.h"
#include "targets/image_format.h"

#define JOURNAL_NAME_SIZE 32
#define JOURNAL_ASIDE ".bad"

static void journal_name(uint64_t generation, char name[JOURNAL_NAME_SIZE])
{
	snprintf(name, JOURNAL_NAME_SIZE, "%016" PRIx64, generation);
}

int journal_open(const char *dir, int *ret_fd, struct err *e)
{
	auto_close int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (dir_fd < 0)
		return err_sys(e, errno, "cannot open %s", dir);
	if (mkdirat(dir_fd, "devices", 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make %s/devices", dir);
	fd = openat(dir_fd, "devices", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot open %s/devices", dir);
	*ret_fd = fd;
	return 0;
}

/* A name in a directory is as durable as the directory. */
static int journal_sync(int journal_fd, struct err *e)
{
	return fsync(journal_fd) < 0 ? err_sys(e, errno, "cannot write the journal") : 0;
}

int journal_save(int journal_fd, const struct record *rec, struct err *e)
{
	char name[JOURNAL_NAME_SIZE], temporary[JOURNAL_NAME_SIZE + 4];
	auto_close int fd = -1;
	ssize_t n;

	journal_name(rec->generation, name);
	snprintf(temporary, sizeof(temporary), "%s.tmp", name);
	fd = openat(journal_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (fd < 0)
		return err_sys(e, errno, "cannot write the journal");
	n = write(fd, rec, sizeof(*rec));
	if (n != (ssize_t)sizeof(*rec) || fsync(fd) < 0) {
		int code = n >= 0 && n != (ssize_t)sizeof(*rec) ? ENOSPC : errno;

		unlinkat(journal_fd, temporary, 0);
		return err_sys(e, code, "cannot write the journal");
	}
	if (renameat(journal_fd, temporary, journal_fd, name) < 0) {
		int code = errno;

		unlinkat(journal_fd, temporary, 0);
		return err_sys(e, code, "cannot write the journal");
	}
	return journal_sync(journal_fd, e);
}

int journal_remove(int journal_fd, uint64_t generation, struct err *e)
{
	char name[JOURNAL_NAME_SIZE];

	journal_name(generation, name);
	if (unlinkat(journal_fd, name, 0) == 0)
		return journal_sync(journal_fd, e);
	return errno == ENOENT ? 0 : err_sys(e, errno, "cannot remove a record from the journal");
}

/* Does a component say ".."? */
static bool journal_climbs(const char *path)
{
	for (const char *p = strstr(path, "/.."); p; p = strstr(p + 1, "/..")) {
		if (!p[3] || p[3] == '/')
			return true;
	}
	return false;
}

static bool journal_cgroup_ok(const char *cgroup)
{
	return (!strncmp(cgroup, HIERARCHY_TOP "/", strlen(HIERARCHY_TOP "/")) ||
		!strncmp(cgroup, HIERARCHY_OWN "/", strlen(HIERARCHY_OWN "/"))) &&
	       strstr(cgroup, "/workers/") && !journal_climbs(cgroup);
}

/* What undo follows and kills by must be what this program could have written. */
static bool journal_places_ok(const struct record *rec)
{
	const char *why;

	if (*rec->cgroup && !journal_cgroup_ok(rec->cgroup))
		return false;
	if (*rec->container_cgroup &&
	    (*rec->container_cgroup != '/' || journal_climbs(rec->container_cgroup)))
		return false;
	if (rec->flags & WIRE_HOST && !record_on_host(rec))
		return true;
	if (record_is_host_file(rec))
		return text_mount_path_ok(rec->path, &why);
	if (!rec->filesystem)
		return text_device_path_ok(rec->path, &why);
	return catalog_filesystem(rec->filesystem) && text_mount_path_ok(rec->path, &why);
}

static bool journal_grants_ok(const struct record *rec)
{
	bool limits =
		rec->io.read_bytes || rec->io.write_bytes || rec->io.read_ops || rec->io.write_ops;

	return !(rec->grants & ~(uint32_t)RECORD_GRANTS_ALL) &&
	       limits == !!(rec->grants & RECORD_IO_LIMITS) &&
	       !(limits && rec->flags & WIRE_HOST) &&
	       !(rec->grants & RECORD_IO_BEHIND && !(limits && rec->backing_dev));
}

static bool journal_nbd_ok(const struct record *rec)
{
	static const struct record_nbd none;
	const struct catalog_target *target = catalog_target(rec->target);

	if (!target || (!target->by_address && !target->image))
		return !memcmp(&rec->nbd, &none, sizeof(none));
	return rec->nbd.state < RECORD_NBD_STATES &&
	       rec->nbd.nr_connections <= WIRE_CONNECTIONS_MAX &&
	       target->image == !!image_format_name(rec->nbd.format) &&
	       (target->image && *rec->base) == !!image_format_name(rec->nbd.base_format) &&
	       text_padded_ok(rec->nbd.export_name, sizeof(rec->nbd.export_name));
}

bool journal_record_ok(const struct record *rec)
{
	return rec->magic == RECORD_MAGIC && rec->version == RECORD_VERSION &&
	       rec->size == sizeof(*rec) && rec->generation >> 32 == RECORD_GENERATION_MARK &&
	       rec->state > WIRE_STATE_NONE && rec->state < WIRE_STATE_END &&
	       rec->worker_pid >= 0 && rec->container_pid >= 0 &&
	       text_padded_ok(rec->container, sizeof(rec->container)) &&
	       text_padded_ok(rec->engine, sizeof(rec->engine)) &&
	       text_padded_ok(rec->path, sizeof(rec->path)) &&
	       text_padded_ok(rec->rule, sizeof(rec->rule)) &&
	       text_padded_ok(rec->backing, sizeof(rec->backing)) &&
	       text_padded_ok(rec->base, sizeof(rec->base)) &&
	       text_padded_ok(rec->container_cgroup, sizeof(rec->container_cgroup)) &&
	       text_padded_ok(rec->cgroup, sizeof(rec->cgroup)) &&
	       text_padded_ok(rec->failure, sizeof(rec->failure)) && journal_places_ok(rec) &&
	       journal_nbd_ok(rec) && journal_grants_ok(rec);
}

/* file: the same as name, or where it was set aside. */
static int journal_read(int journal_fd, const char *file, const char *name, struct record *rec)
{
	auto_close int fd =
		openat(journal_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char own_name[JOURNAL_NAME_SIZE];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)sizeof(*rec))
		return -EINVAL;
	n = read(fd, rec, sizeof(*rec));
	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(*rec) || !journal_record_ok(rec))
		return -EINVAL;
	journal_name(rec->generation, own_name);
	return strcmp(name, own_name) ? -EINVAL : 0;
}

/* Keeps what cannot be read for a person to look at, and for a version that can. */
static void journal_set_aside(int journal_fd, const char *name)
{
	char aside[NAME_MAX + 1];

	if (snprintf(aside, sizeof(aside), "%s" JOURNAL_ASIDE, name) < (int)sizeof(aside) &&
	    !renameat(journal_fd, name, journal_fd, aside))
		log_error("the journal's file %s is not a record this version reads; it is now %s",
			  name, aside);
}

static bool journal_ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n >= m && !strcmp(name + n - m, end);
}

static bool journal_is_stray(const char *name)
{
	return name[0] != '.' && !strchr(name, '/') &&
	       (journal_ends_in(name, JOURNAL_ASIDE) || journal_ends_in(name, ".tmp"));
}

uint64_t journal_generation(const char *name)
{
	char own_name[JOURNAL_NAME_SIZE];
	uint64_t generation = strtoull(name, NULL, 16);

	journal_name(generation, own_name);
	return !strcmp(name, own_name) && generation >> 32 == RECORD_GENERATION_MARK ? generation
										     : 0;
}

/* The record that was set aside under this name: its generation, and its own name. Else 0. */
static uint64_t journal_aside(const char *file, char name[JOURNAL_NAME_SIZE])
{
	if (!journal_ends_in(file, JOURNAL_ASIDE))
		return 0;
	snprintf(name, JOURNAL_NAME_SIZE, "%.*s", (int)(strlen(file) - strlen(JOURNAL_ASIDE)),
		 file);
	return journal_generation(name);
}

/* Set aside by another version. */
static void journal_take_back(int journal_fd, const char *file)
{
	char name[JOURNAL_NAME_SIZE];
	struct record rec;

	if (journal_aside(file, name) && journal_read(journal_fd, file, name, &rec) == 0 &&
	    faccessat(journal_fd, name, F_OK, 0) < 0 &&
	    renameat(journal_fd, file, journal_fd, name) == 0)
		log_info("the journal's file %s is a record this version reads", file);
}

int journal_load(int journal_fd, int (*found)(void *arg, const struct record *rec), void *arg,
		 struct err *e)
{
	auto_close int fd = openat(journal_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct record rec;
	struct dirent *entry;
	int r;

	if (!d)
		return err_sys(e, errno, "cannot read the journal");
	fd = -1; /* the directory stream's now */
	while ((entry = readdir(d)))
		journal_take_back(journal_fd, entry->d_name);
	rewinddir(d);
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.' || journal_ends_in(entry->d_name, JOURNAL_ASIDE))
			continue;
		if (journal_ends_in(entry->d_name, ".tmp")) {
			unlinkat(journal_fd, entry->d_name, 0); /* never came to be a record */
			continue;
		}
		if (journal_read(journal_fd, entry->d_name, entry->d_name, &rec) < 0) {
			journal_set_aside(journal_fd, entry->d_name);
			continue;
		}
		r = found(arg, &rec);
		if (r < 0)
			return err_sys(e, -r, "cannot take a record from the journal");
	}
	return 0;
}

int journal_each_stray(int journal_fd, int (*found)(void *arg, const char *name), void *arg,
		       struct err *e)
{
	auto_close int fd = openat(journal_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int r;

	if (!d)
		return err_sys(e, errno, "cannot read the journal");
	fd = -1; /* the directory stream's now */
	while ((entry = readdir(d))) {
		if (!journal_is_stray(entry->d_name))
			continue;
		r = found(arg, entry->d_name);
		if (r < 0)
			return err_sys(e, -r, "cannot look at the journal");
	}
	return 0;
}

static int journal_found_aside(void *arg, const char *name)
{
	char own_name[JOURNAL_NAME_SIZE];

	*(unsigned int *)arg += journal_aside(name, own_name) != 0;
	return 0;
}

unsigned int journal_nr_aside(int journal_fd)
{
	unsigned int nr = 0;

	journal_each_stray(journal_fd, journal_found_aside, &nr, NULL);
	return nr;
}

int journal_remove_stray(int journal_fd, const char *name, struct err *e)
{
	if (!journal_is_stray(name))
		return err_set(e, EINVAL, "%s is not a file of the journal", name);
	if (unlinkat(journal_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "cannot remove %s from the journal", name);
	return 0;
}
