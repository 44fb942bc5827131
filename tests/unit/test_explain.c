/* SPDX-License-Identifier: Apache-2.0 */
/* The real command, as people run it, also on the example policies. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/helper.h"
#include "oci-hook/cli/explain.h"
#include "oci-hook/cli/policy.h"
#include "tests/unit/capture.h"

#define ARGS_MAX 48
#define OUTPUT_SIZE 16384

/* POLICY_EXAMPLES comes from the build. */

/* Instead of the system's names: the examples speak of users this machine need not have. */
static int find_name(const char *name, uint32_t *ret_id)
{
	static const struct {
		const char *name;
		uint32_t id;
	} known[] = {
		{ "ublk-oci-hook", 970 }, { "ublk-oci", 971 },	      { "ublk-oci-store", 972 },
		{ "ublk-oci-csi", 973 },  { "ublk-oci-volume", 974 }, { "ci", 980 },
		{ "acme", 981 },	  { "globex", 982 }
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!strcmp(known[i].name, name)) {
			*ret_id = known[i].id;
			return 0;
		}
	}
	return -ENOENT;
}

const struct policy_names policy_names_system = { find_name, find_name };

static const char *const examples[] = { "single-host",	  "ci-runner",	    "multi-tenant",
					"rootless-users", "volume-plugins", "images" };

/* A directory of copies, since a policy is taken from files of root or one's own only. */
struct place {
	char dir[32];
	char file[64]; /* 1 MiB */
	char link[64]; /* to it */
};

static void write_file(const char *path, const void *bytes, size_t size)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
}

static void copy_example(const struct place *p, const char *name)
{
	char from[512], to[128], text[OUTPUT_SIZE];
	auto_fclose FILE *f = NULL;

	snprintf(from, sizeof(from), "%s/%s.json", POLICY_EXAMPLES, name);
	snprintf(to, sizeof(to), "%s/%s.json", p->dir, name);
	f = fopen(from, "re");
	assert_non_null(f);
	write_file(to, text, fread(text, 1, sizeof(text), f));
}

static int place_setup(void **state)
{
	static struct place p;

	strcpy(p.dir, "/tmp/explain-XXXXXX");
	assert_non_null(mkdtemp(p.dir));
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++)
		copy_example(&p, examples[i]);
	snprintf(p.file, sizeof(p.file), "%s/disk.img", p.dir);
	snprintf(p.link, sizeof(p.link), "%s/link", p.dir);
	write_file(p.file, "", 0);
	assert_int_equal(truncate(p.file, 1 << 20), 0);
	assert_int_equal(symlink(p.file, p.link), 0);
	*state = &p;
	return 0;
}

static int place_teardown(void **state)
{
	struct place *p = *state;
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		snprintf(path, sizeof(path), "%s/%s.json", p->dir, examples[i]);
		unlink(path);
	}
	unlink(p->file);
	unlink(p->link);
	return rmdir(p->dir);
}

/* Words with a space between them, behind "policy explain"; what was printed goes to text. */
static int run(const struct place *p, const char *words, char text[OUTPUT_SIZE])
{
	char line[1024], *rest = line, *argv[ARGS_MAX + 1] = { NULL };
	int argc = 0;

	snprintf(line, sizeof(line), "policy explain%s%s", *words ? " " : "", words);
	while (argc < ARGS_MAX && (argv[argc] = strsep(&rest, " ")))
		argc++;
	return capture(policy_main, argc, argv, p->dir, text, OUTPUT_SIZE);
}

/* The same with --json; the answer is owned by the caller. */
static struct json_object *run_json(const struct place *p, const char *words, int expected_status)
{
	char text[OUTPUT_SIZE], line[1024];
	struct json_object *o;
	int status;

	snprintf(line, sizeof(line), "--json %s", words);
	status = run(p, line, text);
	if (status != expected_status)
		fail_msg("exit status %d for: %s\n%s", status, words, text);
	o = json_tokener_parse(text);
	assert_non_null(o);
	return o;
}

static const char *get_text(struct json_object *o, const char *key)
{
	struct json_object *value = json_object_object_get(o, key);

	return value ? json_object_get_string(value) : NULL;
}

static uint64_t get_number(struct json_object *o, const char *key)
{
	return json_object_get_uint64(json_object_object_get(o, key));
}

#define HOOK "--uid ublk-oci-hook --gid 970 --gid ublk-oci "
#define IN_CI HOOK "--cgroup /ci.slice/libpod-17.scope/container "
#define IN_ACME HOOK "--cgroup /tenants.slice/tenants-acme.slice/one "
#define IN_GLOBEX HOOK "--cgroup /tenants.slice/tenants-globex.slice/one "
#define CI_USER "--uid 2000 --gid 2000 --gid ublk-oci --gid ci "
#define ACME_USER "--uid 2100 --gid ublk-oci --gid acme "
#define GLOBEX_USER "--uid 2200 --gid ublk-oci --gid globex "
#define USER "--uid 1000 --gid 1000 --gid ublk-oci "
#define ENGINE_PLUGIN                                                                              \
	"--uid ublk-oci-volume --gid 974 --host " FILE_OF(                                         \
		"972", "/var/lib/ublk-oci/volumes/a/data") "1G --fs ext4 "
#define PLUGIN "--uid 0 --gid 0 --host " FILE_OF("0", "/srv/ublk-oci/volumes/a") "1G --fs ext4 "
#define CSI                                                                                        \
	"--uid 973 --gid 973 --host " FILE_OF("972",                                               \
					      "/var/lib/ublk-oci/volumes/a/data") "1G --fs ext4 "
#define FILE_OF(uid, path) "--backing-owner " uid " attach --target file --backing " path " --size "
#define ROOT "--uid 0 --gid 0 "
#define IMAGE_OF(format, path)                                                                     \
	"--backing-owner 0 attach --target image --size 1G --format " format " --backing " path

/* What each example is for, and what it is against. rule NULL: none, and one of them says why. */
static const struct {
	const char *example;
	const char *words;
	const char *rule;
	const char *why;
} rows[] = {
	/* one machine, one administrator */
	{ "single-host", HOOK "attach --target memory --size 1G", "hook-scratch" },
	{ "single-host", HOOK "attach --target null --size 1G", "hook-scratch" },
	{ "single-host", HOOK "attach --target memory --size 2G", NULL, "size 2G is over its 1G" },
	{ "single-host", HOOK "--devices-in-container 4 attach --target memory --size 1M", NULL,
	  "4 devices already" },
	{ "single-host", HOOK FILE_OF("0", "/srv/ublk-oci/a") "1M", NULL, "target file" },
	{ "single-host", HOOK "attach --host --target memory --size 1M", NULL, "not of the host" },
	{ "single-host", "--uid 0 --gid 0 " FILE_OF("7", "/srv/ublk-oci/a") "1T",
	  "root-containers" },
	{ "single-host", "--uid 0 --gid 0 " FILE_OF("0", "/etc/shadow") "1M", NULL, "backing" },
	{ "single-host", "--uid 0 --gid 0 attach --host --target null --size 1G --queues 16",
	  "root-host" },
	{ "single-host", USER "attach --target memory --size 1M", NULL, "uid 1000" },

	/* jobs of a CI: by annotation, and of a rootless runner */
	{ "ci-runner", IN_CI FILE_OF("0", "/srv/ci/images/base") "20G --read-only", "job-images" },
	{ "ci-runner", IN_CI FILE_OF("0", "/srv/ci/images/base") "20G", NULL, "it gives ro" },
	{ "ci-runner", IN_CI FILE_OF("0", "/srv/ci/scratch/a") "1G --read-only", NULL, "backing" },
	{ "ci-runner", IN_CI "attach --target memory --size 256M", "job-memory" },
	{ "ci-runner", IN_CI "attach --target memory --size 257M", NULL, "over its 256M" },
	{ "ci-runner", HOOK "--cgroup /machine.slice/a attach --target memory --size 1M", NULL,
	  "cgroup" },
	{ "ci-runner", HOOK "--cgroup /ci.slice attach --target memory --size 1M", NULL, "cgroup" },
	{ "ci-runner", HOOK "attach --target memory --size 1M", NULL, "cgroup" },
	{ "ci-runner", CI_USER FILE_OF("0", "/srv/ci/images/base") "20G --read-only",
	  "rootless-images" },
	{ "ci-runner", CI_USER FILE_OF("2000", "/srv/ci/scratch/a") "50G", "rootless-scratch" },
	{ "ci-runner", CI_USER FILE_OF("2001", "/srv/ci/scratch/a") "50G", NULL, "2001" },
	{ "ci-runner",
	  CI_USER "--bytes-in-container 60G " FILE_OF("2000", "/srv/ci/scratch/a") "50G", NULL,
	  "over its 100G" },
	{ "ci-runner", CI_USER "attach --target memory --size 1M", NULL, "target memory" },
	{ "ci-runner", USER FILE_OF("1000", "/srv/ci/scratch/a") "1G", NULL, "uid 1000" },

	/* a plug-in of root's, which has volumes mounted on the host, and no devices */
	{ "volume-plugins",
	  PLUGIN "--mount /var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/a/mount",
	  "volumes-on-the-host" },
	{ "volume-plugins", PLUGIN "--mount /var/lib/kubelet/pods2/a", NULL, "mount path" },
	{ "volume-plugins", PLUGIN "--mount /etc", NULL, "is not in its list" },
	{ "volume-plugins", "--uid 0 --gid 0 --host " FILE_OF("0", "/srv/ublk-oci/volumes/a") "1G",
	  NULL, "attach is not in what it may" },
	{ "volume-plugins",
	  "--uid 0 --gid 0 " FILE_OF("0", "/srv/ublk-oci/volumes/a") "1G --fs ext4 --mount /a",
	  NULL, "not of containers" },

	/* the CSI driver, a user of its own, which has the store's volumes below kubelet's
	   directory */
	{ "volume-plugins", CSI "--mount /var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/a/mount",
	  "csi-on-the-host" },
	{ "volume-plugins", CSI "--mount /var/lib/docker/a", NULL, "mount path" },

	/* that of Docker and podman, which is a user of its own */
	{ "volume-plugins", ENGINE_PLUGIN "--mount /run/ublk-oci-volume/a", "engine-mounts" },
	{ "volume-plugins", ENGINE_PLUGIN "--mount /srv/a", NULL, "mount path" },
	{ "volume-plugins",
	  "--uid ublk-oci-volume --gid 974 --host " FILE_OF(
		  "0", "/srv/ublk-oci/volumes/a") "1G --fs ext4 --mount /run/ublk-oci-volume/a",
	  NULL, "backing" },

	/* two tenants, each with its part of the cgroup tree and a group of people */
	{ "multi-tenant", IN_ACME FILE_OF("0", "/srv/tenants/acme/a") "100G", "acme-disks" },
	{ "multi-tenant", IN_ACME FILE_OF("0", "/srv/tenants/globex/a") "1G", NULL, "backing" },
	{ "multi-tenant",
	  IN_ACME "--bytes-in-container 150G " FILE_OF("0", "/srv/tenants/acme/a") "100G", NULL,
	  "over its 200G" },
	{ "multi-tenant", IN_ACME "attach --target memory --size 512M", "acme-memory" },
	{ "multi-tenant", IN_GLOBEX FILE_OF("0", "/srv/tenants/globex/a") "20G", "globex-disks" },
	{ "multi-tenant", IN_GLOBEX FILE_OF("0", "/srv/tenants/globex/a") "21G", NULL,
	  "over its 20G" },
	{ "multi-tenant", IN_GLOBEX FILE_OF("0", "/srv/tenants/acme/a") "1G", NULL, "backing" },
	{ "multi-tenant", IN_GLOBEX "attach --target memory --size 1M", NULL, "target memory" },
	{ "multi-tenant",
	  HOOK
	  "--cgroup /tenants.slice/tenants-acme.slice.d/a " FILE_OF("0",
								    "/srv/tenants/acme/a") "1G",
	  NULL, "cgroup" },
	{ "multi-tenant", ACME_USER FILE_OF("2100", "/srv/tenants/acme/a") "50G", "acme-people" },
	{ "multi-tenant", ACME_USER FILE_OF("2101", "/srv/tenants/acme/a") "1G", NULL, "2101" },
	{ "multi-tenant", ACME_USER FILE_OF("2100", "/srv/tenants/globex/a") "1G", NULL,
	  "backing" },
	{ "multi-tenant", GLOBEX_USER FILE_OF("2200", "/srv/tenants/globex/a") "20G",
	  "globex-people" },
	{ "multi-tenant", GLOBEX_USER FILE_OF("2200", "/srv/tenants/acme/a") "1G", NULL,
	  "backing" },
	/* made ahead: where its container is, is asked later */
	{ "multi-tenant", HOOK "--ahead " FILE_OF("0", "/srv/tenants/acme/a") "1G", "acme-disks" },
	{ "multi-tenant", GLOBEX_USER "--bytes 8T " FILE_OF("2200", "/srv/tenants/globex/a") "1G",
	  NULL, "over its 8T" },
	{ "multi-tenant", "--uid 0 --gid 0 --host " FILE_OF("0", "/srv/tenants/acme/a") "100G",
	  "operator-host" },
	{ "multi-tenant", "--uid 0 --gid 0 " FILE_OF("0", "/srv/tenants/acme/a") "1G", NULL,
	  "not of containers" },

	/* images, and programs */
	{ "images", ROOT IMAGE_OF("qcow2", "/srv/vm/a"), "images" },
	{ "images", ROOT "--host " IMAGE_OF("raw", "/srv/vm/a"), "host-images" },
	{ "images", ROOT IMAGE_OF("vmdk", "/srv/vm/a"), NULL, "format vmdk" },
	{ "images", ROOT IMAGE_OF("qcow2", "/srv/a"), NULL, "backing" },
	{ "images", ROOT IMAGE_OF("qcow2", "/srv/vm/a") " --base /srv/bases/b --base-format raw",
	  "images" },
	{ "images", ROOT IMAGE_OF("qcow2", "/srv/vm/a") " --base /srv/vm/b --base-format raw", NULL,
	  "base " },
	{ "images",
	  ROOT "attach --target nbd --size 1G --nbd exec:/usr/libexec/ublk-oci/scratch-disk",
	  "scratch-disks" },
	{ "images", ROOT "attach --target nbd --size 1G --nbd exec:/usr/libexec/ublk-oci/other",
	  NULL, "address exec:" },

	/* people with rootless containers */
	{ "rootless-users", USER FILE_OF("1000", "/home/alice/a") "64G", "own-files" },
	{ "rootless-users", USER FILE_OF("1001", "/home/bob/a") "1G", NULL, "1001" },
	{ "rootless-users", USER FILE_OF("0", "/home/bob/a") "1G", NULL, "belongs to uid 0" },
	{ "rootless-users", USER FILE_OF("1000", "/home/../etc/a") "1G", NULL, "backing" },
	{ "rootless-users", USER FILE_OF("1000", "/tmp/a") "1G", NULL, "backing" },
	{ "rootless-users", USER FILE_OF("0", "/srv/images/a") "1G --access ro", "shared-images" },
	{ "rootless-users", USER FILE_OF("0", "/srv/images/a") "1G", NULL, "it gives ro" },
	{ "rootless-users", USER "attach --target memory --size 64M", "small-memory" },
	{ "rootless-users", USER "attach --target memory --size 65M", NULL, "over its 64M" },
	{ "rootless-users", USER "--host attach --target memory --size 1M", NULL,
	  "not of the host" },
	{ "rootless-users", "--uid 1000 --gid 1000 attach --target memory --size 1M", NULL,
	  "uid 1000" },
	/* the hook's user is in that group, so that it can reach the helper */
	{ "rootless-users", HOOK "attach --target memory --size 64M", "small-memory" },
	{ "rootless-users", HOOK FILE_OF("0", "/srv/images/a") "1G --read-only", "shared-images" },
	{ "rootless-users", HOOK FILE_OF("1000", "/home/alice/a") "1G", NULL, "1000" },
};

static void test_each_example_does_what_it_is_for(void **state)
{
	struct json_object *o;
	char words[1024];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *rule, *tried;

		snprintf(words, sizeof(words), "--policy %s.json %s", rows[i].example,
			 rows[i].words);
		o = run_json(*state, words, rows[i].rule ? 0 : 1);
		rule = get_text(o, "rule");
		tried = get_text(o, "tried");
		if (rows[i].rule ? strcmp(rule, rows[i].rule) != 0 : !strstr(tried, rows[i].why))
			fail_msg("row %zu: rule %s, tried %s", i, rule, tried);
		json_object_put(o);
	}
}

static void test_each_rule_tried_is_shown(void **state)
{
	char text[OUTPUT_SIZE];

	assert_int_equal(
		run(*state,
		    "--policy single-host.json --uid 0 --gid 0 --host --devices 3 --bytes 1G "
		    "attach --target null --size 1G",
		    text),
		0);
	assert_string_equal(text,
			    "who    uid 0, group 0\n"
			    "where  the host\n"
			    "what   attach: null, 1G, rw, 2 queues of depth 32\n"
			    "there  0 devices of 0 in the container, 3 of 1G in all\n"
			    "no     rule \"hook-scratch\": it is for uid 970, not for uid 0\n"
			    "no     rule \"root-containers\": it is for devices of containers, "
			    "not of the host\n"
			    "yes    rule \"root-host\"\n"
			    "allowed by rule \"root-host\", with discard\n");
	assert_int_equal(
		run(*state,
		    "--policy multi-tenant.json " IN_ACME FILE_OF("5", "/srv/tenants/acme/a") "1G",
		    text),
		0);
	assert_non_null(strstr(text, "allowed by rule \"acme-disks\", with discard, read_bytes "
				     "209715200/s, write_bytes 104857600/s, read_ops 10000/s, "
				     "write_ops 5000/s\n"));
	assert_non_null(strstr(text, "who    uid 970, groups 970, 971\n"));
	assert_non_null(strstr(text, "/srv/tenants/acme/a of uid 5\n"));
	assert_int_equal(run(*state,
			     "--policy ci-runner.json " USER "attach --target null --size 1G",
			     text),
			 1);
	assert_non_null(strstr(text, "\nno     rule \"job-images\": it is for uid 970"));
	assert_non_null(strstr(text, "\nno     rule \"rootless-scratch\": it is for group 980"));
	assert_non_null(strstr(text, "\nrefused: no rule names uid 1000\n"));
}

static void test_json_has_all_of_it(void **state)
{
	struct json_object *o, *tried, *claim, *io;

	o = run_json(*state,
		     "--policy multi-tenant.json --devices-in-container 1 --bytes-in-container 2G "
		     "--devices 3 --bytes 4G --owner 100000 " IN_ACME FILE_OF(
			     "5",
			     "/srv/tenants/acme/a") "1G --queues 1 --depth 8 --uid 77 --gid 78",
		     0);
	assert_true(json_object_get_boolean(json_object_object_get(o, "allowed")));
	assert_string_equal(get_text(o, "rule"), "acme-disks");
	assert_null(get_text(o, "reason"));
	tried = json_object_object_get(o, "tried");
	assert_int_equal(json_object_array_length(tried), 1);
	assert_string_equal(get_text(json_object_array_get_idx(tried, 0), "why"), "");
	claim = json_object_object_get(o, "claim");
	/* who asks is not who owns the node */
	assert_int_equal(get_number(claim, "uid"), 970);
	assert_int_equal(json_object_array_length(json_object_object_get(claim, "gids")), 2);
	assert_int_equal(get_number(claim, "owner_uid"), 100000);
	assert_int_equal(get_number(claim, "backing_uid"), 5);
	assert_int_equal(get_number(claim, "queues"), 1);
	assert_int_equal(get_number(claim, "depth"), 8);
	assert_int_equal(get_number(claim, "devices_in_container"), 1);
	assert_true(get_number(claim, "bytes_in_container") == UINT64_C(2) << 30);
	assert_int_equal(get_number(claim, "devices"), 3);
	assert_true(get_number(claim, "bytes") == UINT64_C(4) << 30);
	assert_string_equal(get_text(claim, "cgroup"), "/tenants.slice/tenants-acme.slice/one");
	io = json_object_object_get(json_object_object_get(o, "grants"), "io");
	assert_int_equal(get_number(io, "write_ops"), 5000);
	json_object_put(o);

	o = run_json(*state, "--policy ci-runner.json " USER "attach --target null --size 1G", 1);
	assert_null(get_text(o, "rule"));
	assert_null(json_object_object_get(o, "grants"));
	assert_int_equal(json_object_array_length(json_object_object_get(o, "tried")), 4);
	json_object_put(o);
}

static void test_a_volume_has_a_pool_and_no_path(void **state)
{
	char text[OUTPUT_SIZE];

	assert_int_equal(run(*state,
			     "--policy single-host.json --uid 0 --gid 0 --ahead create --target "
			     "file --pool default --size 1G",
			     text),
			 0);
	assert_non_null(strstr(text, "\nallowed by rule \"root-volumes\""));
	assert_int_equal(run(*state,
			     "--policy single-host.json --uid 0 --gid 0 --ahead create --target "
			     "file --pool other --size 1G",
			     text),
			 1);
	assert_non_null(strstr(text, "rule \"root-volumes\": pool other is not in its list"));
}

static void test_the_acts_and_what_goes_with_them_reach_the_policy(void **state)
{
	static const char *const acts[] = { "attach", "mount", "resize", "snapshot", "delete" };
	struct json_object *o, *claim;
	char words[256];

	for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
		snprintf(words, sizeof(words),
			 "--policy single-host.json --uid 1 --gid 1 %s --target nbd --size 1M "
			 "--pool p --address unix:/a --zero-copy --mount /mnt/a --fs ext4",
			 acts[i]);
		o = run_json(*state, words, 1);
		claim = json_object_object_get(o, "claim");
		/* Who attaches what is mounted asks for a mount. */
		assert_string_equal(get_text(claim, "act"), acts[i ? i : 1]);
		assert_string_equal(get_text(claim, "pool"), "p");
		assert_string_equal(get_text(claim, "address"), "unix:/a");
		assert_string_equal(get_text(claim, "mount_path"), "/mnt/a");
		assert_string_equal(get_text(claim, "mount_filesystem"), "ext4");
		assert_true(json_object_get_boolean(json_object_object_get(claim, "zero_copy")));
		json_object_put(o);
	}
}

/* The claim for a file, as the command understood it. */
static struct json_object *file_claim(const struct place *p, const char *who, const char *words)
{
	struct json_object *o, *claim;
	char line[512];

	snprintf(
		line, sizeof(line),
		"--policy rootless-users.json %s attach --target file --device /dev/x --backing %s",
		who, words);
	o = run_json(p, line, 1);
	claim = json_object_get(json_object_object_get(o, "claim"));
	json_object_put(o);
	return claim;
}

static void test_a_file_that_is_there_speaks_for_itself(void **state)
{
	const struct place *p = *state;
	const char *const names[] = { p->file, p->link, "disk.img" };
	struct json_object *claim;
	char words[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		claim = file_claim(p, "--uid 4711", names[i]);
		assert_string_equal(get_text(claim, "backing"), p->file);
		assert_int_equal(get_number(claim, "size_bytes"), 1 << 20);
		assert_int_equal(get_number(claim, "backing_uid"), getuid());
		json_object_put(claim);
	}
	snprintf(words, sizeof(words), "%s --size 4K --backing-owner 8", p->link);
	claim = file_claim(p, "--uid 4711", words);
	assert_int_equal(get_number(claim, "size_bytes"), 4096);
	assert_int_equal(get_number(claim, "backing_uid"), 8);
	json_object_put(claim);
}

static void test_a_file_that_is_not_there_is_taken_at_its_word(void **state)
{
	struct json_object *o, *claim;

	o = run_json(*state,
		     "--policy rootless-users.json " USER
		     "attach --target file --backing /home/nobody-here/a --size 1M",
		     0);
	assert_non_null(strstr(get_text(o, "note"), "/home/nobody-here/a"));
	claim = json_object_object_get(o, "claim");
	assert_int_equal(get_number(claim, "backing_uid"), 1000);
	json_object_put(o);
}

static void test_who_is_not_told_is_looked_up(void **state)
{
	struct json_object *o, *claim, *gids;

	o = run_json(*state, "--policy ci-runner.json attach --target null --size 1M", 1);
	claim = json_object_object_get(o, "claim");
	gids = json_object_object_get(claim, "gids");
	assert_int_equal(get_number(claim, "uid"), getuid());
	assert_int_equal(get_number(claim, "owner_uid"), getuid());
	assert_int_equal(json_object_get_uint64(json_object_array_get_idx(gids, 0)), getgid());
	json_object_put(o);

	o = run_json(*state, "--policy ci-runner.json --uid 0 attach --target null --size 1M", 1);
	claim = json_object_object_get(o, "claim");
	gids = json_object_object_get(claim, "gids");
	assert_int_equal(json_object_get_uint64(json_object_array_get_idx(gids, 0)), 0);
	json_object_put(o);

	o = run_json(*state,
		     "--policy ci-runner.json --uid 3999999999 attach --target null --size 1M", 1);
	claim = json_object_object_get(o, "claim");
	assert_int_equal(json_object_array_length(json_object_object_get(claim, "gids")), 0);
	json_object_put(o);
}

/* What cannot be answered is neither allowed nor refused. */
static void test_no_answer_is_2(void **state)
{
	static const struct {
		const char *words, *why;
	} bad[] = {
		{ "", "expected what is asked for: attach, mount" },
		{ "--uid 0", "expected what is asked for" },
		{ "detach", "expected what is asked for" },
		{ "--colour red attach", "--colour" },
		{ "--target null attach --size 1M", "--target" },
		{ "--uid nobody-here attach", "--uid: \"nobody-here\" is neither" },
		{ "--gid nobody-here attach", "--gid: \"nobody-here\" is neither" },
		{ "--uid 4294967295 attach", "--uid: " },
		{ "--cgroup a/b attach", "--cgroup: it has to begin with /" },
		{ "--devices many attach", "--devices: \"many\" is not a number" },
		{ "--bytes many attach", "--bytes: \"many\" is not a size" },
		{ "--policy  attach", "--policy: it is empty" },
		{ "attach", "target is missing" },
		{ "attach --target null", "needs a size" },
		{ "attach --target null --size 1M more", "one word too many" },
		{ "attach --target null --size 1M --size 2M", "size is given twice" },
		{ "attach --target null --size 1M --mount a",
		  "mount: \"a\" is no place to mount at: it must begin with /" },
		{ "attach --target null --size 1M --pool ", "--pool: it is empty" },
		{ "attach --target file", "needs a backing file" },
		{ "attach --target file --backing nobody-here --size 1M", "give its whole path" },
		{ "attach --target file --backing /nobody-here", "give --size" },
		{ "attach --target file --backing /dev/null", "give --size" },
		{ "attach --target nbd --address unix:/a", "give --size" },
		{ "--policy nobody-here.json attach --target null --size 1M", "No such file" },
		{ "--policy disk.img attach --target null --size 1M", "disk.img: " },
	};
	char text[OUTPUT_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int status = run(*state, bad[i].words, text);

		if (status != 2 || !strstr(text, bad[i].why))
			fail_msg("exit status %d for: %s\n%s", status, bad[i].words, text);
	}
}

static void test_help_is_on_two_pages(void **state)
{
	char text[OUTPUT_SIZE];

	assert_int_equal(run(*state, "--help", text), 0);
	assert_ptr_equal(strstr(text, "usage: ublk-oci policy explain "), text);
	assert_non_null(strstr(text, "--bytes-in-container"));
	assert_null(strstr(text, "--backing PATH"));
	assert_int_equal(run(*state, "attach --help", text), 0);
	assert_non_null(strstr(text, "--backing PATH"));
	assert_non_null(strstr(text, "owner of the node"));
}

static void test_defaults_are_the_helpers(void **state)
{
	assert_int_equal(EXPLAIN_QUEUES, HELPER_QUEUES);
	assert_int_equal(EXPLAIN_DEPTH, HELPER_DEPTH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_example_does_what_it_is_for),
		cmocka_unit_test(test_each_rule_tried_is_shown),
		cmocka_unit_test(test_json_has_all_of_it),
		cmocka_unit_test(test_the_acts_and_what_goes_with_them_reach_the_policy),
		cmocka_unit_test(test_a_volume_has_a_pool_and_no_path),
		cmocka_unit_test(test_a_file_that_is_there_speaks_for_itself),
		cmocka_unit_test(test_a_file_that_is_not_there_is_taken_at_its_word),
		cmocka_unit_test(test_who_is_not_told_is_looked_up),
		cmocka_unit_test(test_no_answer_is_2),
		cmocka_unit_test(test_help_is_on_two_pages),
		cmocka_unit_test(test_defaults_are_the_helpers),
	};

	return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
