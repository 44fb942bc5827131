/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/bare/format.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/base/cleanup.h"

struct format {
	char *out;
	size_t size;
	size_t used;
};

static void format_char(struct format *f, char c)
{
	if (f->used + 1 < f->size)
		f->out[f->used] = c;
	f->used++;
}

static void format_words(struct format *f, const char *text)
{
	while (*text)
		format_char(f, *text++);
}

static void format_number(struct format *f, uint64_t n, unsigned int base)
{
	char digits[20];
	size_t nr = 0;

	do {
		digits[nr++] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	while (nr)
		format_char(f, digits[--nr]);
}

static void format_signed(struct format *f, int64_t n)
{
	if (n < 0)
		format_char(f, '-');
	format_number(f, n < 0 ? -(uint64_t)n : (uint64_t)n, 10);
}

/* va_list is an array on some machines: this has the address of one. */
struct format_args {
	va_list ap;
};

static int64_t format_take_signed(struct format_args *a, bool wide)
{
	return wide ? va_arg(a->ap, int64_t) : va_arg(a->ap, int);
}

static uint64_t format_take(struct format_args *a, bool wide)
{
	return wide ? va_arg(a->ap, uint64_t) : va_arg(a->ap, unsigned int);
}

/* What stands behind "%"; returns the first character behind it. */
static const char *format_item(struct format *f, const char *fmt, struct format_args *a)
{
	const char *p = fmt;
	bool prefix = false, wide = false;
	const char *text;
	uint64_t n;

	static_assert(sizeof(long) == sizeof(int64_t) && sizeof(size_t) == sizeof(int64_t), "LP64");
	for (; *p == '#'; p++)
		prefix = true;
	for (; *p == 'l' || *p == 'z'; p++)
		wide = true;
	switch (*p) {
	case 's':
		text = va_arg(a->ap, const char *);
		format_words(f, text ? text : "(null)");
		break;
	case 'd':
		format_signed(f, format_take_signed(a, wide));
		break;
	case 'u':
		format_number(f, format_take(a, wide), 10);
		break;
	case 'x':
		n = format_take(a, wide);
		format_words(f, prefix && n ? "0x" : "");
		format_number(f, n, 16);
		break;
	default:
		format_char(f, '%');
		return *p == '%' ? p + 1 : fmt;
	}
	return p + 1;
}

int format_text(char *out, size_t size, const char *fmt, va_list ap)
{
	struct format f = { out, size, 0 };
	struct format_args a;

	va_copy(a.ap, ap);
	while (*fmt) {
		if (*fmt == '%')
			fmt = format_item(&f, fmt + 1, &a);
		else
			format_char(&f, *fmt++);
	}
	va_end(a.ap);
	if (size)
		out[f.used < size ? f.used : size - 1] = '\0';
	return (int)f.used;
}

static const struct {
	int code;
	const char *words;
} format_errors[] = {
	{ EPERM, "Operation not permitted" },
	{ ENOENT, "No such file or directory" },
	{ EINTR, "Interrupted system call" },
	{ EIO, "Input/output error" },
	{ EBADF, "Bad file descriptor" },
	{ EAGAIN, "Resource temporarily unavailable" },
	{ ENOMEM, "Cannot allocate memory" },
	{ EACCES, "Permission denied" },
	{ EFAULT, "Bad address" },
	{ EBUSY, "Device or resource busy" },
	{ ENODEV, "No such device" },
	{ EINVAL, "Invalid argument" },
	{ ENFILE, "Too many open files in system" },
	{ EMFILE, "Too many open files" },
	{ EFBIG, "File too large" },
	{ ENOSPC, "No space left on device" },
	{ ESPIPE, "Illegal seek" },
	{ EPIPE, "Broken pipe" },
	{ ENOSYS, "Function not implemented" },
	{ EPROTO, "Protocol error" },
	{ EOVERFLOW, "Value too large for defined data type" },
	{ EMSGSIZE, "Message too long" },
	{ EOPNOTSUPP, "Operation not supported" },
	{ ECONNRESET, "Connection reset by peer" },
	{ ENOBUFS, "No buffer space available" },
	{ ETIMEDOUT, "Connection timed out" },
	{ ECANCELED, "Operation canceled" },
};

const char *format_error(int code, char buf[FORMAT_ERROR_SIZE])
{
	struct format f = { buf, FORMAT_ERROR_SIZE, 0 };

	for (size_t i = 0; i < ARRAY_SIZE(format_errors); i++) {
		if (format_errors[i].code == code)
			return format_errors[i].words;
	}
	format_words(&f, "error ");
	format_signed(&f, code);
	buf[f.used] = '\0';
	return buf;
}
