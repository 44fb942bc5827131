/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/examine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int examine_open(const struct place *place, bool read_only, int *ret_fd, struct err *e)
{
	int fd = openat(place->dir_fd, VOLUME_DATA,
			(read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "cannot open the data of volume %s", place->volume.name);
	*ret_fd = fd;
	return 0;
}

static void found_set(struct store_found *ret, const struct probe_answer *answer)
{
	static const enum store_content contents[PROBE_CONTENTS] = {
		[PROBE_UNKNOWN] = STORE_CONTENT_UNKNOWN,
		[PROBE_BLANK] = STORE_CONTENT_BLANK,
		[PROBE_USED] = STORE_CONTENT_USED,
	};

	static_assert(sizeof(ret->type) == sizeof(answer->type), "one is copied to the other");
	static_assert(sizeof(ret->label) == sizeof(answer->label), "one is copied to the other");
	static_assert(sizeof(ret->uuid) == sizeof(answer->uuid), "one is copied to the other");
	static_assert(sizeof(ret->words) == sizeof(answer->reason), "one is copied to the other");
	*ret = (struct store_found){ .content = contents[answer->content] };
	memcpy(ret->type, answer->type, sizeof(ret->type));
	memcpy(ret->label, answer->label, sizeof(ret->label));
	memcpy(ret->uuid, answer->uuid, sizeof(ret->uuid));
	memcpy(ret->words, answer->reason, sizeof(ret->words));
}

static int examine_look_fd(int fd, const struct probing *p, struct store_found *ret, struct err *e)
{
	struct probe_answer answer;
	int r = probing_look(p, fd, &answer, e);

	if (r == 0)
		found_set(ret, &answer);
	return r;
}

int examine_look(const struct place *place, const struct probing *p, struct store_found *ret,
		 struct err *e)
{
	auto_close int fd = -1;
	int r;

	if (place->volume.formatting) {
		*ret = (struct store_found){ .content = STORE_CONTENT_UNKNOWN };
		probe_text(ret->words, sizeof(ret->words), "it was not formatted to the end");
		return 0;
	}
	r = examine_open(place, true, &fd, e);
	return r < 0 ? r : examine_look_fd(fd, p, ret, e);
}

int examine_check(const struct place *place, bool read_only, const struct probing *p,
		  struct store_found *ret, struct err *e)
{
	static const enum store_verdict verdicts[] = {
		[PROBING_CLEAN] = STORE_CLEAN,
		[PROBING_MENDED] = STORE_MENDED,
		[PROBING_DAMAGED] = STORE_DAMAGED,
	};
	enum probe_verb verb = read_only ? PROBE_CHECK : PROBE_MEND;
	enum catalog_filesystem filesystem;
	enum probing_verdict verdict;
	auto_close int fd = -1;
	int r;

	r = examine_open(place, read_only, &fd, e);
	if (r == 0)
		r = examine_look_fd(fd, p, ret, e);
	if (r < 0)
		return r;
	filesystem = catalog_find_filesystem(ret->type);
	if (!filesystem)
		return err_set(e, EINVAL, "there is no file system in it that can be checked: %s",
			       ret->content == STORE_CONTENT_BLANK  ? "it is blank"
			       : ret->content == STORE_CONTENT_USED ? ret->type
								    : ret->words);
	r = probing_fsck(p, fd, verb, filesystem, &verdict, e);
	if (r == 0 && !read_only && fsync(fd) < 0)
		r = err_sys(e, errno, "cannot write what was mended");
	if (r == 0)
		ret->verdict = verdicts[verdict];
	return r;
}

int examine_grow(const struct place *place, const struct probing *p, struct err *e)
{
	auto_close int fd = -1;
	int r = examine_open(place, false, &fd, e);

	return r < 0 ? r : examine_grow_data(fd, &place->volume, p, e);
}

int examine_grow_data(int fd, const struct volume *v, const struct probing *p, struct err *e)
{
	enum catalog_filesystem filesystem = v->filesystem ?: catalog_find_filesystem(v->found);
	enum probing_verdict verdict;
	struct store_found found;
	int r;

	if (!filesystem)
		return 0;
	r = examine_look_fd(fd, p, &found, e);
	if (r < 0)
		return r;
	/* Somebody has put something else there since. */
	if (catalog_find_filesystem(found.type) != filesystem)
		return err_set(e, EINVAL, "there is no %s in it any more",
			       catalog_filesystem(filesystem));
	if (filesystem != FILESYSTEM_EXT4)
		return probing_resize(p, fd, filesystem, e);
	r = probing_fsck(p, fd, PROBE_MEND, filesystem, &verdict, e);
	if (r == 0 && verdict == PROBING_DAMAGED)
		return err_set(e, EUCLEAN, "its %s is damaged", catalog_filesystem(filesystem));
	if (r == 0)
		r = probing_resize(p, fd, filesystem, e);
	if (r == 0 && fsync(fd) < 0)
		r = err_sys(e, errno, "cannot write the larger file system");
	return r;
}
