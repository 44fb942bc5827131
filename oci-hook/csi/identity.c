/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/identity.h"

#include <csi.pb-c.h>
#include <stdio.h>

#include "driver/base/cleanup.h"
#include "oci-hook/csi/ask.h"

bool identity_release_grows(const char *release)
{
	unsigned int major, minor;

	/* Only root can ask the driver. A backport to an older kernel is not seen, and not missed:
	 * a volume that is not used grows on every kernel. */
	return sscanf(release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 16));
}

enum code identity_info(struct call *c, const void *request, void *response)
{
	Csi__GetPluginInfoResponse *r = response;

	r->name = call_text(c, IDENTITY_NAME);
	r->vendor_version = call_text(c, UBLK_OCI_VERSION);
	return CODE_OK;
}

static Csi__PluginCapability *capability_service(struct call *c,
						 Csi__PluginCapability__Service__Type type)
{
	Csi__PluginCapability *m = call_message(c, &csi__plugin_capability__descriptor);

	m->type_case = CSI__PLUGIN_CAPABILITY__TYPE_SERVICE;
	m->service = call_message(c, &csi__plugin_capability__service__descriptor);
	m->service->type = type;
	return m;
}

static Csi__PluginCapability *capability_expansion(struct call *c)
{
	Csi__PluginCapability *m = call_message(c, &csi__plugin_capability__descriptor);

	m->type_case = CSI__PLUGIN_CAPABILITY__TYPE_VOLUME_EXPANSION;
	m->volume_expansion =
		call_message(c, &csi__plugin_capability__volume_expansion__descriptor);
	m->volume_expansion->type =
		c->config->online ? CSI__PLUGIN_CAPABILITY__VOLUME_EXPANSION__TYPE__ONLINE
				  : CSI__PLUGIN_CAPABILITY__VOLUME_EXPANSION__TYPE__OFFLINE;
	return m;
}

enum code identity_capabilities(struct call *c, const void *request, void *response)
{
	static const Csi__PluginCapability__Service__Type services[] = {
		CSI__PLUGIN_CAPABILITY__SERVICE__TYPE__CONTROLLER_SERVICE,
		CSI__PLUGIN_CAPABILITY__SERVICE__TYPE__VOLUME_ACCESSIBILITY_CONSTRAINTS,
	};
	Csi__GetPluginCapabilitiesResponse *r = response;
	size_t nr = ARRAY_SIZE(services);

	r->n_capabilities = nr + 1;
	r->capabilities = call_alloc(c, (nr + 1) * sizeof(*r->capabilities));
	for (size_t i = 0; i < nr; i++)
		r->capabilities[i] = capability_service(c, services[i]);
	r->capabilities[nr] = capability_expansion(c);
	return CODE_OK;
}

/* Ready when the store answers. */
enum code identity_probe(struct call *c, const void *request, void *response)
{
	auto_volumes struct volumes v = { 0 };
	const struct store_ask ask = { 0 };
	Csi__ProbeResponse *r = response;
	enum code code = ask_store(c, STORE_CAPACITY, &ask, &v);

	if (code != CODE_OK)
		return CODE_FAILED_PRECONDITION;
	r->ready = call_message(c, &csi__bool_value__descriptor);
	r->ready->value = true;
	return CODE_OK;
}
