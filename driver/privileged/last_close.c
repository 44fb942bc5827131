/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/last_close.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 * It has a copy of the listening socket too, so it must not outlive us: who
 * connects to that is heard by nobody.
 */
pid_t last_close_begin(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		pause();
	_exit(EXIT_FAILURE); /* we died before it asked to die with us */
}

void last_close_end(pid_t pid)
{
	if (pid > 0)
		kill(pid, SIGKILL);
}
