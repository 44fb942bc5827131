/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/audit.h"
#include "driver/privileged/request.h"

/* Nobody changes it behind the reader's back, and it cannot shrink under him. */
#define RELOAD_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int reload_seal(const char *text, size_t size, int *ret_fd, struct err *e)
{
	auto_close int fd = memfd_create("ublk-oci-policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_sys(e, errno, "cannot make a memory file");
	if (write(fd, text, size) != (ssize_t)size || fcntl(fd, F_ADD_SEALS, RELOAD_SEALS) < 0)
		return err_sys(e, errno, "cannot fill a memory file");
	*ret_fd = fd_take(&fd);
	return 0;
}

int reload_take(int fd, struct policy **ret, struct err *e)
{
	const int seals = fcntl(fd, F_GET_SEALS);
	auto_free char *text = NULL;
	struct stat st;

	if (seals < 0 || (seals & RELOAD_SEALS) != RELOAD_SEALS)
		return err_set(e, EPERM, "the policy's text is not sealed");
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot look at the policy's text");
	if (st.st_size > POLICY_SIZE_MAX)
		return err_set(e, EFBIG, "the policy's text is larger than %d bytes",
			       POLICY_SIZE_MAX);
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text)
		return err_sys(e, ENOMEM, "cannot read the policy's text");
	if (pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
		return err_sys(e, errno ? errno : EIO, "cannot read the policy's text");
	/* Names were just looked up by the child: a name service that hangs has held that up. */
	return policy_parse(ret, text, (size_t)st.st_size, &policy_names_system, e);
}

/* -EAGAIN: somebody else's reload was faster, and *serial is the number of that. */
static int reload_once(const struct op *op, uint64_t *serial, size_t *ret_nr_rules, struct err *e)
{
	const char *path = op->helper->policy_path;
	auto_policy struct policy *policy = NULL;
	auto_free char *text = NULL;
	auto_close int fd = -1;
	size_t size;
	int r;

	r = policy_read(&text, &size, path, 0, e);
	if (r < 0)
		return r;
	r = policy_parse(&policy, text, size, &policy_names_system, e);
	if (r == 0)
		r = policy_check_ids(policy, "/etc", e);
	if (r < 0)
		return err_prefix(e, r, "%s", path);
	*ret_nr_rules = policy_nr_rules(policy);
	r = reload_seal(text, size, &fd, e);
	if (r < 0)
		return r;
	return op_reload(op, fd, serial, e);
}

int reload_run(const struct op *op, size_t *ret_nr_rules, struct err *e)
{
	uint64_t serial = op->registry->policy_serial;
	int r;

	do {
		r = reload_once(op, &serial, ret_nr_rules, e);
	} while (r == -EAGAIN && op_left_ms(op, 1) > 0);
	return r < 0 ? err_prefix(e, r == -EAGAIN ? -EBUSY : r, "the policy stays what it was") : 0;
}

int reload_serve(struct op *op, struct packet *p, struct err *e)
{
	char rules[64];
	size_t nr_rules;
	int r;

	r = reload_run(op, &nr_rules, e);
	if (r < 0)
		return r;
	snprintf(rules, sizeof(rules), "%zu rules", nr_rules);
	audit_note(&(struct audit_event){
		.request = "reload",
		.peer = &op->peer,
		.allowed = true,
		.reason = rules,
	});
	request_reply(op->peer_fd, 0, NULL, rules);
	return 0;
}
