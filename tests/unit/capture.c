/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/capture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

int capture(int (*command)(int argc, char **argv), int argc, char **argv, const char *dir,
	    char *text, size_t size)
{
	int pipe_fds[2], status;
	size_t got = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(pipe_fds[1], STDOUT_FILENO);
		dup2(pipe_fds[1], STDERR_FILENO);
		exit(dir && chdir(dir) ? 99 : command(argc, argv));
	}
	close(pipe_fds[1]);
	while ((n = read(pipe_fds[0], text + got, size - 1 - got)) > 0)
		got += (size_t)n;
	close(pipe_fds[0]);
	text[got] = '\0';
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}
