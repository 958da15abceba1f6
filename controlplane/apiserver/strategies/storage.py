"""Claims, volumes and the storage group: what the server fills in."""

from __future__ import annotations

from apimachinery.objects import Obj
from apimachinery.timestamps import format_time, now
from controlplane.apiserver.catalog.strategy import keep_spec

_SNAPSHOTS = "snapshot.storage.k8s.io"


def claim_created(claim: Obj) -> None:
    """Only claims and snapshots are data sources of old; the newer reference says the same and more."""
    claim["status"] = {"phase": "Pending"}
    claim_sources(claim["spec"], {})


def claim_sources(spec: Obj, before: Obj) -> None:
    """Let dataSource and dataSourceRef fill in each other.

    What means nothing goes, unless the claim had sources before: a reference into another namespace, which is behind a
    feature gate that is off, and alone a dataSource of another kind.
    """
    if (spec.get("dataSourceRef") or {}).get("namespace") and before.get("dataSourceRef") is None:
        del spec["dataSourceRef"]
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    had = before.get("dataSource") is not None or before.get("dataSourceRef") is not None
    if source is not None and reference is None and not had and not _understood(source):
        del spec["dataSource"]
        source = None
    if source is not None and reference is None:
        spec["dataSourceRef"] = _source(source)
    elif source is None and reference is not None and not reference.get("namespace"):
        spec["dataSource"] = _source(reference)


def _understood(source: Obj) -> bool:
    kind, group = source.get("kind"), source.get("apiGroup") or ""
    return (kind, group) in (("PersistentVolumeClaim", ""), ("VolumeSnapshot", _SNAPSHOTS))


def _source(reference: Obj) -> Obj:
    return {"apiGroup": reference.get("apiGroup"), "kind": reference.get("kind"), "name": reference.get("name")}


def claim_changed(new: Obj, old: Obj) -> None:
    claim_sources(new["spec"], old["spec"])


def volume_created(volume: Obj) -> None:
    volume["status"] = {"phase": "Pending", "lastPhaseTransitionTime": format_time(now())}


def volume_status(new: Obj, old: Obj) -> None:
    """A change of phase is dated, unless its writer has dated it."""
    keep_spec(new, old)
    status, was = new.setdefault("status", {}), old.get("status") or {}
    dated = status.get("lastPhaseTransitionTime")
    if status.get("phase") != was.get("phase"):
        if dated is None or dated == was.get("lastPhaseTransitionTime"):
            status["lastPhaseTransitionTime"] = format_time(now())
    elif dated is None and was.get("lastPhaseTransitionTime"):
        status["lastPhaseTransitionTime"] = was["lastPhaseTransitionTime"]


def driver_created(driver: Obj) -> None:
    """Limits of volumes in scheduling are behind a feature gate that is off."""
    driver["spec"].pop("preventPodSchedulingIfMissing", None)


def driver_changed(new: Obj, old: Obj) -> None:
    """The generation counts changes from nothing on: a new driver has none."""
    if "preventPodSchedulingIfMissing" not in old["spec"]:
        driver_created(new)
    if new["spec"] != old["spec"]:
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
