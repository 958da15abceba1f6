"""PodSecurity: enforces a namespace's level on pods, warns about templates, and judges a change of the labels."""

from __future__ import annotations

import asyncio
from collections import Counter

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.kinds import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    POD,
    POD_TEMPLATE,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    STATEFUL_SET,
    Kind,
)
from apimachinery.objects import Obj, controller_of
from controlplane.apiserver.admission.plugin import Needs, Plugin, Wait
from controlplane.apiserver.admission.podsecurity import levels
from controlplane.apiserver.admission.podsecurity.levels import LevelVersion, Policy
from controlplane.apiserver.admission.podsecurity.standards import violations
from controlplane.apiserver.admission_request import Admission, Operation

# Where the template of a pod controller lies.
_TEMPLATES: dict[Kind, tuple[str, ...]] = {
    POD_TEMPLATE: ("template",),
    REPLICATION_CONTROLLER: ("spec", "template"),
    REPLICA_SET: ("spec", "template"),
    DEPLOYMENT: ("spec", "template"),
    STATEFUL_SET: ("spec", "template"),
    DAEMON_SET: ("spec", "template"),
    JOB: ("spec", "template"),
    CRON_JOB: ("spec", "jobTemplate", "spec", "template"),
}
# Subresources of pods that say nothing about what a pod may do.
_IGNORED = frozenset(("exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"))
# How many pods of a namespace are looked at, for how long (seconds), and how many at once.
_MOST_PODS, _CHECK_SECONDS, _SLICE = 3000, 1.0, 50


class PodSecurity(Plugin):
    name = "PodSecurity"

    def __init__(self, needs: Needs) -> None:
        super().__init__(needs)
        self._exempt = needs.settings.pod_security_exemptions
        self._defaults = defaults(needs.settings.pod_security_defaults)

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        if operation not in ("CREATE", "UPDATE"):
            return False
        if kind is POD:
            return subresource not in _IGNORED
        return not subresource and (kind is NAMESPACE or kind in _TEMPLATES)

    def validate(self, admission: Admission) -> Wait:
        """Raises Forbidden, and Invalid for a namespace's labels."""
        if admission.kind is NAMESPACE:
            return self._namespace(admission)
        if not self._exempted(admission):
            self._of_pods(admission)
        return None

    def _of_pods(self, admission: Admission) -> None:
        namespace = self.registry.find(NAMESPACE, "", admission.namespace)
        if namespace is None:
            raise errors.InternalError(f'failed to lookup namespace "{admission.namespace}"')
        policy, wrong = self._policy(namespace)
        if policy.open and not wrong:
            return
        if admission.kind is POD:
            self._pod(admission, policy, wrong)
        else:
            self._controller(admission, policy, wrong)

    def _policy(self, namespace: Obj) -> tuple[Policy, list[FieldError]]:
        labels = namespace["metadata"].get("labels") or {}
        return levels.policy_of(labels, self._defaults)

    def _exempted(self, admission: Admission) -> bool:
        for reason, value in (("namespace", admission.namespace), ("user", admission.user.name)):
            if f"{reason}={value}" in self._exempt:
                admission.annotations["pod-security.kubernetes.io/exempt"] = reason
                return True
        return False

    def _pod(self, admission: Admission, policy: Policy, wrong: list[FieldError]) -> None:
        pod, old = admission.obj, admission.old
        assert pod is not None
        if admission.operation == "UPDATE" and old is not None and not _significant(pod["spec"], old["spec"]):
            return
        self._judge(admission, policy, wrong, pod, enforce=True)

    def _controller(self, admission: Admission, policy: Policy, wrong: list[FieldError]) -> None:
        """What creates pods is told of what those would break; the pods themselves are refused."""
        template: Obj = admission.obj or {}
        for step in _TEMPLATES[admission.kind]:
            template = template.get(step) or {}
        if template:
            self._judge(admission, policy, wrong, template, enforce=False)

    def _judge(self, admission: Admission, policy: Policy, wrong: list[FieldError], pod: Obj, enforce: bool) -> None:
        metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
        notes = admission.annotations
        if f"runtimeClass={spec.get('runtimeClassName')}" in self._exempt:
            notes["pod-security.kubernetes.io/exempt"] = "runtimeClass"
            return
        if wrong:
            notes["pod-security.kubernetes.io/error"] = f"Failed to parse policy: {_joined(wrong)}"
        if enforce:
            notes["pod-security.kubernetes.io/enforce-policy"] = str(policy.enforce)
        if told := _told(policy.audit, metadata, spec):
            notes["pod-security.kubernetes.io/audit-violations"] = f"would violate PodSecurity {told}"
        if enforce and (told := _told(policy.enforce, metadata, spec)):
            raise errors.forbidden("pods", admission.given_name, f"violates PodSecurity {told}")
        if told := _told(policy.warn, metadata, spec):
            admission.warnings.append(f"would violate PodSecurity {told}")

    def _namespace(self, admission: Admission) -> Wait:
        new, name = admission.obj, admission.name
        assert new is not None
        policy, wrong = self._policy(new)
        before, wrong_before = self._policy(admission.old) if admission.old is not None else (None, [])
        if wrong and wrong != wrong_before:
            raise errors.invalid_object("Namespace", admission.given_name, wrong)
        if before is not None and not _tightened(policy.enforce, before.enforce):
            return None
        if f"namespace={name}" in self._exempt:
            if warning := self._ignored(name, policy, new["metadata"].get("labels") or {}):
                admission.warnings.append(warning)
        elif before is not None:
            return self._standing(admission, name, policy.enforce)
        return None

    def _ignored(self, name: str, policy: Policy, labels: dict[str, str]) -> str:
        if policy.open or policy.amounts_to(self._defaults):
            return ""
        asked = []
        for mode in ("enforce", "audit", "warn"):
            wanted: LevelVersion = getattr(policy, mode)
            named = levels.PREFIX + mode in labels or f"{levels.PREFIX}{mode}-version" in labels
            if named and wanted.level != levels.PRIVILEGED:
                asked.append(f"{mode}={wanted}")
        return f'namespace "{name}" is exempt from Pod Security, and the policy ({", ".join(asked)}) will be ignored'

    async def _standing(self, admission: Admission, namespace: str, enforce: LevelVersion) -> None:
        """Warn of the pods that are there and could not be made any more; a little at a time, for others wait, too."""
        pods = await self._sorted_out(namespace)
        end = asyncio.get_running_loop().time() + _CHECK_SECONDS
        first: dict[str, str] = {}
        counts: Counter[str] = Counter()
        checked = 0
        for pod in pods[:_MOST_PODS]:
            if checked % _SLICE == 0:
                await asyncio.sleep(0)
                if asyncio.get_running_loop().time() > end:
                    break
            checked += 1
            reasons = ", ".join(found.reason for found in violations(enforce, pod["metadata"], pod["spec"]))
            if reasons:
                name = pod["metadata"]["name"]
                first[reasons] = min(name, first.get(reasons, name))
                counts[reasons] += 1
        if checked < len(pods):
            text = f"only checked against the first {checked} of {len(pods)} existing pods"
            admission.warnings.append(f"new PodSecurity enforce level {text}")
        if counts:
            text = f"violate the new PodSecurity enforce level {_quoted(str(enforce))}"
            admission.warnings.append(f"existing pods in namespace {_quoted(namespace)} {text}")
        told = sorted(f"{first[why]}{_others(count - 1)}: {why}" for why, count in counts.items())
        admission.warnings.extend(told)

    async def _sorted_out(self, namespace: str) -> list[Obj]:
        """The pods to look at: one of each controller before the rest of them, none with an exempt runtime class."""
        seen: set[str] = set()
        ahead: list[Obj] = []
        behind: list[Obj] = []
        for index, entry in enumerate(self.registry.collection(POD).scan(namespace)):
            if index % _SLICE == 0:
                await asyncio.sleep(0)
            pod = entry.obj
            if f"runtimeClass={pod['spec'].get('runtimeClassName')}" in self._exempt:
                continue
            owner = (controller_of(pod) or {}).get("uid", "")
            (behind if owner and owner in seen else ahead).append(pod)
            seen.add(owner)
        return ahead + behind


def defaults(wanted: tuple[str, ...]) -> Policy:
    """The policy of namespaces that say nothing, from settings: enforce=baseline:v1.30, … Raises ValueError."""
    given = {}
    for text in wanted:
        mode, _, rest = text.partition("=")
        level, _, version = rest.partition(":")
        if mode not in ("enforce", "audit", "warn"):
            raise ValueError(f"pod security default {text}: the mode is one of enforce, audit, warn")
        given[mode] = levels.parse(level, version or "latest")
    return Policy(**given)


def _told(wanted: LevelVersion, metadata: Obj, spec: Obj) -> str:
    found = violations(wanted, metadata, spec)
    return f"{_quoted(str(wanted))}: {', '.join(str(one) for one in found)}" if found else ""


def _quoted(text: str) -> str:
    return f'"{text}"'


def _joined(wrong: list[FieldError]) -> str:
    texts = [str(one) for one in wrong]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _others(count: int) -> str:
    if not count:
        return ""
    return f" (and {count} other pod{'s' if count > 1 else ''})"


def _tightened(new: LevelVersion, old: LevelVersion) -> bool:
    if new == old or new.level == levels.PRIVILEGED:
        return False
    return new.minor != old.minor or levels.stricter(new.level, old.level)


def _significant(new: Obj, old: Obj) -> bool:
    """Whether an update may make a pod break a level: its images, or more containers."""
    for field in ("containers", "initContainers"):
        before, after = old.get(field) or (), new.get(field) or ()
        if len(before) != len(after):
            return True
        if any(a.get("image") != b.get("image") for a, b in zip(after, before, strict=True)):
            return True
    known = {c["name"]: c.get("image") for c in old.get("ephemeralContainers") or ()}
    return any(known.get(c["name"], c) != c.get("image") for c in new.get("ephemeralContainers") or ())
