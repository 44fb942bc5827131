/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/sealed.h"

void worker_sealed(struct io_uring *uring, const struct start_spec *spec)
{
}
