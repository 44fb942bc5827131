/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/sandbox.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci-hook/quote.h"

#define SANDBOX_LINE_SIZE 512
#define SANDBOX_ENTRIES_MAX 256

static void add_number_line(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_int64(strtoll(value, NULL, 10)));
}

static void add_bool_line(struct json_object *o, const char *key, const char *value)
{
	show_add_bool(o, key, *value == '1');
}

/* "1000 1000 1000 1000": real, effective, saved, filesystem. */
static void add_ids_line(struct json_object *o, const char *key, const char *value)
{
	struct json_object *ids = json_object_new_array();
	char *end;

	for (;;) {
		unsigned long id = strtoul(value, &end, 10);

		if (end == value)
			break;
		json_object_array_add(ids, json_object_new_int64((int64_t)id));
		value = end;
	}
	json_object_object_add(o, key, ids);
}

/* Lines of /proc/PID/status; those of "capabilities" go into an object of that name. */
static const struct {
	const char *line;
	const char *group; /* NULL: the worker itself */
	const char *key;
	void (*add)(struct json_object *o, const char *key, const char *value);
} status_lines[] = {
	{ "Uid:", NULL, "uids", add_ids_line },
	{ "Gid:", NULL, "gids", add_ids_line },
	{ "Groups:", NULL, "groups", add_ids_line },
	{ "Threads:", NULL, "threads", add_number_line },
	{ "Seccomp:", NULL, "seccomp", add_number_line },
	{ "Seccomp_filters:", NULL, "seccomp_filters", add_number_line },
	{ "NoNewPrivs:", NULL, "no_new_privs", add_bool_line },
	{ "CapInh:", "capabilities", "inheritable", show_add_text },
	{ "CapPrm:", "capabilities", "permitted", show_add_text },
	{ "CapEff:", "capabilities", "effective", show_add_text },
	{ "CapBnd:", "capabilities", "bounding", show_add_text },
	{ "CapAmb:", "capabilities", "ambient", show_add_text },
};

static const char *const namespaces[] = { "mnt", "net", "pid", "user", "ipc", "uts", "cgroup" };

static struct json_object *object_at(struct json_object *o, const char *key)
{
	struct json_object *at;

	if (json_object_object_get_ex(o, key, &at))
		return at;
	at = json_object_new_object();
	json_object_object_add(o, key, at);
	return at;
}

/* A file of the process, NULL if one may not read it. */
static FILE *open_process_file(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return fopen(path, "re");
}

/* Its next line; false at the end, and where there is no file. */
static bool read_line(FILE *f, char line[SANDBOX_LINE_SIZE])
{
	if (!f || !fgets(line, SANDBOX_LINE_SIZE, f))
		return false;
	line[strcspn(line, "\n")] = '\0';
	return true;
}

/* name: "status", or that of one of its threads. */
static void add_status(struct json_object *worker, pid_t pid, const char *name)
{
	auto_fclose FILE *f = open_process_file(pid, name);
	char line[SANDBOX_LINE_SIZE];

	while (read_line(f, line)) {
		for (size_t i = 0; i < ARRAY_SIZE(status_lines); i++) {
			const char *value = line + strlen(status_lines[i].line);

			if (strncmp(line, status_lines[i].line, strlen(status_lines[i].line)) != 0)
				continue;
			while (isspace((unsigned char)*value))
				value++;
			status_lines[i].add(status_lines[i].group
						    ? object_at(worker, status_lines[i].group)
						    : worker,
					    status_lines[i].key, value);
		}
	}
}

/*
 * How many threads are not as the first, whose walls the keys are about; those that
 * the kernel makes for a ring are among them. Null if one may not know.
 */
static void add_unlike_threads(struct json_object *worker, pid_t pid)
{
	auto_json struct json_object *first = json_object_new_object();
	auto_closedir DIR *dir = NULL;
	uint64_t nr = 0, unlike = 0;
	struct dirent *d;
	char name[SANDBOX_LINE_SIZE];

	snprintf(name, sizeof(name), "/proc/%d/task", pid);
	dir = opendir(name);
	add_status(first, pid, "status");
	json_object_object_del(first, "threads"); /* may change meanwhile */
	while (dir && (d = readdir(dir))) {
		auto_json struct json_object *other = json_object_new_object();

		if (*d->d_name == '.')
			continue;
		snprintf(name, sizeof(name), "task/%s/status", d->d_name);
		add_status(other, pid, name);
		json_object_object_del(other, "threads");
		/* One that has ended meanwhile has no lines. */
		nr += json_object_object_length(other) > 0;
		unlike += json_object_object_length(other) > 0 && !json_object_equal(first, other);
	}
	if (nr)
		show_add_number(worker, "unlike_threads", unlike);
	else
		json_object_object_add(worker, "unlike_threads", NULL);
}

/* The effective one is what "worker.uid" says from here on: the kernel's word, not the helper's. */
static void add_effective_uid(struct json_object *worker)
{
	struct json_object *uids;

	if (json_object_object_get_ex(worker, "uids", &uids) && json_object_array_length(uids) > 1)
		json_object_object_add(worker, "uid",
				       json_object_get(json_object_array_get_idx(uids, 1)));
}

/* Inode of a namespace, 0 if one may not know. */
static uint64_t namespace_inode(const char *process, const char *name)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/ns/%s", process, name);
	return stat(path, &st) < 0 ? 0 : st.st_ino;
}

/* How many other workers are in this namespace. */
static unsigned int namespace_sharers(uint64_t inode, const char *name, pid_t pid,
				      const struct client_devices *all)
{
	unsigned int n = 0;
	char process[16];

	for (size_t i = 0; i < all->nr; i++) {
		if (all->rows[i].worker_pid <= 0 || all->rows[i].worker_pid == pid)
			continue;
		snprintf(process, sizeof(process), "%d", all->rows[i].worker_pid);
		n += namespace_inode(process, name) == inode;
	}
	return n;
}

static void add_namespaces(struct json_object *worker, pid_t pid, const struct client_devices *all)
{
	struct json_object *list = object_at(worker, "namespaces");
	char process[16];

	snprintf(process, sizeof(process), "%d", pid);
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		uint64_t host = namespace_inode("1", namespaces[i]);
		uint64_t inode = namespace_inode(process, namespaces[i]);
		struct json_object *o = NULL;

		if (!host)
			host = namespace_inode("self", namespaces[i]);
		if (inode) {
			o = json_object_new_object();
			show_add_number(o, "inode", inode);
			show_add_bool(o, "host", inode == host);
			show_add_number(o, "other_workers",
					namespace_sharers(inode, namespaces[i], pid, all));
		}
		json_object_object_add(list, namespaces[i], o);
	}
}

/* First line of a file of the process, or null. */
static void add_file(struct json_object *worker, const char *key, pid_t pid, const char *name)
{
	auto_fclose FILE *f = open_process_file(pid, name);
	char line[SANDBOX_LINE_SIZE];

	if (read_line(f, line))
		add_number_line(worker, key, line);
	else
		json_object_object_add(worker, key, NULL);
}

/* In the hierarchy of version 2, whose line begins with "0::"; others may come before it. */
static void add_cgroup(struct json_object *worker, pid_t pid)
{
	auto_fclose FILE *f = open_process_file(pid, "cgroup");
	char line[SANDBOX_LINE_SIZE];

	while (read_line(f, line)) {
		if (!strncmp(line, "0::", 3)) {
			show_add_text(worker, "cgroup", line + 3);
			return;
		}
	}
	json_object_object_add(worker, "cgroup", NULL);
}

/* Names in a directory of the process, or null; with links also where each leads. */
static void add_directory(struct json_object *worker, const char *key, pid_t pid, const char *name,
			  bool links)
{
	auto_closedir DIR *dir = NULL;
	struct json_object *list;
	struct dirent *d;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	dir = opendir(path);
	list = dir ? json_object_new_array() : NULL;
	while (dir && (d = readdir(dir)) && json_object_array_length(list) < SANDBOX_ENTRIES_MAX) {
		char link[SANDBOX_LINE_SIZE] = "", entry[2 * SANDBOX_LINE_SIZE];
		char clean[2 * SANDBOX_LINE_SIZE];
		ssize_t n;

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		if (links) {
			n = readlinkat(dirfd(dir), d->d_name, link, sizeof(link) - 1);
			link[n < 0 ? 0 : n] = '\0';
		}
		snprintf(entry, sizeof(entry), "%s%s%s", d->d_name, links ? ":" : "", link);
		quote_text(clean, sizeof(clean), entry);
		json_object_array_add(list, json_object_new_string(clean));
	}
	json_object_object_add(worker, key, list);
}

/* Lines of /proc/PID/limits: the hard limit, which is the one that holds. */
static const struct {
	const char *line;
	const char *key;
} limit_lines[] = {
	{ "Max file size ", "file_size_bytes" },  { "Max core file size ", "core_bytes" },
	{ "Max locked memory ", "locked_bytes" }, { "Max open files ", "open_files" },
	{ "Max processes ", "processes" },
};

static void add_limit(struct json_object *limits, const char *key, const char *values)
{
	char soft[32], hard[32];

	if (sscanf(values, "%31s %31s", soft, hard) != 2)
		return;
	if (isdigit((unsigned char)*hard))
		show_add_number(limits, key, strtoull(hard, NULL, 10));
	else
		show_add_text(limits, key, hard);
}

static void add_limits(struct json_object *worker, pid_t pid)
{
	struct json_object *limits = object_at(worker, "limits");
	auto_fclose FILE *f = open_process_file(pid, "limits");
	char line[SANDBOX_LINE_SIZE];

	while (read_line(f, line)) {
		for (size_t i = 0; i < ARRAY_SIZE(limit_lines); i++) {
			size_t n = strlen(limit_lines[i].line);

			if (!strncmp(line, limit_lines[i].line, n))
				add_limit(limits, limit_lines[i].key, line + n);
		}
	}
}

/* What it may make the kernel spend: memory.max of its cgroup, which add_cgroup() has put there. */
static void add_memory_limit(struct json_object *worker)
{
	const char *cgroup = json_object_get_string(json_object_object_get(worker, "cgroup"));
	struct json_object *limits = object_at(worker, "limits");
	char path[PATH_MAX], text[32] = "";
	auto_fclose FILE *f = NULL;

	/* Beside version 1 it would be below unified/, where there is no such file. */
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", cgroup ? cgroup : "");
	f = cgroup ? fopen(path, "re") : NULL;
	if (!f || !fgets(text, sizeof(text), f))
		json_object_object_add(limits, "memory_bytes", NULL);
	else if (isdigit((unsigned char)*text))
		show_add_number(limits, "memory_bytes", strtoull(text, NULL, 10));
	else
		show_add_text(limits, "memory_bytes", "unlimited");
}

/* How many lines, or bytes, a file of the process has; null if one may not know. */
static void add_count(struct json_object *worker, const char *key, pid_t pid, const char *name,
		      bool lines)
{
	auto_fclose FILE *f = open_process_file(pid, name);
	uint64_t n = 0;
	int c;

	while (f && (c = getc(f)) != EOF)
		n += !lines || c == '\n';
	if (f && !ferror(f))
		show_add_number(worker, key, n);
	else
		json_object_object_add(worker, key, NULL);
}

/* The files in /proc of a process that is not dumpable belong to root. */
static void add_dumpable(struct json_object *worker, pid_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (stat(path, &st) < 0)
		json_object_object_add(worker, "dumpable", NULL);
	else
		show_add_bool(worker, "dumpable", st.st_uid != 0 || st.st_gid != 0);
}

void sandbox_add(struct json_object *worker, pid_t pid, const struct client_devices *all)
{
	add_status(worker, pid, "status");
	add_unlike_threads(worker, pid);
	add_effective_uid(worker);
	add_namespaces(worker, pid, all);
	add_limits(worker, pid);
	add_dumpable(worker, pid);
	add_count(worker, "mounts", pid, "mountinfo", true);
	add_count(worker, "environment_bytes", pid, "environ", false);
	add_directory(worker, "root", pid, "root", false);
	add_directory(worker, "fds", pid, "fd", true);
	add_file(worker, "oom_score_adj", pid, "oom_score_adj");
	add_cgroup(worker, pid);
	add_memory_limit(worker);
}
