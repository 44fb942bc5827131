/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/address.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "driver/base/num.h"
#include "policy/pattern.h"

#define ADDRESS_UNIX "unix:"
#define ADDRESS_TCP "tcp:"
#define ADDRESS_EXEC "exec:"
#define ADDRESS_PROGRAM -1	 /* in the place of a family */
#define ADDRESS_PROGRAMS "/usr/" /* all that is in a back end's root */
#define ADDRESS_HOST_SIZE 254
#define ADDRESS_PORT_MAX 65535
#define ADDRESS_DIGITS "0123456789"
#define ADDRESS_NAME "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-" ADDRESS_DIGITS

struct address {
	int family;	  /* AF_UNIX; AF_INET, AF_INET6; AF_UNSPEC: a host by its name; a program */
	bool several;	  /* written as more than one address */
	const char *path; /* of AF_UNIX, and of a program */
	char host[ADDRESS_HOST_SIZE];
	uint8_t ip[sizeof(struct in6_addr)];
	uint64_t nr_bits; /* of ip, that count */
	uint64_t first_port;
	uint64_t last_port;
};

/*
 * Labels of letters, digits and '-', the last of them not beginning with a
 * digit: to a resolver, "10.1" and "0x7f.1" are addresses.
 */
static bool name_ok(const char *name)
{
	size_t n = strspn(name, ADDRESS_NAME);

	for (; name[n] == '.'; n = strspn(name, ADDRESS_NAME)) {
		if (!n || name[0] == '-')
			return false;
		name += n + 1;
	}
	return n && !name[n] && !strchr("-" ADDRESS_DIGITS, name[0]);
}

static bool ip_bit(const struct address *a, uint64_t bit)
{
	return a->ip[bit / 8] & 0x80 >> bit % 8;
}

/* "BITS" behind an IP address of max bits, or NULL; bits that do not count must be zero. */
static bool parse_bits(struct address *a, const char *bits, uint64_t max)
{
	a->nr_bits = max;
	if (bits && num_parse_u64(bits, max, &a->nr_bits))
		return false;
	for (uint64_t bit = a->nr_bits; bit < max; bit++) {
		if (ip_bit(a, bit))
			return false;
	}
	return true;
}

/* An IPv4 address in IPv6's clothes would slip past the rules for IPv4. */
static bool parse_ipv6(struct address *a, char *host, const char *bits)
{
	static const uint8_t mapped[12] = { [10] = 0xff, 0xff };
	size_t n = strlen(host);

	if (host[n - 1] != ']')
		return false;
	host[n - 1] = '\0';
	a->family = AF_INET6;
	return inet_pton(AF_INET6, host + 1, a->ip) == 1 && memcmp(a->ip, mapped, sizeof(mapped)) &&
	       parse_bits(a, bits, 128);
}

static bool parse_host(struct address *a, char *host)
{
	char *bits = strchr(host, '/');

	if (bits) {
		*bits++ = '\0';
		a->several = true;
	}
	if (host[0] == '[')
		return parse_ipv6(a, host, bits);
	if (inet_pton(AF_INET, host, a->ip) == 1) {
		a->family = AF_INET;
		return parse_bits(a, bits, 32);
	}
	a->family = AF_UNSPEC;
	return !bits && name_ok(host);
}

static bool parse_ports(struct address *a, char *first)
{
	char *last = strchr(first, '-');

	if (last) {
		*last++ = '\0';
		a->several = true;
	} else {
		last = first;
	}
	return !num_parse_u64(first, ADDRESS_PORT_MAX, &a->first_port) &&
	       !num_parse_u64(last, ADDRESS_PORT_MAX, &a->last_port) && a->first_port &&
	       a->first_port <= a->last_port;
}

/* One program. A directory of them would be a list that grows with what is installed. */
static bool parse_program(struct address *a, const char *path)
{
	a->family = ADDRESS_PROGRAM;
	a->path = path;
	return pattern_path_ok(path) && !strchr(path, '*') && path[strlen(path) - 1] != '/' &&
	       !strncmp(path, ADDRESS_PROGRAMS, strlen(ADDRESS_PROGRAMS));
}

/* The address keeps pointing into the text. */
static bool parse(struct address *a, const char *text)
{
	char *port;

	*a = (struct address){ 0 };
	if (!strncmp(text, ADDRESS_UNIX, strlen(ADDRESS_UNIX))) {
		a->family = AF_UNIX;
		a->path = text + strlen(ADDRESS_UNIX);
		a->several = text[strlen(text) - 1] == '/';
		return pattern_path_ok(a->path);
	}
	if (!strncmp(text, ADDRESS_EXEC, strlen(ADDRESS_EXEC)))
		return parse_program(a, text + strlen(ADDRESS_EXEC));
	if (strncmp(text, ADDRESS_TCP, strlen(ADDRESS_TCP)))
		return false;
	text += strlen(ADDRESS_TCP);
	if (strlen(text) >= sizeof(a->host))
		return false;
	strcpy(a->host, text);
	port = strrchr(a->host, ':');
	if (!port)
		return false;
	*port++ = '\0';
	return parse_ports(a, port) && parse_host(a, a->host);
}

bool address_pattern_ok(const char *pattern)
{
	struct address a;

	return parse(&a, pattern);
}

bool address_fits(const char *pattern, const char *address)
{
	struct address covers, a;

	if (!parse(&covers, pattern) || !parse(&a, address) || a.several ||
	    a.family != covers.family)
		return false;
	if (a.family == AF_UNIX)
		return pattern_path_fits(covers.path, a.path);
	if (a.family == ADDRESS_PROGRAM)
		return !strcmp(covers.path, a.path);
	if (a.first_port < covers.first_port || a.first_port > covers.last_port)
		return false;
	if (a.family == AF_UNSPEC)
		return !strcasecmp(a.host, covers.host);
	for (uint64_t bit = 0; bit < covers.nr_bits; bit++) {
		if (ip_bit(&a, bit) != ip_bit(&covers, bit))
			return false;
	}
	return true;
}
