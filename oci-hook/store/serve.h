/* SPDX-License-Identifier: Apache-2.0 */
/* One connection from its request to its answer, in a process of its own. */
#pragma once

/* fd: the connection, borrowed. policy_file: read anew for each request. */
void serve_run(int fd, const char *policy_file);

/* The answer to one who has too many requests under way, unread. */
void serve_refuse_busy(int fd);
