/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ublk-oci-flexvolume: run by kubelet, as root, for each call-out of a FlexVolume.
 *
 * It stays uid 0, for that is who the helper lets mount on the host and whose rules the store
 * looks at; but the options are text of whoever makes pods, and are read without any capability.
 * The store's socket is the store's, so it is in the group that may ask, as other callers are.
 *
 * kubelet reads stdout and stderr as one text, which has to be one JSON object: so there is not a
 * word besides, and what is a warning only goes to syslog.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/landlock.h"
#include "oci-hook/drop.h"
#include "oci-hook/flexvolume/verbs.h"

#define FLEXVOLUME_NAME "ublk-oci-flexvolume"
#define FLEXVOLUME_ATTACHES "-attach" /* at the end of the name it is run by */
#define FLEXVOLUME_GROUP "ublk-oci"   /* who may ask the store: uid 0 alone is not enough */
#define FLEXVOLUME_MOST_S 58	      /* whatever store and helper do */
#define FLEXVOLUME_CPU_S 30

static void say_late(int signal)
{
	static const char text[] =
		"{\"status\":\"Failure\",\"message\":\"the store or the helper did "
		"not answer in time; try again\"}\n";
	ssize_t n = write(STDOUT_FILENO, text, sizeof(text) - 1);

	_exit(n < 0 ? 2 : EXIT_FAILURE);
}

/* Also where whoever started this has the signal blocked or ignored. */
static void end_in_time(void)
{
	const struct sigaction act = { .sa_handler = say_late };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaction(SIGALRM, &act, NULL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	alarm(FLEXVOLUME_MOST_S);
}

static bool name_attaches(const char *name)
{
	size_t size = strlen(name), end = strlen(FLEXVOLUME_ATTACHES);

	return size >= end && !strcmp(name + size - end, FLEXVOLUME_ATTACHES);
}

static int answer(struct json_object *reply, const char *verb, bool done)
{
	const char *text =
		reply ? json_object_to_json_string_ext(reply,
						       JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE)
		      : "{\"status\":\"Failure\",\"message\":\"there is no memory\"}";
	struct json_object *message;

	if (reply && json_object_object_get_ex(reply, "message", &message))
		syslog(LOG_DAEMON | (done ? LOG_WARNING : LOG_ERR), "%.32s: %s", verb,
		       json_object_get_string(message));
	alarm(0); /* from here on there is an answer */
	return puts(text) < 0 || fflush(stdout) || !reply || !done ? EXIT_FAILURE : EXIT_SUCCESS;
}

static struct json_object *answer_failure(const struct err *e)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	json_object_object_add(o, "status", json_object_new_string("Failure"));
	json_object_object_add(o, "message", json_object_new_string(e->text));
	return o;
}

static int usage(void)
{
	puts("usage: " FLEXVOLUME_NAME " CALL-OUT [WORD]...\n"
	     "The FlexVolume driver of ublk-oci, run by kubelet: volumes of the store, mounted on\n"
	     "the host. By a name that ends in " FLEXVOLUME_ATTACHES
	     " it has the call-outs of a driver that attaches.\n"
	     "See " FLEXVOLUME_NAME "(8).");
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	auto_json struct json_object *reply = NULL;
	const char *verb = argc > 1 ? argv[1] : "";
	bool done = false;
	struct err e;

	drop_fill_standard_fds();
	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(verb, "--help") || !strcmp(verb, "-h"))
		return usage();
	if (!strcmp(verb, "--version"))
		return puts(FLEXVOLUME_NAME " " UBLK_OCI_VERSION) < 0;
	openlog(FLEXVOLUME_NAME, LOG_PID, LOG_DAEMON);
	end_in_time();
	/* Root's files are uid 0's without any capability: so none by its path. */
	if (drop_groups(FLEXVOLUME_GROUP, &e) < 0 || drop_capabilities(&e) < 0 ||
	    drop_limits(FLEXVOLUME_CPU_S, &e) < 0 || landlock_enter(&e) < 0)
		reply = answer_failure(&e);
	else
		reply = verbs_run(argc && name_attaches(argv[0]), argc > 1 ? argc - 1 : 0, argv + 1,
				  VERBS_TIMEOUT_MS, &done);
	return answer(reply, verb, done);
}
