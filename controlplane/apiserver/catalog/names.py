"""What an object may be called, where it is not a DNS name of apimachinery.formats."""

from __future__ import annotations

from apimachinery.errors import quoted


def unaskable(name: str) -> str:
    """Why upstream's own client cannot ask for an object of this name; "" where it can."""
    if not name:
        return "resource name may not be empty"
    if complaints := path_segment(name):
        return f"invalid resource name {quoted(name)}: [{' '.join(complaints)}]"
    return ""


def path_segment(name: str) -> tuple[str, ...]:
    """Names that only have to fit into a URL: of RBAC objects, and of kinds whose own check asks nothing of them."""
    if name in (".", ".."):
        return (f"may not be '{name}'",)
    return tuple(f"may not contain '{part}'" for part in ("/", "%") if part in name)
