/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of an OCI container state, and of a bundle's config.json, that the
 * hook reads. Both are written by others; nothing is taken from them that was
 * not checked for form and length. Of a JSON key written twice the last value
 * counts, as it does in runtimes.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "driver/base/err.h"
#include "driver/wire/wire.h"

#define OCI_ANNOTATION_PREFIX "io.ublk-oci."
#define OCI_DEVICE_PREFIX OCI_ANNOTATION_PREFIX "device."
#define OCI_DEVICE_NAME_MAX 63
#define OCI_DEVICES_MAX 64
#define OCI_STATE_MAX (1u << 20)  /* bytes of a state */
#define OCI_CONFIG_MAX (4u << 20) /* bytes of a config.json */

enum oci_status {
	OCI_STATUS_NONE,
	OCI_STATUS_CREATING, /* createRuntime: "creating" (runc) or "created" (crun) */
	OCI_STATUS_RUNNING,
	OCI_STATUS_STOPPED,
};

/* One annotation io.ublk-oci.device.NAME. */
struct oci_device {
	char name[OCI_DEVICE_NAME_MAX + 1];
	char *keys; /* as written; see keys.h */
};

struct oci_devices {
	struct oci_device rows[OCI_DEVICES_MAX]; /* by name */
	size_t nr;
};

struct oci_state {
	char id[WIRE_CONTAINER_SIZE];
	pid_t pid; /* 0: none */
	enum oci_status status;
	struct oci_devices devices;
};

void oci_devices_fini(struct oci_devices *d);
void oci_state_fini(struct oci_state *s);
#define auto_oci_devices __attribute__((cleanup(oci_devices_fini)))
#define auto_oci_state __attribute__((cleanup(oci_state_fini)))

/*
 * ret is all zero before, and to be given to its fini() whatever the outcome.
 * An annotation below "io.ublk-oci." that is not known is an error, so that a
 * misspelt one is not a container without its disk.
 */
int oci_state_parse(struct oci_state *ret, const char *text, size_t size, struct err *e);

/* The annotations of a config.json, for runtimes that do not put them into the state. */
int oci_config_parse(struct oci_devices *ret, const char *text, size_t size, struct err *e);
