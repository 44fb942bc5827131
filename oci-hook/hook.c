/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ublk-oci-hook: run by an OCI runtime with a container's state on stdin.
 *
 * Annotations are text of whoever may start containers. So what is read of
 * them is read by a process that has nothing: started by root it first becomes
 * the system user ublk-oci-hook, without capabilities, and that user is who
 * asks the helper.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "oci-hook/client.h"
#include "oci-hook/drop.h"
#include "oci-hook/keys.h"
#include "oci-hook/keys_check.h"
#include "oci-hook/keys_files.h"
#include "oci-hook/keys_set.h"
#include "oci-hook/oci_state.h"
#include "oci-hook/options.h"
#include "oci-hook/quote.h"
#include "oci-hook/volume_device.h"

#define HOOK_NAME "ublk-oci-hook"
#define HOOK_USER "ublk-oci-hook"
#define HOOK_TIMEOUT_MS 25000
#define HOOK_UNDO_MS 5000 /* kept back for taking away what was attached */
#define HOOK_GENERATION_DIGITS 16

enum hook_stage {
	HOOK_STAGE_NONE, /* as the state's status says */
	HOOK_STAGE_ATTACH,
	HOOK_STAGE_DETACH,
};

/* The device made ahead that the hook is about, as its arguments say; without, annotations say. */
struct hook_device {
	const char *name;    /* NULL: none */
	uint64_t generation; /* of that, and no other of this name */
};

struct hook {
	enum hook_stage stage;
	struct hook_device device;
	const char *engine;
	int config_fd; /* the bundle's config.json, or -1 */
	int64_t deadline_ms;
	bool bad_state;
	struct oci_state state;
};

static void hook_fini(struct hook *h)
{
	close_fdp(&h->config_fd);
	oci_state_fini(&h->state);
}

#define auto_hook cleanup_with(hook_fini)

static const struct {
	const char *name;
	enum hook_stage stage;
} hook_stages[] = {
	{ "prestart", HOOK_STAGE_ATTACH },
	{ "createRuntime", HOOK_STAGE_ATTACH },
	{ "poststop", HOOK_STAGE_DETACH },
};

/* No way back; nothing a stranger wrote was read before. */
static int hook_drop(struct err *e)
{
	int r;

	r = drop_is_real_root() ? drop_to_user(HOOK_USER, e) : 0;
	if (r == 0)
		r = drop_capabilities(e);
	return r < 0 ? r : drop_limits(HOOK_TIMEOUT_MS / 1000, e);
}

/* Runtimes start hooks in the bundle; its config.json may be readable for root only. */
static void hook_open_config(struct hook *h)
{
	struct stat st;

	h->config_fd =
		open("config.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (h->config_fd >= 0 && (fstat(h->config_fd, &st) < 0 || !S_ISREG(st.st_mode)))
		close_fdp(&h->config_fd);
}

/* All of fd, at most max bytes, until the deadline. */
static int read_all(int fd, size_t max, int64_t deadline_ms, char **ret, size_t *ret_size,
		    struct err *e)
{
	auto_free char *text = malloc(max + 1);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t size = 0;
	ssize_t n;
	int r;

	if (!text)
		return err_sys(e, ENOMEM, "cannot read it");
	for (;;) {
		r = poll(&p, 1, clock_left_ms(deadline_ms));
		if (!r)
			return err_set(e, ETIMEDOUT, "it did not come in time");
		n = r < 0 ? r : read(fd, text + size, max + 1 - size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "cannot read it");
		if (!n)
			break;
		size += (size_t)n;
		if (size > max)
			return err_set(e, E2BIG, "it is larger than %zu bytes", max);
	}
	*ret = ptr_take(text);
	*ret_size = size;
	return 0;
}

static int hook_read_state(struct hook *h, struct err *e)
{
	auto_free char *text = NULL;
	size_t size = 0;
	int r;

	r = read_all(STDIN_FILENO, OCI_STATE_MAX, h->deadline_ms, &text, &size, e);
	if (r < 0)
		return err_prefix(e, r, "the container's state");
	return oci_state_parse(&h->state, text, size, e);
}

static int hook_read_config(struct hook *h, struct err *e)
{
	auto_free char *text = NULL;
	size_t size = 0;
	int r;

	if (h->config_fd < 0)
		return 0;
	r = read_all(h->config_fd, OCI_CONFIG_MAX, h->deadline_ms, &text, &size, e);
	if (r < 0)
		return err_prefix(e, r, "config.json");
	return oci_config_parse(&h->state.devices, text, size, e);
}

/* One line: the words may be those of an annotation. Some runtimes drop stderr, so to syslog too.
 */
static void hook_say(const char *what, const char *words)
{
	char line[ERR_TEXT_SIZE * 2];

	quote_text(line, sizeof(line), words);
	fprintf(stderr, HOOK_NAME ": %s%s%s\n", what, *what ? ": " : "", line);
	syslog(LOG_DAEMON | LOG_ERR, "%s%s%s", what, *what ? ": " : "", line);
}

/* What an annotation asks for; its name gives the path if it names none. */
static int device_parse(struct attach_options *o, const struct oci_device *d, struct err *e)
{
	char path[WIRE_PATH_SIZE];
	int r;

	keys_init(o);
	r = keys_parse(o, d->keys, e);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/dev/%s", d->name);
	if (!o->given[KEY_PATH] && !o->given[KEY_MOUNT])
		r = keys_set(o, KEY_PATH, path, e);
	if (!r)
		r = keys_check(o, false, e);
	if (r < 0)
		return r;
	if (o->given[KEY_BACKING] && o->backing[0] != '/')
		return err_set(e, EINVAL, "backing must be a whole path, from / on");
	if (o->given[KEY_BASE] && o->base[0] != '/')
		return err_set(e, EINVAL, "base must be a whole path, from / on");
	return 0;
}

static int device_attach(const struct hook *h, const struct attach_options *o, int pidfd,
			 uint64_t *ret_generation, struct err *e)
{
	struct wire_attach req = { 0 };
	struct wire_reply reply = { 0 };
	struct keys_files files = KEYS_FILES_INIT;
	int r, left;

	r = keys_files_open(o, &files, e);
	if (r < 0)
		return r;
	keys_fill(o, false, &req);
	text_copy(req.container, sizeof(req.container), h->state.id);
	text_copy(req.engine, sizeof(req.engine), h->engine);
	left = clock_left_ms(h->deadline_ms) - HOOK_UNDO_MS;
	if (left <= 0) {
		keys_files_close(&files, false);
		return err_set(e, ETIMEDOUT, "no time is left for it");
	}
	if (o->given[KEY_VOLUME])
		r = volume_device_claim(o, h->state.id, h->engine, pidfd, left, &reply, e);
	else
		r = client_attach(&req, pidfd, files.fds, files.nr, left, &reply, NULL, e);
	keys_files_close(&files, r == 0);
	if (r < 0)
		return r;
	*ret_generation = reply.generation;
	if (*reply.reason)
		hook_say(o->path, reply.reason);
	return 0;
}

/*
 * The container will not be: take away what this run gave it. What there is no
 * time left for, the helper takes away when the container's process ends.
 */
static void attach_undo(const struct hook *h, const uint64_t *generations, size_t nr)
{
	while (nr-- && clock_left_ms(h->deadline_ms))
		client_detach(generations[nr], WIRE_DETACH_ENDED, clock_left_ms(h->deadline_ms),
			      NULL, NULL);
}

static int annotation_bad(const struct oci_device *d, int r, struct err *e)
{
	return err_prefix(e, r, "annotation " OCI_DEVICE_PREFIX "%s", d->name);
}

static int hook_attach(struct hook *h, struct err *e)
{
	auto_free struct attach_options *options = NULL;
	uint64_t generations[OCI_DEVICES_MAX];
	auto_close int pidfd = -1;
	size_t nr;
	int r;

	if (!h->state.devices.nr) {
		r = hook_read_config(h, e);
		if (r < 0 || !h->state.devices.nr)
			return r;
	}
	if (h->state.pid <= 0)
		return err_set(e, EINVAL, "the container's state has no pid");
	nr = h->state.devices.nr;
	options = calloc(nr, sizeof(*options));
	if (!options)
		return err_sys(e, ENOMEM, "cannot read the annotations");
	pidfd = (int)syscall(SYS_pidfd_open, h->state.pid, 0);
	if (pidfd < 0)
		return err_sys(e, errno, "cannot pin process %d of the container", h->state.pid);
	/* All of them are read before the first is asked for. */
	for (size_t i = 0; i < nr; i++) {
		r = device_parse(&options[i], &h->state.devices.rows[i], e);
		if (r < 0)
			return annotation_bad(&h->state.devices.rows[i], r, e);
	}
	for (size_t i = 0; i < nr; i++) {
		r = device_attach(h, &options[i], pidfd, &generations[i], e);
		if (r < 0) {
			attach_undo(h, generations, i);
			return annotation_bad(&h->state.devices.rows[i], r, e);
		}
	}
	return 0;
}

/* What a list of devices (CDI) asks for, which is root's and names device and generation. */
static int hook_claim(struct hook *h, struct err *e)
{
	struct wire_claim req = { .generation = h->device.generation };
	struct wire_reply reply = { 0 };
	auto_close int pidfd = -1;
	int r;

	if (h->state.pid <= 0)
		return err_set(e, EINVAL, "the container's state has no pid");
	pidfd = (int)syscall(SYS_pidfd_open, h->state.pid, 0);
	if (pidfd < 0)
		return err_sys(e, errno, "cannot pin process %d of the container", h->state.pid);
	text_copy(req.container, sizeof(req.container), h->state.id);
	text_copy(req.engine, sizeof(req.engine), h->engine);
	r = client_claim(&req, pidfd, clock_left_ms(h->deadline_ms) - HOOK_UNDO_MS, &reply, e);
	if (r < 0)
		return err_prefix(e, r, "device %s", h->device.name);
	if (*reply.reason)
		hook_say(h->device.name, reply.reason);
	return 0;
}

/*
 * Two engines may each have a container of this ID. One whose process lives is
 * not the one that ended; if a number was given away again, the helper, who
 * watches the process itself, detaches.
 */
static bool process_lives(pid_t pid)
{
	auto_fclose FILE *f = NULL;
	char path[32], state;

	if (pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	return !f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1 || !strchr("ZX", state);
}

static bool hook_is_about(const struct hook *h, const struct wire_device *d)
{
	return !h->device.name ||
	       (d->flags & WIRE_CLAIMED && !strcmp(d->path + strlen("/dev/"), h->device.name));
}

/* The container was the last to have them, or others have them still, or they are gone. */
static void hook_release_volumes(const struct hook *h)
{
	for (size_t i = 0; i < h->state.devices.nr && !h->device.name; i++) {
		auto_free struct attach_options *o = calloc(1, sizeof(*o));

		if (o && clock_left_ms(h->deadline_ms) &&
		    !device_parse(o, &h->state.devices.rows[i], NULL) && o->given[KEY_VOLUME])
			volume_device_release(o->volume, clock_left_ms(h->deadline_ms), NULL);
	}
}

/* Goes on after a failure: nothing here may keep a container from being deleted. */
static int hook_detach(struct hook *h, struct err *e)
{
	auto_client_devices struct client_devices d = { 0 };
	int r, first = 0;

	/* Most containers have no device, and need no helper. */
	if (!h->device.name && !h->bad_state && !h->state.devices.nr && h->config_fd >= 0 &&
	    !hook_read_config(h, NULL) && !h->state.devices.nr)
		return 0;
	r = client_list(&d, clock_left_ms(h->deadline_ms), e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < d.nr; i++) {
		struct err why;

		if (!clock_left_ms(h->deadline_ms))
			return err_set(e, ETIMEDOUT, "no time is left; the helper detaches itself");
		if (client_device_matches(&d.rows[i], h->state.id) != 2 ||
		    process_lives(d.rows[i].container_pid) || !hook_is_about(h, &d.rows[i]))
			continue;
		r = client_detach(d.rows[i].generation, WIRE_DETACH_ENDED,
				  clock_left_ms(h->deadline_ms), NULL, &why);
		if (r < 0 && r != -ENODEV && r != -ENOENT && !first)
			first = err_set(e, -r, "ublkb%u: %.280s", d.rows[i].dev_id, why.text);
	}
	hook_release_volumes(h);
	return first;
}

/* What stands behind the options: nothing, or a device made ahead and what to do with it. */
static bool hook_words(struct hook *h, int argc, char **argv)
{
	static const struct {
		const char *word;
		enum hook_stage stage;
	} words[] = {
		{ "claim", HOOK_STAGE_ATTACH },
		{ "release", HOOK_STAGE_DETACH },
	};

	if (!argc)
		return true;
	if (argc != 3 || h->stage != HOOK_STAGE_NONE || !text_device_name_ok(argv[1]))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(argv[0], words[i].word))
			h->stage = words[i].stage;
	}
	h->device.name = argv[1];
	h->device.generation = strtoull(argv[2], NULL, 16);
	return h->stage != HOOK_STAGE_NONE && strlen(argv[2]) == HOOK_GENERATION_DIGITS &&
	       strspn(argv[2], "0123456789abcdef") == HOOK_GENERATION_DIGITS;
}

static const char hook_usage[] =
	"usage: " HOOK_NAME " [--stage prestart|createRuntime|poststop] [--engine NAME]\n"
	"       " HOOK_NAME " [--engine NAME] claim|release NAME GENERATION\n"
	"Run by an OCI runtime, with the container's state on stdin. Attaches what the\n"
	"annotations " OCI_DEVICE_PREFIX "NAME ask for, or, at poststop, detaches it.\n"
	"Without --stage the state's status decides. With claim the container gets the\n"
	"device NAME that was made ahead; with release it had it. See " HOOK_NAME "(8).\n";

static bool hook_option(struct hook *h, int c, const char *value)
{
	if (c == 'e' && !text_name_ok(value, WIRE_ENGINE_SIZE - 1))
		return false;
	if (c == 'e') {
		h->engine = value;
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(hook_stages); i++) {
		if (!strcmp(value, hook_stages[i].name))
			h->stage = hook_stages[i].stage;
	}
	return h->stage != HOOK_STAGE_NONE;
}

/* -1: go on; else the exit status. */
static int hook_options(struct hook *h, int argc, char **argv)
{
	static const struct option table[] = {
		{ "stage", required_argument, NULL, 's' },
		{ "engine", required_argument, NULL, 'e' },
		OPTIONS_LAST,
	};
	static const struct options options = {
		.version = HOOK_NAME " " UBLK_OCI_VERSION,
		.usage = hook_usage,
		.table = table,
	};
	int c, status;

	while ((c = options_next(&options, argc, argv, &status)) > 0) {
		if (!hook_option(h, c, optarg))
			return options_misuse(&options);
	}
	if (c < 0)
		return status;
	return hook_words(h, argc - optind, argv + optind) ? -1 : options_misuse(&options);
}

/* The stage is known once this succeeded, and tells whether a failure counts. */
static int hook_begin(struct hook *h, struct err *e)
{
	int r;

	hook_open_config(h);
	r = hook_drop(e);
	if (r < 0)
		return r;
	r = hook_read_state(h, e);
	if (h->stage == HOOK_STAGE_NONE)
		h->stage = h->state.status == OCI_STATUS_STOPPED ? HOOK_STAGE_DETACH
								 : HOOK_STAGE_ATTACH;
	if (h->stage != HOOK_STAGE_DETACH || !*h->state.id)
		return r;
	h->bad_state = r < 0; /* what is wrong with its annotations does not matter any more */
	return 0;
}

int main(int argc, char **argv)
{
	auto_hook struct hook h = { .engine = "oci", .config_fd = -1 };
	struct err e;
	int r;

	r = hook_options(&h, argc, argv);
	if (r >= 0)
		return r;
	drop_fill_standard_fds();
	signal(SIGPIPE, SIG_IGN); /* nobody reads stderr: no reason to fail a poststop */
	openlog(HOOK_NAME, LOG_PID, LOG_DAEMON);
	h.deadline_ms = clock_deadline_ms(HOOK_TIMEOUT_MS);
	r = hook_begin(&h, &e);
	if (!r)
		r = h.stage == HOOK_STAGE_DETACH ? hook_detach(&h, &e)
		    : h.device.name		 ? hook_claim(&h, &e)
						 : hook_attach(&h, &e);
	if (r < 0)
		hook_say("", e.text);
	return r < 0 && h.stage != HOOK_STAGE_DETACH ? EXIT_FAILURE : EXIT_SUCCESS;
}
