/* SPDX-License-Identifier: Apache-2.0 */
/* One request of the helper's, from its packet to its answer. */
#pragma once

/* In a process of its own, which ends with it. fd is borrowed. */
void serve_run(int fd);
