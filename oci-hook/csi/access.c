/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/access.h"

#include <string.h>

#include "oci-hook/quote.h"

#define MODE(name) CSI__VOLUME_CAPABILITY__ACCESS_MODE__MODE__##name
#define ACCESS_FILESYSTEM FILESYSTEM_EXT4 /* where none is asked for */

/* A volume is on one node, so no mode with more than one is offered. */
static const struct {
	Csi__VolumeCapability__AccessMode__Mode mode;
	bool read_only, several;
} access_modes[] = {
	{ MODE(SINGLE_NODE_WRITER), false, true },
	{ MODE(SINGLE_NODE_READER_ONLY), true, true },
	{ MODE(SINGLE_NODE_SINGLE_WRITER), false, false },
	{ MODE(SINGLE_NODE_MULTI_WRITER), false, true },
};

/* Options of mount(8) that are how it is mounted anyway. */
static const char *const access_flags[] = { "defaults", "rw",	  "nosuid", "nodev",
					    "relatime", "noauto", "async",  "exec" };

static bool flag_ok(const char *flag)
{
	for (size_t i = 0; i < sizeof(access_flags) / sizeof(*access_flags); i++) {
		if (!strcmp(access_flags[i], flag))
			return true;
	}
	return false;
}

static enum code parse_mount(struct call *c, const Csi__VolumeCapability__MountVolume *m,
			     struct access *ret)
{
	enum catalog_filesystem filesystem = catalog_find_filesystem(m->fs_type);
	char word[QUOTE_SIZE];

	ret->mount = true;
	if (*m->fs_type && !filesystem)
		return call_refuse(c, CODE_INVALID_ARGUMENT,
				   "\"%s\" is none of the file systems there are",
				   quote_text(word, sizeof(word), m->fs_type));
	if (filesystem && ret->filesystem && filesystem != ret->filesystem)
		return call_refuse(c, CODE_INVALID_ARGUMENT,
				   "a volume has one file system, not %s and %s",
				   catalog_filesystem(filesystem),
				   catalog_filesystem(ret->filesystem));
	if (filesystem)
		ret->filesystem = filesystem;
	for (size_t i = 0; i < m->n_mount_flags; i++) {
		if (!flag_ok(m->mount_flags[i]))
			return call_refuse(c, CODE_INVALID_ARGUMENT,
					   "the mount option \"%s\" is not offered",
					   quote_text(word, sizeof(word), m->mount_flags[i]));
	}
	if (*m->volume_mount_group)
		return call_refuse(c, CODE_INVALID_ARGUMENT, "a mount group is not offered");
	return CODE_OK;
}

static enum code parse_one(struct call *c, const Csi__VolumeCapability *row, struct access *ret)
{
	if (!row->access_mode || row->access_mode->mode == MODE(UNKNOWN))
		return call_lacks(c, "an access mode");
	for (size_t i = 0; i < sizeof(access_modes) / sizeof(*access_modes); i++) {
		if (access_modes[i].mode != row->access_mode->mode)
			continue;
		ret->read_only |= access_modes[i].read_only;
		ret->several |= access_modes[i].several;
		if (row->access_type_case == CSI__VOLUME_CAPABILITY__ACCESS_TYPE_BLOCK) {
			ret->block = true;
			return CODE_OK;
		}
		if (row->access_type_case == CSI__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT)
			return parse_mount(c, row->mount, ret);
		return call_lacks(c, "an access type, block or mount");
	}
	return call_refuse(c, CODE_INVALID_ARGUMENT,
			   "access mode %d is not offered: a volume is on one node",
			   (int)row->access_mode->mode);
}

enum code access_parse(struct call *c, Csi__VolumeCapability *const *rows, size_t nr,
		       struct access *ret)
{
	enum code code = CODE_OK;

	*ret = (struct access){ 0 };
	if (!nr)
		return call_lacks(c, "a volume capability");
	for (size_t i = 0; i < nr && code == CODE_OK; i++)
		code = parse_one(c, rows[i], ret);
	return code;
}

enum code access_check(struct call *c, const struct access *a, const struct store_volume *v)
{
	if (!a->mount)
		return CODE_OK;
	if (!v->filesystem)
		return call_refuse(c, CODE_INVALID_ARGUMENT,
				   "volume %s was made without a file system: it is a block device",
				   v->name);
	if (a->filesystem && a->filesystem != v->filesystem)
		return call_refuse(c, CODE_INVALID_ARGUMENT, "volume %s has %s in it, not %s",
				   v->name, catalog_filesystem(v->filesystem),
				   catalog_filesystem(a->filesystem));
	return CODE_OK;
}

enum catalog_filesystem access_filesystem(const struct access *a)
{
	if (!a->mount)
		return FILESYSTEM_NONE;
	return a->filesystem ? a->filesystem : ACCESS_FILESYSTEM;
}
