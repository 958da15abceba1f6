"""What the informers leave out of the objects they keep: fields nobody here reads cost most of the memory."""

from __future__ import annotations

from apimachinery.objects import Obj


def spec_selector_only(obj: Obj) -> Obj:
    """Metadata without managed fields, and the selector of the spec."""
    metadata = {key: obj["metadata"].get(key) for key in ("name", "namespace", "uid", "resourceVersion")}
    return {"metadata": metadata, "spec": {"selector": (obj.get("spec") or {}).get("selector")}}
