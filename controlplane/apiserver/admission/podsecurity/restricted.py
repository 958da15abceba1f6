"""The checks that the restricted level has beyond baseline: current hardening practice."""

from __future__ import annotations

from apimachinery.objects import Obj
from controlplane.apiserver.admission.podsecurity.baseline import seccomp, unconfined
from controlplane.apiserver.admission.podsecurity.findings import (
    Check,
    Finding,
    containers,
    in_user_namespace,
    named,
    names,
    on_windows,
    security,
    setters,
    several,
    those,
)

_VOLUMES = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim"),
        *("projected", "secret"),
    }
)
# Other sources by name; a volume of none of them is called unknown.
_OTHERS = (
    *("hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd"),
    *("flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk"),
    *("photonPersistentDisk", "portworxVolume", "scaleIO", "storageos"),
)


def not_on_windows(check: Check) -> Check:
    """Windows pods cannot set what the check asks for."""
    return lambda metadata, spec: None if on_windows(spec) else check(metadata, spec)


def not_in_user_namespaces(check: Check) -> Check:
    return lambda metadata, spec: None if in_user_namespace(spec) else check(metadata, spec)


def privilege_escalation(metadata: Obj, spec: Obj) -> Finding | None:
    bad = those(spec, lambda context: context.get("allowPrivilegeEscalation") is not False)
    detail = f"{named('container', bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Finding("allowPrivilegeEscalation != false", detail) if bad else None


def capabilities(metadata: Obj, spec: Obj) -> Finding | None:
    def given(context: Obj, what: str) -> set[str]:
        return set((context.get("capabilities") or {}).get(what) or ())

    def added(context: Obj) -> set[str]:
        return given(context, "add") - {"NET_BIND_SERVICE"}

    keeping, adding = those(spec, lambda context: "ALL" not in given(context, "drop")), those(spec, added)
    details = []
    if keeping:
        details.append(f'{named("container", keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        odd = sorted({one for container in containers(spec) for one in added(security(container))})
        details.append(
            f"{named('container', adding)} must not include {names(odd)} in securityContext.capabilities.add"
        )
    return Finding("unrestricted capabilities", "; ".join(details)) if details else None


def volumes(metadata: Obj, spec: Obj) -> Finding | None:
    listed = spec.get("volumes") or ()
    bad = [volume for volume in listed if not any(volume.get(kind) is not None for kind in _VOLUMES)]
    if not bad:
        return None
    types = sorted({next((kind for kind in _OTHERS if one.get(kind) is not None), "unknown") for one in bad})
    who = [volume["name"] for volume in bad]
    use, what = "uses" if len(who) == 1 else "use", several("restricted volume type", len(types))
    return Finding("restricted volume types", f"{named('volume', who)} {use} {what} {names(types)}")


def non_root(metadata: Obj, spec: Obj) -> Finding | None:
    def said(context: Obj) -> bool | None:
        return context.get("runAsNonRoot")

    of_pod, reason = said(security(spec)), "runAsNonRoot != true"
    bad = those(spec, lambda context: said(context) is False)
    if of_pod is False or bad:
        return Finding(reason, f"{setters(of_pod is False, bad)} must not set securityContext.runAsNonRoot=false")
    silent = [] if of_pod else those(spec, lambda context: said(context) is None)
    detail = f"pod or {named('container', silent)} must set securityContext.runAsNonRoot=true"
    return Finding(reason, detail) if silent else None


def run_as_user(metadata: Obj, spec: Obj) -> Finding | None:
    def wrong(context: Obj) -> bool:
        return context.get("runAsUser") == 0

    of_pod, bad = wrong(security(spec)), those(spec, wrong)
    return Finding("runAsUser=0", f"{setters(of_pod, bad)} must not set runAsUser=0") if of_pod or bad else None


def seccomp_named(metadata: Obj, spec: Obj) -> Finding | None:
    if (found := seccomp(metadata, spec)) is not None:
        return found
    of_pod = security(spec).get("seccompProfile") is not None and not unconfined(security(spec))
    silent = [] if of_pod else those(spec, lambda context: context.get("seccompProfile") is None)
    detail = f"pod or {named('container', silent)} must set securityContext.seccompProfile.type to "
    return Finding("seccompProfile", detail + '"RuntimeDefault" or "Localhost"') if silent else None
