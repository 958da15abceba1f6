"""What podFailurePolicy and successPolicy say (KEP-3329, KEP-3998). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.objects import Obj, name, namespace
from controlplane.controllers.job import indexes
from controlplane.controllers.job.indexes import Indexes


@dataclass(frozen=True)
class Match:
    """The `action` of the first rule that matches a failed pod ("" for none); for FailJob, what to say of it."""

    action: str = ""
    message: str = ""

    @property
    def counts(self) -> bool:
        """Whether the failure counts towards the limits of back-off."""
        return self.action != "Ignore"


def matched(job: Obj, pod: Obj) -> Match:
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        action = rule["action"]
        where = f"{namespace(pod)}/{name(pod)}"
        if rule.get("onExitCodes") is not None:
            container = _by_exit_code(pod, rule["onExitCodes"])
            if container is not None:
                code = container["state"]["terminated"]["exitCode"]
                text = f"Container {container['name']} for pod {where} failed with exit code {code}"
                return Match(action, f"{text} matching {action} rule at index {number}")
        elif rule.get("onPodConditions"):
            condition = _by_condition(pod, rule["onPodConditions"])
            if condition is not None:
                text = f"Pod {where} has condition {condition['type']}"
                return Match(action, f"{text} matching {action} rule at index {number}")
    return Match()


def _by_exit_code(pod: Obj, wanted: Mapping[str, Any]) -> Obj | None:
    status = pod.get("status") or {}
    for container in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        ended = (container.get("state") or {}).get("terminated")
        if ended is None or not ended.get("exitCode"):
            continue
        if wanted.get("containerName") in (None, container["name"]):
            listed = ended["exitCode"] in (wanted.get("values") or ())
            if listed == (wanted["operator"] == "In"):
                return dict(container)
    return None


def _by_condition(pod: Obj, patterns: list[Obj]) -> Obj | None:
    wanted = {(p["type"], p.get("status", "True")) for p in patterns}
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if (c.get("type"), c.get("status")) in wanted), None)


def success(job: Obj, succeeded: Indexes) -> str | None:
    """Which rule of successPolicy is met, in upstream's words, or None."""
    if not len(succeeded):
        return None
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        count = rule.get("succeededCount")
        if rule.get("succeededIndexes") is None:
            met = count is not None and len(succeeded) >= count
        else:
            wanted = indexes.parse(rule["succeededIndexes"], int(job["spec"]["completions"]))
            common = len(wanted & succeeded)
            met = bool(len(wanted)) and (common == len(wanted) or (count is not None and common >= count))
        if met:
            return f"Matched rules at index {number}"
    return None
