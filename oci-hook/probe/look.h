/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in a file, in three words: blank, used, unknown. Blank is said only of a file that was
 * read to its end, without an error, and in which no byte is set; so nothing that a newer format
 * than libblkid's, a superblock cut in half or an application wrote there is ever taken for
 * nothing.
 */
#pragma once

#include "oci-hook/probe.h"

void look_at(int fd, struct probe_answer *ret);
