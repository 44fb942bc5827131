/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/pool/server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/wire/pool.h"
#include "oci-hook/pool/program.h"

#define SERVER_BACKLOG 16
#define SERVER_STOP_MS 5000
#define SERVER_STEP_MS 20
#define SERVER_SHORT_MS 5000 /* who lived shorter is started after a pause */
#define SERVER_PAUSE_MS 1000
#define SERVER_RECORD ".image"
#define SERVER_FILE_SIZE (POOL_ID_LENGTH + sizeof(SERVER_RECORD))

/* "NAME.ID": the socket is called by the last part, as a path of sockets is short. */
static const char *server_id(const char *image)
{
	return image + strlen(image) - POOL_ID_LENGTH;
}

static void server_record(const char *image, char file[SERVER_FILE_SIZE])
{
	snprintf(file, SERVER_FILE_SIZE, "%s" SERVER_RECORD, server_id(image));
}

static struct server *servers_find(struct servers *s, const char *image)
{
	for (size_t i = 0; i < s->nr; i++) {
		if (!strcmp(s->all[i].image, image))
			return &s->all[i];
	}
	return NULL;
}

/* For the connector's group, which is this process's. */
static int server_listen(struct server *v, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	memcpy(address.sun_path, server_id(v->image), POOL_ID_LENGTH + 1);
	if ((unlink(address.sun_path) < 0 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0660) < 0 || listen(fd, SERVER_BACKLOG) < 0)
		return err_sys(e, errno, "cannot listen for image %s", v->image);
	v->listen_fd = fd_take(&fd);
	return 0;
}

int servers_add(struct servers *s, const char *image, struct err *e)
{
	struct server *v = &s->all[s->nr];
	char file[SERVER_FILE_SIZE];
	bool known;
	int r;

	if (servers_find(s, image))
		return 0;
	if (s->nr == SERVER_MAX)
		return err_set(e, ENFILE, "%d images are served already", SERVER_MAX);
	*v = (struct server){ .listen_fd = -1 };
	if (text_copy(v->image, sizeof(v->image), image) < 0)
		return err_set(e, ENAMETOOLONG, "the name of the image is too long");
	server_record(image, file);
	known = symlinkat(image, s->dir_fd, file) < 0;
	if (known && errno != EEXIST)
		return err_sys(e, errno, "cannot put image %s on record", image);
	r = server_listen(v, e);
	if (r < 0) {
		/* What was on record a device waits for: the next process tries again. */
		if (!known)
			unlinkat(s->dir_fd, file, 0);
		return r;
	}
	s->nr++;
	return 0;
}

/* Tells it, and its group; it is reaped here. */
static void server_end(struct server *v)
{
	int64_t deadline_ms = clock_deadline_ms(SERVER_STOP_MS);

	if (!v->pid)
		return;
	/* Itself too: it may not have made its group yet. */
	kill(v->pid, SIGTERM);
	kill(-v->pid, SIGTERM);
	while (clock_left_ms(deadline_ms)) {
		if (waitpid(v->pid, NULL, WNOHANG) == v->pid) {
			v->pid = 0;
			return;
		}
		clock_sleep_ms(SERVER_STEP_MS);
	}
	log_warning("the server of image %s does not end: it is killed", v->image);
	kill(v->pid, SIGKILL);
	kill(-v->pid, SIGKILL);
	waitpid(v->pid, NULL, 0);
	v->pid = 0;
}

int servers_remove(struct servers *s, const char *image, struct err *e)
{
	struct server *v = servers_find(s, image);
	char file[SERVER_FILE_SIZE];

	if (!v)
		return 0;
	server_record(image, file);
	if (unlinkat(s->dir_fd, file, 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "cannot take image %s from the record", image);
	unlinkat(s->dir_fd, server_id(image), 0);
	close_fdp(&v->listen_fd);
	server_end(v);
	*v = s->all[--s->nr];
	return 0;
}

void servers_ended(struct servers *s, pid_t pid)
{
	int64_t now_ms = clock_now_ms();

	for (size_t i = 0; i < s->nr; i++) {
		struct server *v = &s->all[i];

		if (v->pid != pid)
			continue;
		v->pid = 0;
		v->again_ms = now_ms - v->started_ms < SERVER_SHORT_MS ? now_ms + SERVER_PAUSE_MS
								       : now_ms;
		log_warning("the server of image %s has ended: it is started again", v->image);
		return;
	}
}

int servers_start(struct servers *s)
{
	int64_t now_ms = clock_now_ms(), next_ms = INT64_MAX;

	for (size_t i = 0; i < s->nr; i++) {
		struct server *v = &s->all[i];

		if (v->pid)
			continue;
		if (v->again_ms <= now_ms) {
			v->started_ms = now_ms;
			v->pid = program_serve(s->program, v->image, v->listen_fd);
			if (v->pid > 0)
				continue;
			log_error("cannot start the server of image %s: %s", v->image,
				  strerror((int)-v->pid));
			v->pid = 0;
			v->again_ms = now_ms + SERVER_PAUSE_MS;
		}
		if (v->again_ms < next_ms)
			next_ms = v->again_ms;
	}
	return clock_left_ms(next_ms);
}

/* A record that was read back: as it is written, or it is nobody's. */
static void servers_adopt(struct servers *s, const char *file)
{
	char image[SERVER_IMAGE_SIZE + 1], again[SERVER_FILE_SIZE];
	struct err e = { "" };
	ssize_t n = readlinkat(s->dir_fd, file, image, sizeof(image) - 1);

	if (n <= POOL_ID_LENGTH || n >= SERVER_IMAGE_SIZE)
		return;
	image[n] = '\0';
	server_record(image, again);
	if (strcmp(file, again))
		return;
	if (servers_add(s, image, &e) < 0)
		log_warning("%s", e.text);
}

int servers_begin(struct servers *s, struct err *e)
{
	auto_close int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir)
		return err_sys(e, errno, "cannot read the record of what is served");
	fd_take(&fd);
	while ((d = readdir(dir))) {
		size_t n = strlen(d->d_name);

		if (n > strlen(SERVER_RECORD) &&
		    !strcmp(d->d_name + n - strlen(SERVER_RECORD), SERVER_RECORD))
			servers_adopt(s, d->d_name);
	}
	return 0;
}
