"""What an applier is told when others own what it wants to change."""

from __future__ import annotations

from apimachinery import errors
from apimachinery.apply.fieldset import Fields, path_text, paths
from apimachinery.apply.managers import UPDATE, Key, Managers

__all__ = ["Conflicts", "error"]

Conflicts = dict[Key, Fields]


def error(found: Conflicts, managers: Managers) -> errors.Conflict:
    """The 409 that names every owner and field."""
    told = [(_owner(key, managers), path_text(path)) for key in sorted(found) for path in paths(found[key])]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": field} for owner, field in told
    ]
    if len(told) == 1:
        message = f"Apply failed with 1 conflict: conflict with {told[0][0]}: {told[0][1]}"
    else:
        parts = []
        for owner in dict.fromkeys(owner for owner, _ in told):
            lines = "\n".join(f"- {field}" for name, field in told if name == owner)
            parts.append(f"conflicts with {owner}:\n{lines}")
        message = f"Apply failed with {len(told)} conflicts: " + "\n".join(parts)
    return errors.Conflict(message, details={"causes": causes})


def _owner(key: Key, managers: Managers) -> str:
    name = f'"{key.manager}"'
    if key.subresource:
        name += f' with subresource "{key.subresource}"'
    if key.operation == UPDATE:
        name += f" using {managers[key].api_version}"
    return name
