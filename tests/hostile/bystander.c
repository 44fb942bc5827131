/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/bystander.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/clock.h"
#include "tests/hostile/ask.h"

#define BYSTANDER_EVERY_MS 50 /* another client comes */

struct bystander *bystander_new(const char *socket)
{
	struct bystander *b =
		mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (b == MAP_FAILED)
		ask_die("mmap");
	b->socket = socket;
	return b;
}

/* Those who would have come while this one waited, and could not ask, waited too. */
static void bystander_keep(struct bystander *b, int64_t waited_ms)
{
	for (; waited_ms >= 0 && b->nr < BYSTANDER_WAITS_MAX; waited_ms -= BYSTANDER_EVERY_MS)
		b->ms[b->nr++] = (int)waited_ms;
}

static void bystander_ask(struct bystander *b)
{
	int64_t begin = clock_now_ms(), next = clock_deadline_ms(BYSTANDER_EVERY_MS);
	int answer = ask_list(b->socket);

	if (answer && answer != -EAGAIN) {
		fprintf(stderr, "another client got no answer: %d\n", answer);
		exit(1);
	}
	b->nr_refused += answer == -EAGAIN;
	bystander_keep(b, clock_now_ms() - begin);
	clock_sleep_ms(clock_left_ms(next));
}

pid_t bystander_start(struct bystander *b)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		bystander_ask(b);
	_exit(1);
}

void bystander_stop(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (!WIFSIGNALED(status))
		exit(1); /* it has said why */
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int bystander_percentile_ms(struct bystander *b, unsigned int percent)
{
	if (!b->nr)
		return -1;
	qsort(b->ms, b->nr, sizeof(b->ms[0]), compare);
	return b->ms[(size_t)(b->nr - 1) * percent / 100];
}
