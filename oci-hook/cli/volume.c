/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/progress.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/keys.h"
#include "oci-hook/quote.h"
#include "oci-hook/volumes.h"

/* What stands behind the options. */
enum volume_word {
	WORD_END,
	WORD_NAME,  /* the volume it is about */
	WORD_FROM,  /* one it is made of */
	WORD_IMAGE, /* a file it is made of */
	WORD_FILE,  /* one that is made of it */
};

#define VOLUME_WORDS_MAX 2

struct volume_command {
	const char *name;
	enum store_type type;
	const char *synopsis;
	const char *about;
	const char *options; /* their letters, in volume_options */
	enum volume_word words[VOLUME_WORDS_MAX + 1];
	bool needs_size;
};

static const struct cli_option volume_options[] = {
	{ "size", "BYTES", 's', "its size; suffixes K, M, G, T" },
	{ "pool", "NAME", 'p', "where it is kept; default: the policy's first pool" },
	{ "from", "IMAGE", 'f', "filled from a raw image, a file or a block device" },
	{ "clone", "VOLUME", 'c', "a copy of that volume" },
	{ "snapshot", "VOLUME", 'S', "a copy of that snapshot, to be written" },
	{ "fs", "ext4|xfs|btrfs", 'F', "with this file system in it; for an empty one" },
	{ "wipe", NULL, 'w', "write zeroes over its data" },
	{ "read-only", NULL, 'r', "nobody may write it while it is attached" },
	{ "json", NULL, 'j', "the result as JSON" },
};

static const struct volume_command volume_commands[] = {
	{ "create",
	  STORE_CREATE,
	  "volume create NAME --size BYTES [--pool POOL] [--fs ext4|xfs|btrfs]\n"
	  "volume create NAME --from IMAGE|--clone VOLUME|--snapshot VOLUME [OPTION]...",
	  "makes a volume",
	  "spfcSFj",
	  { WORD_NAME } },
	{ "list", STORE_LIST, "volume list [--json]", "lists volumes", "j", { WORD_END } },
	{ "room",
	  STORE_CAPACITY,
	  "volume room [--pool POOL] [--json]",
	  "says what a pool has left for volumes of yours",
	  "pj",
	  { WORD_END } },
	{ "inspect",
	  STORE_INSPECT,
	  "volume inspect NAME [--json]",
	  "shows one",
	  "j",
	  { WORD_NAME } },
	{ "resize",
	  STORE_RESIZE,
	  "volume resize NAME --size BYTES",
	  "makes one larger",
	  "sj",
	  { WORD_NAME },
	  true },
	{ "snapshot",
	  STORE_SNAPSHOT,
	  "volume snapshot VOLUME NAME [--pool POOL]",
	  "keeps what a volume holds now, read-only, under another name",
	  "pj",
	  { WORD_FROM, WORD_NAME } },
	{ "clone",
	  STORE_CREATE,
	  "volume clone VOLUME NAME [OPTION]...",
	  "copies a volume or a snapshot",
	  "spj",
	  { WORD_FROM, WORD_NAME } },
	{ "import",
	  STORE_CREATE,
	  "volume import IMAGE NAME [OPTION]...",
	  "makes a volume of a raw image",
	  "spj",
	  { WORD_IMAGE, WORD_NAME } },
	{ "export",
	  STORE_EXPORT,
	  "volume export NAME FILE",
	  "writes a volume to a new file, as a raw image",
	  "",
	  { WORD_NAME, WORD_FILE } },
	{ "delete",
	  STORE_DELETE,
	  "volume delete NAME [--wipe]",
	  "removes one, with its data",
	  "w",
	  { WORD_NAME } },
	{ "format",
	  STORE_FORMAT,
	  "volume format NAME --fs ext4|xfs|btrfs",
	  "makes a file system in one that is blank",
	  "Fj",
	  { WORD_NAME } },
	{ "check",
	  STORE_CHECK,
	  "volume check NAME",
	  "checks the file system in one, and mends what is safe to mend",
	  "j",
	  { WORD_NAME } },
	{ "attach",
	  STORE_ATTACH,
	  "volume attach NAME [--read-only]",
	  "makes it a device, which a container can claim",
	  "rj",
	  { WORD_NAME } },
	{ "detach", STORE_DETACH, "volume detach NAME", "ends that", "", { WORD_NAME } },
};

struct volume_ask {
	const struct volume_command *command;
	struct volumes_call call;
	const char *image;
	const char *file;
	bool json;
};

/* --- options ------------------------------------------------------------------------------ */

static int ask_set_size(struct volume_ask *a, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	if (num_parse_size(value, &a->call.ask.size_bytes) < 0 || !a->call.ask.size_bytes)
		return err_set(e, EINVAL, "\"%s\" is not a size; write 64M or 10G",
			       quote_text(word, sizeof(word), value));
	return 0;
}

static int ask_set_from(struct volume_ask *a, const char *value, struct err *e)
{
	if (*a->call.ask.from || a->image)
		return err_set(e, EINVAL, "one of --from, --clone and --snapshot is enough");
	return volumes_set_name(a->call.ask.from, value, e);
}

static int ask_set(struct volume_ask *a, int code, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	if (code == 's')
		return ask_set_size(a, value, e);
	if (code == 'c' || code == 'S')
		return ask_set_from(a, value, e);
	if (code == 'f' && (*a->call.ask.from || a->image))
		return ask_set_from(a, value, e);
	if (code == 'p' && text_copy(a->call.ask.pool, sizeof(a->call.ask.pool), value) < 0)
		return err_set(e, ENAMETOOLONG, "\"%s\" is too long for a pool's name",
			       quote_text(word, sizeof(word), value));
	if (code == 'F') {
		a->call.ask.filesystem = catalog_find_filesystem(value);
		if (!a->call.ask.filesystem)
			return err_set(e, EINVAL, "\"%s\" is none of: %s",
				       quote_text(word, sizeof(word), value),
				       catalog_key(KEY_FS)->value);
	}
	if (code == 'f')
		a->image = value;
	if (code == 'w')
		a->call.ask.flags |= STORE_WIPE;
	if (code == 'r')
		a->call.ask.device_flags |= WIRE_READ_ONLY;
	a->json |= code == 'j';
	return 0;
}

static int ask_set_words(struct volume_ask *a, int nr, char **words, struct err *e)
{
	int i = 0, r = 0;

	for (; i < nr && a->command->words[i] != WORD_END && r == 0; i++) {
		switch (a->command->words[i]) {
		case WORD_NAME:
			r = volumes_set_name(a->call.ask.name, words[i], e);
			break;
		case WORD_FROM:
			r = volumes_set_name(a->call.ask.from, words[i], e);
			break;
		case WORD_IMAGE:
			a->image = words[i];
			break;
		case WORD_FILE:
			a->file = words[i];
			break;
		case WORD_END:
			break;
		}
	}
	if (r < 0)
		return r;
	if (i < nr || a->command->words[i] != WORD_END)
		return err_set(e, EINVAL, "there is a word too %s", i < nr ? "many" : "few");
	if (a->command->needs_size && !a->call.ask.size_bytes)
		return err_set(e, EINVAL, "--size is needed");
	if (a->command->type == STORE_FORMAT && !a->call.ask.filesystem)
		return err_set(e, EINVAL, "--fs is needed");
	return 0;
}

/* The page of one command, with the options it takes. */
static void page_make(const struct volume_command *command, char name[32],
		      struct cli_option options[ARRAY_SIZE(volume_options)], struct cli_page *ret)
{
	size_t nr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(volume_options); i++) {
		if (strchr(command->options, volume_options[i].code))
			options[nr++] = volume_options[i];
	}
	snprintf(name, 32, "volume %s", command->name);
	*ret = (struct cli_page){
		.command = name,
		.synopsis = command->synopsis,
		.about = command->about,
		.options = options,
		.nr_options = nr,
	};
}

static int ask_parse(struct volume_ask *a, const struct cli_page *page, int argc, char **argv,
		     bool *ret_leave)
{
	int c, r = 0, status = CLI_DONE;
	struct err e;

	*ret_leave = true;
	while (r == 0 && (c = cli_next(page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		r = ask_set(a, c, optarg, &e);
	}
	if (r == 0)
		r = ask_set_words(a, argc - optind, argv + optind, &e);
	if (r < 0)
		return cli_misuse(page, "%s", e.text);
	*ret_leave = false;
	return CLI_DONE;
}

/* --- files -------------------------------------------------------------------------------- */

/* A file without a name in the folder where it is to be: whoever is killed leaves none. */
static int export_open(const char *path, int *ret_fd, struct err *e)
{
	auto_free char *copy = strdup(path);
	int fd;

	if (!copy)
		return err_sys(e, ENOMEM, "cannot export");
	if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(e, EEXIST, "%s is there already", path);
	fd = open(dirname(copy), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_sys(e, errno, "cannot make a file beside %s", path);
	*ret_fd = fd;
	return 0;
}

static int export_name(int fd, const char *path, struct err *e)
{
	char from[32];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0)
		return err_sys(e, errno, "cannot give the file the name %s", path);
	return 0;
}

static int image_open(const char *path, int *ret_fd, struct err *e)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", path);
	*ret_fd = fd;
	return 0;
}

/* --- results ------------------------------------------------------------------------------ */

static struct json_object *row_json(const struct store_volume *v)
{
	struct json_object *o = json_object_new_object();
	char device[24] = "";

	if (v->flags & STORE_IS_ATTACHED)
		snprintf(device, sizeof(device), "ublkb%" PRIu32, v->dev_id);
	show_add_text(o, "name", v->name);
	show_add_text(o, "kind", v->flags & STORE_IS_SNAPSHOT ? "snapshot" : "volume");
	show_add_text(o, "pool", v->pool);
	show_add_text(o, "origin", v->origin);
	show_add_number(o, "size_bytes", v->size_bytes);
	show_add_number(o, "used_bytes", v->used_bytes);
	show_add_number(o, "owner_uid", v->owner_uid);
	show_add_number(o, "created", v->created);
	show_add_filesystem(o, v->filesystem);
	if (v->flags & STORE_IS_UNKNOWN)
		json_object_object_add(o, "attached", NULL);
	else
		show_add_bool(o, "attached", v->flags & STORE_IS_ATTACHED);
	show_add_text(o, "device", device);
	show_add_text(o, "access",
		      v->flags & STORE_IS_ATTACHED
			      ? show_access(v->flags & STORE_IS_READ_ONLY ? WIRE_READ_ONLY : 0)
			      : "");
	return o;
}

/* null: nobody looked. */
static void found_add(struct json_object *o, const struct store_found *found)
{
	static const char *const contents[] = {
		[STORE_CONTENT_UNKNOWN] = "unknown",
		[STORE_CONTENT_BLANK] = "blank",
		[STORE_CONTENT_USED] = NULL, /* by its type */
	};

	if (!found->content)
		json_object_object_add(o, "content", NULL);
	else
		show_add_text(o, "content", contents[found->content] ?: found->type);
	show_add_text(o, "content_label", found->label);
	show_add_text(o, "content_uuid", found->uuid);
	show_add_text(o, "content_reason", found->words);
}

static const char *const verdicts[] = {
	[STORE_NOT_CHECKED] = "not checked",
	[STORE_CLEAN] = "clean",
	[STORE_MENDED] = "mended",
	[STORE_DAMAGED] = "damaged",
};

static void rows_print(const struct volumes *v)
{
	char size[NUM_SIZE_TEXT], used[NUM_SIZE_TEXT], device[32];

	printf("%-24s %-12s %-9s %-8s %-10s %-8s %s\n", "NAME", "POOL", "KIND", "SIZE", "USED",
	       "OWNER", "ATTACHED");
	for (size_t i = 0; i < v->nr; i++) {
		const struct store_volume *row = &v->rows[i];

		snprintf(device, sizeof(device), "ublkb%" PRIu32 "%s", row->dev_id,
			 row->flags & STORE_IS_READ_ONLY ? " (ro)" : "");
		printf("%-24s %-12s %-9s %-8s %-10s %-8" PRIu32 " %s\n", row->name, row->pool,
		       row->flags & STORE_IS_SNAPSHOT ? "snapshot" : "volume",
		       num_format_size(row->size_bytes, size),
		       num_format_size(row->used_bytes, used), row->owner_uid,
		       row->flags & STORE_IS_UNKNOWN	? "?"
		       : row->flags & STORE_IS_ATTACHED ? device
							: "-");
	}
}

static void room_print(const struct store_room *room, bool json)
{
	auto_json struct json_object *o = json_object_new_object();
	char left[NUM_SIZE_TEXT], largest[NUM_SIZE_TEXT];

	show_add_text(o, "pool", room->pool);
	show_add_number(o, "room_bytes", room->room_bytes);
	show_add_number(o, "largest_bytes", room->largest_bytes);
	if (json)
		show_json_print(o);
	else
		printf("pool %s has room for %s; the largest volume: %s\n", room->pool,
		       num_format_size(room->room_bytes, left),
		       num_format_size(room->largest_bytes, largest));
}

static void result_print(const struct volume_ask *a, const struct volumes *v)
{
	auto_json struct json_object *o = NULL;

	if (a->command->type == STORE_CAPACITY) {
		room_print(&v->room, a->json);
		return;
	}
	if (a->command->type == STORE_LIST && !a->json) {
		rows_print(v);
		return;
	}
	if (a->command->type == STORE_LIST) {
		o = json_object_new_array();
		for (size_t i = 0; i < v->nr; i++)
			json_object_array_add(o, row_json(&v->rows[i]));
	} else if (v->nr) {
		o = row_json(&v->rows[0]);
		if (a->command->type == STORE_INSPECT || a->command->type == STORE_CHECK)
			found_add(o, &v->found);
		if (a->command->type == STORE_CHECK)
			show_add_text(o, "check", verdicts[v->found.verdict]);
	}
	if (o && a->json)
		show_json_print(o);
	else if (a->command->type == STORE_INSPECT && o)
		show_text_print(o);
	else if (a->command->type == STORE_CHECK && v->nr)
		printf("%s: %s, %s\n", v->rows[0].name, v->found.type, verdicts[v->found.verdict]);
	else if (a->command->type == STORE_ATTACH && v->nr)
		printf("%s is ublkb%" PRIu32 ", for --device ublk-oci.io/device=%s\n",
		       v->rows[0].name, v->rows[0].dev_id, v->rows[0].name);
}

/* --- all of them -------------------------------------------------------------------------- */

static int volume_ask(struct volume_ask *a, struct volumes *ret, struct err *e)
{
	auto_close int fd = -1;
	struct progress progress;
	int r = 0;

	if (a->image)
		r = image_open(a->image, &fd, e);
	else if (a->file)
		r = export_open(a->file, &fd, e);
	if (r < 0)
		return r;
	progress_begin(&progress);
	a->call.type = a->command->type;
	a->call.fd = fd;
	a->call.timeout_ms = -1;
	a->call.progress = progress_told;
	a->call.arg = &progress;
	r = volumes_call(&a->call, ret, e);
	progress_end(&progress);
	return r == 0 && a->file ? export_name(fd, a->file, e) : r;
}

static int volume_run(const struct volume_command *command, int argc, char **argv)
{
	struct cli_option options[ARRAY_SIZE(volume_options)];
	struct volume_ask a = { .command = command };
	auto_volumes struct volumes v = { 0 };
	char name[32], words[WIRE_REASON_SIZE];
	struct cli_page page;
	struct err e;
	bool leave;
	int status;

	page_make(command, name, options, &page);
	if (command->type == STORE_ATTACH)
		a.call.ask.mode = 0660;
	if (command->type == STORE_INSPECT)
		a.call.ask.flags |= STORE_LOOK;
	status = ask_parse(&a, &page, argc, argv, &leave);
	if (leave)
		return status;
	if (volume_ask(&a, &v, &e) < 0)
		return cli_fail(&page, &e);
	if (*v.warning)
		fprintf(stderr, CLI_NAME ": %s: warning: %s\n", name,
			quote_text(words, sizeof(words), v.warning));
	result_print(&a, &v);
	status = cli_end(&page);
	return v.found.verdict == STORE_DAMAGED ? CLI_FAILED : status;
}

static int volume_usage(FILE *to, int status)
{
	fputs("usage: " CLI_NAME " volume COMMAND [OPTION]...\n"
	      "Storage with a name, kept by the store.\n\n",
	      to);
	for (size_t i = 0; i < ARRAY_SIZE(volume_commands); i++)
		fprintf(to, "  %-10s %s\n", volume_commands[i].name, volume_commands[i].about);
	fputs("\n" CLI_NAME " volume COMMAND --help tells more.\n", to);
	return fflush(to) ? CLI_FAILED : status;
}

int volume_main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	for (size_t i = 0; i < ARRAY_SIZE(volume_commands); i++) {
		if (!strcmp(name, volume_commands[i].name))
			return volume_run(&volume_commands[i], argc - 1, argv + 1);
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		return volume_usage(stdout, CLI_DONE);
	return volume_usage(stderr, CLI_USAGE);
}
