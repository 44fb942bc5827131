/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of a worker: it never says a word. */
#include <unistd.h>

int main(void)
{
	for (;;)
		pause();
}
