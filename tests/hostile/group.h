/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of attempts: each is a way to abuse the socket, tried in rounds. */
#pragma once

#include "tests/hostile/caller.h"

/* Packets, group_packet.c */
void group_sizes(struct caller *c);
void group_long(struct caller *c);
void group_heads(struct caller *c);
void group_random(struct caller *c);
void group_mutated(struct caller *c);

/* Descriptors, group_fd.c */
void group_kinds(struct caller *c);
void group_counts(struct caller *c);

/* Connections, group_connection.c */
void group_leavers(struct caller *c);
void group_crowd(struct caller *c);
void group_crowd_of_user(struct caller *c);

/* Answers nobody reads, group_slow.c */
void group_slow_begin(struct caller *c);
void group_slow(struct caller *c);
void group_slow_end(struct caller *c);
