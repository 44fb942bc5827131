#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What docs/kubernetes/ has Kubernetes do is what there is.

Every file is YAML, every object has what its kind needs, and no key that this list does not know.
What one object names in another is there; the driver's name, its socket, its options and the
topology's key are those of the sources; README.md names every file.

usage: kubernetes.py [TOP]
"""
import glob
import os
import re
import sys

import yaml

# The keys of a kind, as paths: "*" is each entry of a list or map. "!" in front: needed. What is
# below a path that ends in "..." is not looked at.
META = ["!metadata", "!metadata.name", "metadata.namespace", "metadata.labels..."]
CONTAINERS = ["!{0}containers", "!{0}containers.*", "!{0}containers.*.name", "!{0}containers.*.image",
              "{0}containers.*.args...", "{0}containers.*.command...", "{0}containers.*.env...",
              "{0}containers.*.securityContext...", "{0}containers.*.volumeMounts",
              "{0}containers.*.volumeMounts.*", "{0}containers.*.volumeMounts.*.name",
              "{0}containers.*.volumeMounts.*.mountPath", "{0}containers.*.volumeDevices",
              "{0}containers.*.volumeDevices.*", "{0}containers.*.volumeDevices.*.name",
              "{0}containers.*.volumeDevices.*.devicePath", "{0}volumes", "{0}volumes.*",
              "!{0}volumes.*.name", "{0}volumes.*.persistentVolumeClaim",
              "{0}volumes.*.persistentVolumeClaim.claimName", "{0}volumes.*.hostPath",
              "{0}volumes.*.hostPath.path", "{0}volumes.*.hostPath.type", "{0}volumes.*.csi",
              "{0}volumes.*.csi.driver", "{0}volumes.*.csi.fsType", "{0}volumes.*.csi.readOnly",
              "{0}volumes.*.csi.volumeAttributes..."]


def containers(prefix):
    return [path.format(prefix) for path in CONTAINERS]


BINDING = ["!subjects", "!subjects.*", "!subjects.*.kind", "!subjects.*.name", "subjects.*.namespace",
           "!roleRef", "!roleRef.apiGroup", "!roleRef.kind", "!roleRef.name"]
ROLE = ["!rules", "!rules.*", "!rules.*.apiGroups...", "!rules.*.resources...", "!rules.*.verbs..."]
KINDS = {
    "v1 Namespace": [],
    "v1 ServiceAccount": [],
    "v1 Pod": ["!spec", *containers("spec.")],
    "v1 PersistentVolumeClaim": [
        "!spec", "!spec.storageClassName", "!spec.accessModes", "!spec.accessModes.*", "spec.volumeMode",
        "!spec.resources", "!spec.resources.requests", "!spec.resources.requests.storage",
        "spec.dataSource", "spec.dataSource.apiGroup", "spec.dataSource.kind", "spec.dataSource.name"],
    "apps/v1 DaemonSet": [
        "!spec", "!spec.selector", "!spec.selector.matchLabels...", "spec.updateStrategy...", "!spec.template",
        "!spec.template.metadata", "!spec.template.metadata.labels...", "!spec.template.spec",
        "spec.template.spec.serviceAccountName", "spec.template.spec.nodeSelector...",
        "spec.template.spec.priorityClassName", "spec.template.spec.tolerations...",
        *containers("spec.template.spec.")],
    "rbac.authorization.k8s.io/v1 ClusterRole": ROLE,
    "rbac.authorization.k8s.io/v1 Role": ROLE,
    "rbac.authorization.k8s.io/v1 ClusterRoleBinding": BINDING,
    "rbac.authorization.k8s.io/v1 RoleBinding": BINDING,
    "storage.k8s.io/v1 CSIDriver": [
        "!spec", "!spec.attachRequired", "!spec.podInfoOnMount", "spec.storageCapacity", "spec.fsGroupPolicy",
        "spec.requiresRepublish", "spec.seLinuxMount", "!spec.volumeLifecycleModes...", ],
    "storage.k8s.io/v1 StorageClass": [
        "!provisioner", "parameters...", "reclaimPolicy", "allowVolumeExpansion", "!volumeBindingMode"],
    "snapshot.storage.k8s.io/v1 VolumeSnapshotClass": ["!driver", "!deletionPolicy", "parameters..."],
    "snapshot.storage.k8s.io/v1 VolumeSnapshot": [
        "!spec", "spec.volumeSnapshotClassName", "!spec.source", "!spec.source.persistentVolumeClaimName"],
}


def steps(value):
    if isinstance(value, dict):
        return list(value.items())
    return [("*", v) for v in value] if isinstance(value, list) else []


def unknown(value, paths, at=""):
    """Keys below value that no path has."""
    for key, inner in steps(value):
        path = f"{at}.{key}" if at else str(key)
        if path + "..." in paths:
            continue
        if path not in paths:
            yield path
        else:
            yield from unknown(inner, paths, path)


def missing(value, path):
    """Is it missing in one of the places where what it is in is there?"""
    first, _, rest = path.partition(".")
    if not isinstance(value, (dict, list)):
        return False
    found = [inner for key, inner in steps(value) if key == first]
    if not rest:
        return not found or any(inner is None or inner == "" for inner in found)
    return any(missing(inner, rest) for inner in found)


def check_object(o):
    kind = f"{o.get('apiVersion')} {o.get('kind')}"
    if kind not in KINDS:
        yield f"there is no kind {kind}"
        return
    rows = ["!apiVersion", "!kind", *META, *KINDS[kind]]
    for path in unknown(o, {row.lstrip("!") for row in rows}):
        yield f"{o['kind']} has no key {path}"
    for row in rows:
        if row.startswith("!") and missing(o, row[1:].removesuffix("...")):
            yield f"{o['kind']} needs {row[1:]}"


def pod_spec(o):
    return {"Pod": lambda: o["spec"], "DaemonSet": lambda: o["spec"]["template"]["spec"]}.get(
        o["kind"], lambda: None)()


def check_pod(o, names):
    spec = pod_spec(o)
    if not spec:
        return
    volumes = {v["name"] for v in spec.get("volumes", [])}
    for c in spec["containers"]:
        for use in c.get("volumeMounts", []) + c.get("volumeDevices", []):
            if use["name"] not in volumes:
                yield f"container {c['name']}: there is no volume {use['name']}"
        if not re.search(r":v?[0-9]", c["image"]):
            yield f"container {c['name']}: the image has no version"
    for v in spec.get("volumes", []):
        claim = v.get("persistentVolumeClaim", {}).get("claimName")
        if claim and ("PersistentVolumeClaim", claim) not in names:
            yield f"there is no claim {claim}"
    if "serviceAccountName" in spec and ("ServiceAccount", spec["serviceAccountName"]) not in names:
        yield f"there is no account {spec['serviceAccountName']}"
    if o["kind"] == "DaemonSet" and \
            o["spec"]["selector"]["matchLabels"] != o["spec"]["template"]["metadata"]["labels"]:
        yield "it does not select its own pods"


def check_names(o, names, facts):
    """What is named in another object, or is the sources'."""
    refs, spec = [], o.get("spec") or {}
    if o["kind"] == "PersistentVolumeClaim":
        refs.append(("StorageClass", spec["storageClassName"]))
        if "dataSource" in spec:
            refs.append((spec["dataSource"]["kind"], spec["dataSource"]["name"]))
    if o["kind"] == "VolumeSnapshot":
        refs.append(("VolumeSnapshotClass", spec["volumeSnapshotClassName"]))
        refs.append(("PersistentVolumeClaim", spec["source"]["persistentVolumeClaimName"]))
    if "roleRef" in o:
        refs.append((o["roleRef"]["kind"], o["roleRef"]["name"]))
        refs += [(s["kind"], s["name"]) for s in o["subjects"]]
    if o["metadata"].get("namespace"):
        refs.append(("Namespace", o["metadata"]["namespace"]))
    for kind, name in refs:
        if (kind, name) not in names:
            yield f"{o['kind']} {o['metadata']['name']}: there is no {kind} {name}"
    drivers = [o.get("provisioner"), o.get("driver"), o["kind"] == "CSIDriver" and o["metadata"]["name"]]
    drivers += [v["csi"]["driver"] for v in (pod_spec(o) or {}).get("volumes", []) if "csi" in v]
    for driver in filter(None, drivers):
        if driver != facts["name"]:
            yield f"the driver is {facts['name']}, not {driver}"


def facts_of(top):
    def find(path, pattern):
        with open(os.path.join(top, path), encoding="utf-8") as f:
            return re.search(pattern, f.read())[1]
    return {"name": find("oci-hook/csi/identity.h", r'IDENTITY_NAME "([^"]+)"'),
            "socket": find("oci-hook/csi/main.c", r'MAIN_ENDPOINT "unix://([^"]+)"'),
            "folder": "/run/" + find("oci-hook/csi/dist/ublk-oci-csi.service.in",
                                     r"RuntimeDirectory=(\S+)")}


def check_facts(objects, facts):
    """The pod's two directories are where the driver's and kubelet's sockets are."""
    if os.path.dirname(facts["socket"]) != facts["folder"]:
        yield "the unit's directory is not that of the socket"
    for o in objects:
        if o["kind"] != "DaemonSet":
            continue
        spec = pod_spec(o)
        paths = [v["hostPath"]["path"] for v in spec["volumes"]]
        if facts["folder"] not in paths:
            yield "the sidecars do not have the driver's directory"
        args = [a for c in spec["containers"] for a in c["args"]]
        if f"--kubelet-registration-path={facts['socket']}" not in args:
            yield "kubelet is told of another socket"
        if any(c.get("securityContext", {}).get("privileged") for c in spec["containers"]):
            yield "a sidecar is privileged"


def self_check():
    """It says no to what is wrong."""
    good = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "a"},
            "spec": {"storageClassName": "s", "accessModes": ["ReadWriteOnce"],
                     "resources": {"requests": {"storage": "1Gi"}}}}
    assert not list(check_object(good))
    for bad in ({**good, "kind": "Claim"}, {**good, "metadata": {}}, {**good, "speck": {}},
                {**good, "spec": {**good["spec"], "size": 1}},
                {**good, "spec": {**good["spec"], "resources": {"requests": {}}}}):
        assert list(check_object(bad)), bad
    assert list(check_names(good, set(), {}))


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else "."
    folder = os.path.join(top, "docs/kubernetes")
    files = sorted(glob.glob(os.path.join(folder, "**/*.yaml"), recursive=True))
    with open(os.path.join(folder, "README.md"), encoding="utf-8") as f:
        readme = f.read()
    self_check()
    facts, errors, objects = facts_of(top), [], {}
    for path in files:
        with open(path, encoding="utf-8") as f:
            objects[path] = [o for o in yaml.safe_load_all(f) if o]
    everything = [o for rows in objects.values() for o in rows]
    for path, rows in objects.items():
        shown = os.path.relpath(path, top)
        bad = [e for o in rows for e in check_object(o)]
        errors += [f"{shown}: {e}" for e in bad]
        named = os.path.basename(path) in readme or "examples/" in path and "`examples/`" in readme
        if not named:
            errors.append(f"{shown}: README.md does not name it")
    if not errors: # else there may be nothing to look into
        names = {(o["kind"], o["metadata"]["name"]) for o in everything}
        errors += [e for o in everything for e in check_pod(o, names)]
        errors += [e for o in everything for e in check_names(o, names, facts)]
        errors += check_facts(everything, facts)
    print("\n".join(errors + [f"{len(files)} files, {len(everything)} objects, {len(errors)} wrong"]))
    return 1 if errors or not everything else 0


if __name__ == "__main__":
    sys.exit(main())
