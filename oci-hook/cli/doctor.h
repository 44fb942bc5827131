/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci doctor`: can this machine do it, and if not, what is missing? */
#pragma once

#include <stddef.h>

enum doctor_status {
	DOCTOR_NONE,
	DOCTOR_OK,
	DOCTOR_WARN, /* works, or could not be found out */
	DOCTOR_FAIL, /* does not work like this */
};

struct doctor_note {
	char finding[512];
	char remedy[256]; /* with DOCTOR_WARN and DOCTOR_FAIL */
};

struct doctor_check {
	const char *name;
	enum doctor_status (*check)(struct doctor_note *n);
};

/* Those of the kernel, in doctor_kernel.c. */
extern const struct doctor_check doctor_kernel_checks[];
extern const size_t doctor_nr_kernel_checks;

/* argv[0] is the command's name; returns enum cli_exit. */
int doctor_main(int argc, char **argv);

/* Fill a note; NULL leaves a part empty. */
enum doctor_status doctor_say(struct doctor_note *n, enum doctor_status status, const char *remedy,
			      const char *fmt, ...) __attribute__((format(printf, 4, 5)));
