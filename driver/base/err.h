/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why something failed, in words for the person who has to act on it.
 *
 * The contract of every function with a last argument `struct err *e`: it
 * returns 0, or -errno with a reason in *e. The object lives on the reporter's
 * stack, nothing is allocated, so it is right when out of memory too. A NULL
 * reason object is fine: the caller wants the code only.
 */
#pragma once

#define ERR_TEXT_SIZE 320

struct err {
	char text[ERR_TEXT_SIZE];
};

/* Set the reason and return -code; code is a positive errno. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same, with ": " and the system's words for code at the end. */
int err_sys(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Put "what: " in front of the reason that is there, and return r. */
int err_prefix(struct err *e, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
