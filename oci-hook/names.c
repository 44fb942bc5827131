/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/names.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "oci-hook/auto_json.h"

#define NAMES_FILE_MAX (8 << 20)

struct names_found {
	const char *name;
	char id[WIRE_CONTAINER_SIZE];
	size_t nr;
	char all[160]; /* their IDs, for people */
};

static void found_add(struct names_found *f, const char *engine, const char *id)
{
	size_t n = strlen(f->all);

	if (!text_name_ok(id, sizeof(f->id) - 1) || (f->nr && !strcmp(f->id, id)))
		return;
	if (!f->nr++)
		text_copy(f->id, sizeof(f->id), id);
	snprintf(f->all + n, sizeof(f->all) - n, "%s%.12s (%s)", n ? ", " : "", id, engine);
}

/* containers/storage: [ { "id": ID, "names": [ NAME... ] }... ] */
static void read_storage(struct names_found *f, const char *engine, const char *text)
{
	auto_json struct json_object *list = json_tokener_parse(text);
	size_t nr = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < nr; i++) {
		struct json_object *one = json_object_array_get_idx(list, i), *names;
		const char *id;

		if (!json_object_is_type(one, json_type_object))
			continue;
		id = auto_json_text(one, "id");
		if (!id || !json_object_object_get_ex(one, "names", &names) ||
		    !json_object_is_type(names, json_type_array))
			continue;
		for (size_t k = 0; k < json_object_array_length(names); k++) {
			const char *name =
				json_object_get_string(json_object_array_get_idx(names, k));

			if (name && !strcmp(name, f->name))
				found_add(f, engine, id);
		}
	}
}

/* Docker: { "ID": ID, "Name": "/NAME" } */
static void read_docker(struct names_found *f, const char *engine, const char *text)
{
	auto_json struct json_object *one = json_tokener_parse(text);
	const char *id, *name;

	if (!json_object_is_type(one, json_type_object))
		return;
	id = auto_json_text(one, "ID");
	name = auto_json_text(one, "Name");
	if (id && name && !strcmp(name + (*name == '/'), f->name))
		found_add(f, engine, id);
}

/* nerdctl: the file has the name, and the ID is in it. */
static void read_nerdctl(struct names_found *f, const char *engine, const char *text)
{
	char id[WIRE_CONTAINER_SIZE];

	snprintf(id, sizeof(id), "%.*s", (int)strcspn(text, "\n"), text);
	found_add(f, engine, id);
}

static const struct {
	const char *engine;
	const char *pattern; /* below the directory where root's data are, or a user's */
	bool named;	     /* the name follows */
	void (*read)(struct names_found *f, const char *engine, const char *text);
} places[] = {
	{ "podman", "containers/storage/*-containers/*containers.json", false, read_storage },
	{ "docker", "docker/containers/*/config.v2.json", false, read_docker },
	{ "nerdctl", "nerdctl/*/names/*/", true, read_nerdctl },
};

/* NULL: it cannot be read, is too large, or is somebody else's. */
static char *file_read(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	auto_free char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > NAMES_FILE_MAX ||
	    (st.st_uid != 0 && st.st_uid != geteuid()))
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return NULL;
	n = read(fd, text, (size_t)st.st_size);
	if (n < 0)
		return NULL;
	text[n] = '\0';
	return ptr_take(text);
}

static void names_look(struct names_found *f, const char *data)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char pattern[PATH_MAX];
		glob_t paths;

		if (snprintf(pattern, sizeof(pattern), "%s/%s%s", data, places[i].pattern,
			     places[i].named ? f->name : "") >= (int)sizeof(pattern) ||
		    glob(pattern, GLOB_NOSORT, NULL, &paths) != 0)
			continue;
		for (size_t k = 0; k < paths.gl_pathc; k++) {
			auto_free char *text = file_read(paths.gl_pathv[k]);

			if (text)
				places[i].read(f, places[i].engine, text);
		}
		globfree(&paths);
	}
}

int names_find_below(char ret_id[WIRE_CONTAINER_SIZE], const char *root, const char *data_home,
		     const char *name, struct err *e)
{
	struct names_found f = { .name = name };
	char data[PATH_MAX];

	/* It becomes a part of a pattern. */
	if (!text_name_ok(name, WIRE_CONTAINER_SIZE - 1))
		return err_set(e, ENOENT, "no container can have this name");
	snprintf(data, sizeof(data), "%s/var/lib", root);
	names_look(&f, data);
	if (data_home)
		names_look(&f, data_home);
	if (!f.nr)
		return err_set(e, ENOENT, "no engine has a container named %.60s", name);
	if (f.nr > 1)
		return err_set(e, ENOTUNIQ, "several containers are named %.60s: %s", name, f.all);
	memcpy(ret_id, f.id, sizeof(f.id));
	return 0;
}

int names_find(char ret_id[WIRE_CONTAINER_SIZE], const char *name, struct err *e)
{
	const char *data_home = secure_getenv("XDG_DATA_HOME"), *home = secure_getenv("HOME");
	char usual[PATH_MAX];

	if ((!data_home || *data_home != '/') && home && *home == '/' &&
	    snprintf(usual, sizeof(usual), "%s/.local/share", home) < (int)sizeof(usual))
		data_home = usual;
	else if (data_home && *data_home != '/')
		data_home = NULL;
	return names_find_below(ret_id, "", data_home, name, e);
}
