/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/backend_device.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/privileged/backend.h"
#include "driver/privileged/backing.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/keep.h"

#define BACKEND_DEVICE_SOCKET "/run/ublk-oci/backend-%016" PRIx64 ".sock"
#define BACKEND_DEVICE_SOCKET_SIZE 64
#define BACKEND_DEVICE_CONNECT_MS 15000
#define BACKEND_DEVICE_END_MS 5000
#define BACKEND_DEVICE_SPARE (64u << 20) /* tables of an image, beside twice its size */
#define BACKEND_DEVICE_TMP (1u << 20)	 /* of a program: as large as its /tmp */

static void device_socket(const struct record *rec, char path[BACKEND_DEVICE_SOCKET_SIZE])
{
	snprintf(path, BACKEND_DEVICE_SOCKET_SIZE, BACKEND_DEVICE_SOCKET, rec->generation);
}

static int device_cgroup(const struct record *rec, char path[CGROUP_PATH_SIZE], struct err *e)
{
	if (!*rec->cgroup)
		return err_set(e, ENOENT, "the device has no cgroup, nor has its back end");
	return cgroup_backend_path(path, rec->cgroup, rec->generation, e);
}

/* Of what looks at the image while it is served: its end is not the back end's. */
static int device_tool_cgroup(const struct record *rec, char path[CGROUP_PATH_SIZE], struct err *e)
{
	int r = device_cgroup(rec, path, e);

	if (r == 0)
		cgroup_other(path);
	return r;
}

void backend_device_cgroup(const struct record *rec, char path[CGROUP_PATH_SIZE])
{
	if (!backend_serves(rec) || device_cgroup(rec, path, NULL) < 0)
		memcpy(path, rec->cgroup, CGROUP_PATH_SIZE);
}

/* What a service manager hides from the helper, though its callers see it. */
static bool device_path_hidden(const char *path)
{
	static const char *const places[] = { "/home/", "/root/", "/run/user/", "/tmp/",
					      "/var/tmp/" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (!strncmp(path, places[i], strlen(places[i])))
			return true;
	}
	return false;
}

/* In our own namespace, where a mount of it can be copied. */
static int device_open_file(const char *path, uint64_t dev, uint64_t inode, int *ret_fd,
			    uint64_t *ret_bytes, struct err *e)
{
	auto_close int fd = backing_walk("/", path);
	struct stat st;

	bool found = fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == inode;

	if (!found && device_path_hidden(path))
		return err_set(
			e, fd < 0 ? -fd : ESTALE,
			"the helper does not see the image %s: as a service it has no /home, "
			"/root, /run/user and /tmp; move it elsewhere, below /srv for example",
			path);
	if (fd < 0)
		return err_sys(e, -fd, "cannot find the image %s", path);
	if (!found)
		return err_set(e, ESTALE, "%s is another file by now", path);
	*ret_fd = fd_take(&fd);
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

/*
 * RLIMIT_FSIZE of who writes an image that has file_bytes now: twice its disk, or that disk beside
 * what is there, where snapshots keep it. Until its size is known it may change what is there.
 */
static uint64_t device_file_limit(const struct record *rec, uint64_t file_bytes)
{
	uint64_t beside = file_bytes > rec->size_bytes ? file_bytes : rec->size_bytes;
	uint64_t bytes = rec->size_bytes ? rec->size_bytes + beside : file_bytes;

	return bytes > INT64_MAX ? INT64_MAX : BACKEND_DEVICE_SPARE + bytes;
}

static int device_spec_image(const struct record *rec, struct backend_spec *spec, struct err *e)
{
	uint64_t bytes;
	int r;

	spec->what.formats[0] = rec->nbd.format;
	spec->what.formats[1] = rec->nbd.base_format;
	r = device_open_file(rec->backing, rec->backing_dev, rec->backing_inode, &spec->files[0],
			     &bytes, e);
	if (r < 0)
		return r;
	spec->nr_files = 1;
	spec->file_size_limit = device_file_limit(rec, bytes);
	if (!*rec->base)
		return 0;
	r = device_open_file(rec->base, rec->base_dev, rec->base_inode, &spec->files[1], &bytes, e);
	if (r == 0)
		spec->nr_files = 2;
	return r;
}

static int device_check_part(const char *path, struct stat *st, struct err *e)
{
	auto_close int fd = backing_walk("/", path);

	if (fd == -ELOOP)
		return err_set(e, ELOOP, "%s is a link: a rule names the program itself", path);
	if (fd < 0 || fstat(fd, st) < 0)
		return err_sys(e, fd < 0 ? -fd : errno, "cannot look at %s", path);
	if (st->st_uid || st->st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, EPERM, "others than root could change %s", path);
	return 0;
}

/*
 * It is the one its rule means, whenever it is executed: nobody but root can put another one there,
 * since neither it nor a directory on the way is anybody else's to write, or a link.
 */
static int device_check_program(const char *path, struct err *e)
{
	char part[WIRE_BACKING_SIZE];
	const char *end = path;
	struct stat st;
	int r;

	do {
		end = strchrnul(end + 1, '/');
		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		r = device_check_part(part, &st, e);
		if (r < 0)
			return r;
	} while (*end);
	if (!S_ISREG(st.st_mode) || !(st.st_mode & S_IXOTH))
		return err_set(e, EACCES, "%s is no program that anybody may execute", path);
	return 0;
}

static int device_spec_program(const struct record *rec, struct backend_spec *spec, struct err *e)
{
	const char *path = rec->backing + strlen(BACKEND_ADDRESS);
	int r;

	spec->what.kind = BACKEND_EXEC;
	spec->what.nr_args = 1;
	spec->file_size_limit = BACKEND_DEVICE_TMP;
	r = device_check_program(path, e);
	return r < 0 ? r : text_copy(spec->what.args, sizeof(spec->what.args), path);
}

static int device_spec(const struct op *op, const struct record *rec, struct backend_spec *spec,
		       struct err *e)
{
	spec->uid = spec->gid = rec->worker_uid;
	spec->program_fd = op->helper->backend_fd;
	spec->what.flags = rec->flags & WIRE_READ_ONLY ? BACKEND_READ_ONLY : 0;
	if (spec->program_fd < 0)
		return err_set(e, ENOTSUP, "ublk-oci-backend is not installed");
	if (!rec->nbd.format)
		return device_spec_program(rec, spec, e);
	spec->what.kind = BACKEND_IMAGE;
	return device_spec_image(rec, spec, e);
}

static void device_spec_fini(struct backend_spec *spec)
{
	for (unsigned int i = 0; i < spec->nr_files; i++)
		close_fdp(&spec->files[i]);
}

int backend_device_may_leave(const struct op *op, const struct record *rec, struct err *e)
{
	cleanup_with(device_spec_fini) struct backend_spec spec = { 0 };

	return device_spec(op, rec, &spec, e);
}

/* By one connection: it ends with the program. */
static int device_connect(const struct record *rec, const char *socket, struct nbd_server *ret,
			  struct err *e)
{
	auto_close int fd = -1;
	const struct nbd_place place = {
		.address = rec->backing,
		.export_name = rec->nbd.export_name,
		.nr_connections = 1,
		.given = &fd,
		.nr_given = 1,
	};
	int r;

	r = backend_connect(socket, &fd, e);
	return r < 0 ? r : nbd_connect(ret, &place, BACKEND_DEVICE_CONNECT_MS, e);
}

/* The reason is its own, where it has said one. */
static int device_says(const struct backend *b, int r, struct err *e)
{
	char words[BACKEND_WORDS_SIZE] = "";

	if (b->words_fd >= 0)
		backend_words(b->words_fd, words);
	return *words ? err_set(e, -r, "the back end says: %s", words) : r;
}

/* One that is to be started for a device whose last one has ended. */
static int device_begin(const struct op *op, const struct record *rec, char *cgroup,
			struct backend_spec *spec, struct err *e)
{
	int r;

	r = backend_device_end(rec, e);
	if (r == 0)
		r = device_cgroup(rec, cgroup, e);
	if (r == 0)
		r = device_spec(op, rec, spec, e);
	return r;
}

int backend_device_start(const struct op *op, const struct record *rec, struct nbd_server *ret,
			 pid_t *ret_pid, struct err *e)
{
	char cgroup[CGROUP_PATH_SIZE], socket[BACKEND_DEVICE_SOCKET_SIZE];
	cleanup_with(device_spec_fini) struct backend_spec spec = { .cgroup = cgroup,
								    .socket = socket };
	auto_backend struct backend b = BACKEND_INIT;
	int r;

	device_socket(rec, socket);
	r = device_begin(op, rec, cgroup, &spec, e);
	if (r == 0)
		r = backend_start(&b, &spec, e);
	if (r == 0)
		r = device_connect(rec, socket, ret, e);
	unlink(socket);
	/* Without a keeper nobody hears what it says from now on. */
	if (r == 0)
		keep_put(rec->generation, b.words_fd, NULL);
	if (ret_pid)
		*ret_pid = b.pid;
	return r < 0 ? device_says(&b, r, e) : 0;
}

/* The file is what a keeper without rights makes of it. */
void backend_device_last_words(const struct record *rec)
{
	char words[BACKEND_WORDS_SIZE];
	auto_close int fd = -1;

	if (keep_get(rec->generation, &fd, NULL) < 0)
		return;
	backend_words(fd, words);
	if (*words)
		log_warning("ublkb%u: its back end said: %s", rec->dev_id, words);
	keep_drop(rec->generation, NULL);
}

int backend_device_limit(const struct record *rec, pid_t pid, struct err *e)
{
	auto_close int image = -1;
	struct rlimit limit;
	uint64_t bytes;
	int r;

	if (!rec->nbd.format)
		return 0;
	/* Of the file itself: the limit that is there the back end may have changed. */
	r = device_open_file(rec->backing, rec->backing_dev, rec->backing_inode, &image, &bytes, e);
	if (r < 0)
		return r;
	limit.rlim_cur = limit.rlim_max = device_file_limit(rec, bytes);
	if (prlimit(pid, RLIMIT_FSIZE, &limit, NULL) < 0)
		return err_sys(e, errno, "cannot set limits of the back end");
	return 0;
}

/* Its tool ends by itself, and its status is the answer. */
int backend_device_grow(const struct op *op, const struct record *rec, int timeout_ms,
			struct err *e)
{
	char cgroup[CGROUP_PATH_SIZE];
	cleanup_with(device_spec_fini) struct backend_spec spec = { .cgroup = cgroup };
	auto_backend struct backend b = BACKEND_INIT;
	int r;

	r = device_begin(op, rec, cgroup, &spec, e);
	if (r < 0)
		return r;
	spec.what.kind = BACKEND_GROW;
	spec.what.size_bytes = rec->size_bytes;
	r = backend_start(&b, &spec, e);
	if (r == 0)
		r = backend_await_end(&b, timeout_ms, e);
	if (r < 0)
		device_says(&b, r, e);
	cgroup_remove(cgroup, BACKEND_DEVICE_END_MS, NULL);
	return r;
}

int backend_device_snapshots(const struct op *op, const struct record *rec, int timeout_ms,
			     int *ret_fd, struct err *e)
{
	char cgroup[CGROUP_PATH_SIZE];
	cleanup_with(device_spec_fini) struct backend_spec spec = { .cgroup = cgroup };
	auto_backend struct backend b = BACKEND_INIT;
	int r, ended;

	r = device_tool_cgroup(rec, cgroup, e);
	if (r == 0)
		r = cgroup_remove(cgroup, BACKEND_DEVICE_END_MS, e);
	if (r == 0)
		r = device_spec(op, rec, &spec, e);
	if (r < 0)
		return r;
	spec.what.kind = BACKEND_SNAPSHOTS;
	spec.what.flags |= BACKEND_READ_ONLY;
	spec.file_size_limit = BACKEND_DEVICE_TMP;
	r = backend_start(&b, &spec, e);
	if (r == 0)
		r = backend_await_end(&b, timeout_ms, e);
	if (r < 0)
		device_says(&b, r, e);
	/* Nobody is left who could write while it is read. */
	ended = cgroup_remove(cgroup, BACKEND_DEVICE_END_MS, r < 0 ? NULL : e);
	if (r == 0)
		r = ended;
	return r < 0 ? r : backend_answer(&b, ret_fd, e);
}

static int device_first_process(void *arg, pid_t pid)
{
	pid_t *first = arg;

	if (!*first || pid < *first)
		*first = pid;
	return 0;
}

/* What it would write at its end is written; who does not end in time is killed. */
int backend_device_end(const struct record *rec, struct err *e)
{
	char cgroup[CGROUP_PATH_SIZE], socket[BACKEND_DEVICE_SOCKET_SIZE];
	auto_close int pidfd = -1;
	pid_t pid = 0;
	int r;

	/* Of who was killed before it had connected. */
	device_socket(rec, socket);
	unlink(socket);
	r = device_tool_cgroup(rec, cgroup, e);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = cgroup_remove(cgroup, BACKEND_DEVICE_END_MS, e);
	if (r == 0)
		r = device_cgroup(rec, cgroup, e);
	if (r == 0)
		r = cgroup_each_process(cgroup, device_first_process, &pid, e);
	if (r < 0)
		return r;
	if (pid)
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd >= 0)
		backend_ask_to_end(pidfd, rec->worker_uid, BACKEND_DEVICE_END_MS, NULL);
	return cgroup_remove(cgroup, BACKEND_DEVICE_END_MS, e);
}
