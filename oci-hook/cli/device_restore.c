/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/device_restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "oci-hook/auto_json.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/keys_check.h"
#include "oci-hook/quote.h"

#define RESTORE_DIR "/var/lib/ublk-oci/devices"
#define RESTORE_FILE_MAX 4096

static const struct cli_page restore_page = {
	.command = "device restore",
	.synopsis = "device restore",
	.about = "Makes again the devices that were made ahead, after the machine was started:\n"
		 "each as the user who had it made. Only root may.",
};

/* What was written down of one; of root's, by the helper. */
struct restore {
	char name[TEXT_DEVICE_NAME_MAX + 1];
	uid_t uid;
	gid_t gid;
	struct attach_options keys;
};

static int restore_read(int dir_fd, const char *file, char text[RESTORE_FILE_MAX], struct err *e)
{
	auto_close int fd = openat(dir_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot open it");
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, EPERM, "it is not a file that only root may write");
	n = read(fd, text, RESTORE_FILE_MAX - 1);
	if (n < 0)
		return err_sys(e, errno, "cannot read it");
	text[n] = '\0';
	return 0;
}

static int restore_id(struct json_object *o, const char *key, uint32_t *ret)
{
	struct json_object *value;
	int64_t id;

	if (!json_object_object_get_ex(o, key, &value) ||
	    !json_object_is_type(value, json_type_int))
		return -EINVAL;
	id = json_object_get_int64(value);
	if (id < 0 || id >= UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)id;
	return 0;
}

static int restore_parse(struct restore *r, const char *text, struct err *e)
{
	auto_json struct json_object *o = json_tokener_parse(text);
	struct json_object *name, *keys;
	int ret;

	if (!json_object_is_type(o, json_type_object) || restore_id(o, "uid", &r->uid) < 0 ||
	    restore_id(o, "gid", &r->gid) < 0 || !json_object_object_get_ex(o, "name", &name) ||
	    !json_object_object_get_ex(o, "keys", &keys) ||
	    text_copy(r->name, sizeof(r->name), json_object_get_string(name)) < 0)
		return err_set(e, EINVAL, "it does not say what the device is");
	keys_init(&r->keys);
	ret = keys_parse(&r->keys, json_object_get_string(keys), e);
	if (ret == 0)
		ret = device_set_name(&r->keys, r->name, e);
	return ret < 0 ? ret : keys_check(&r->keys, false, e);
}

/* Files are opened, and the helper is asked, with no more rights than when it was made. */
static int restore_become(const struct restore *r, struct err *e)
{
	struct passwd *pw = getpwuid(r->uid);

	if (r->uid == 0)
		return 0;
	if (!pw)
		return err_set(e, ENOENT, "there is no user %u any more, who had it made", r->uid);
	if (initgroups(pw->pw_name, r->gid) < 0 || setresgid(r->gid, r->gid, r->gid) < 0 ||
	    setresuid(r->uid, r->uid, r->uid) < 0)
		return err_sys(e, errno, "cannot become uid %u, who had it made", r->uid);
	return 0;
}

static int restore_say(const char *name, const struct err *e)
{
	struct err line = *e;
	char word[QUOTE_SIZE];

	err_prefix(&line, -1, "%s", quote_text(word, sizeof(word), name));
	return cli_fail(&restore_page, &line);
}

/* In a process of its own: what it becomes it stays. */
static int restore_run(const struct restore *r)
{
	struct wire_reply reply = { 0 };
	char words[WIRE_REASON_SIZE];
	struct err e;

	if (restore_become(r, &e) < 0 || device_make(&r->keys, &reply, &e) < 0)
		return restore_say(r->name, &e);
	printf("%s is ublkb%" PRIu32 "%s\n", r->name, reply.dev_id,
	       r->keys.target == TARGET_MEMORY ? ", and empty: target memory keeps nothing" : "");
	if (*reply.reason)
		fprintf(stderr, CLI_NAME ": device restore: warning: %s\n",
			quote_text(words, sizeof(words), reply.reason));
	return fflush(stdout) ? CLI_FAILED : CLI_DONE;
}

static int restore_one(int dir_fd, const char *file)
{
	auto_free struct restore *r = calloc(1, sizeof(*r));
	char text[RESTORE_FILE_MAX];
	struct err e;
	int status;
	pid_t pid;

	if (!r)
		return CLI_FAILED;
	if (restore_read(dir_fd, file, text, &e) < 0 || restore_parse(r, text, &e) < 0)
		return restore_say(file, &e);
	pid = fork();
	if (pid == 0)
		_exit(restore_run(r));
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		err_sys(&e, errno, "cannot make a process for it");
		return restore_say(r->name, &e);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : CLI_FAILED;
}

static int restore_is_file(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return entry->d_name[0] != '.' && n > 5 && !strcmp(entry->d_name + n - 5, ".json");
}

static int restore_all(struct err *e)
{
	auto_close int dir_fd = open(RESTORE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent **files;
	int nr, status = CLI_DONE;

	if (dir_fd < 0 && errno == ENOENT)
		return CLI_DONE; /* nothing was ever made */
	nr = dir_fd < 0 ? -1 : scandirat(dir_fd, ".", &files, restore_is_file, alphasort);
	if (nr < 0)
		return err_sys(e, errno, "cannot read " RESTORE_DIR);
	for (int i = 0; i < nr; i++) {
		if (restore_one(dir_fd, files[i]->d_name) != CLI_DONE)
			status = CLI_FAILED;
		free(files[i]);
	}
	free(files);
	return status;
}

int device_restore(int argc, char **argv)
{
	int r, status = CLI_DONE;
	struct err e;

	if (cli_next(&restore_page, argc, argv, &status) != 0)
		return status;
	if (optind < argc)
		return cli_misuse(&restore_page, "there is one word too many");
	r = restore_all(&e);
	return r < 0 ? cli_fail(&restore_page, &e) : r;
}
