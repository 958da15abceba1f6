"""A pod's whole status from the runtime's records and the probes' verdicts. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agent import podspec, restarts
from agent.cri.model import PodRecord
from agent.status.conditions import DISRUPTION_TARGET, pod_conditions, stamp
from agent.status.containers import Observations, container_statuses
from agent.status.phase import FAILED, TERMINAL, pod_phase
from agent.status.resources import pod_resources
from apimachinery.objects import Obj
from apimachinery.pods.qos import qos_class


@dataclass(frozen=True)
class Verdict:
    """A decision about the whole pod that its containers do not show: rejected, out of time, evicted."""

    reason: str
    message: str
    started: bool = True
    """Its containers were ever meant to run: false for a pod refused at admission."""
    disruption: str = ""
    """The message of the DisruptionTarget condition of a pod ended for another's sake (KEP-3329)."""
    grace: int | None = None
    """Seconds that its containers get to end in, instead of what the pod says."""


@dataclass(frozen=True)
class StatusFacts:
    """`now`: RFC 3339, whole seconds. `old`: the status reported so far."""

    old: Obj
    now: str
    containers: Observations = field(default_factory=Observations)
    node_ips: tuple[str, ...] = ()
    verdict: Verdict | None = None
    resizes: tuple[Obj, ...] = ()
    """Conditions of a resize that waits or is under way."""
    terminal: bool = False
    """Everything of the pod has been stopped for good."""


def pod_status(pod: Obj, record: PodRecord, facts: StatusFacts) -> Obj:
    """PodStatus as the API has it."""
    old = facts.old
    causes = restarts.all_restart(restarts.restartables(pod), record)
    if causes or _was_cause(pod, old):
        facts = replace(facts, containers=replace(facts.containers, restarting=True))
    if old.get("phase") in TERMINAL and not record.containers and not record.sandboxes:
        # The last word was said, perhaps by an agent before this one.
        return old
    if facts.verdict is not None and not facts.verdict.started:
        return _refused(pod, facts)
    inits = container_statuses(
        pod,
        podspec.init_containers(pod),
        record,
        old.get("initContainerStatuses") or [],
        facts.containers,
        init=True,
    )
    mains = container_statuses(
        pod, podspec.containers(pod), record, old.get("containerStatuses") or [], facts.containers, init=False
    )
    ephemeral = container_statuses(
        pod,
        [c for c in podspec.ephemeral_containers(pod)],
        record,
        old.get("ephemeralContainerStatuses") or [],
        facts.containers,
        init=False,
    )
    phase = pod_phase(pod, inits + mains, terminal=facts.terminal)
    if old.get("phase") in TERMINAL:
        # A finished pod never comes back, whatever the runtime still shows.
        phase = old["phase"]
    if facts.verdict is not None:
        phase = FAILED
    sandbox = record.ready_sandbox
    held = [*(old.get("conditions") or ()), *_disruption(pod, facts)]
    conditions = pod_conditions(
        pod, inits + mains, phase, _can_start(pod, record), held, restarting=causes, resizes=facts.resizes
    )
    status: Obj = {
        "phase": phase,
        "conditions": stamp(conditions, old.get("conditions") or [], facts.now),
        "startTime": old.get("startTime") or facts.now,
        "qosClass": qos_class(podspec.spec(pod)),
    }
    if generation := pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    _addresses(status, pod, facts, sandbox.ips if sandbox else ())
    for key, value in (
        ("initContainerStatuses", inits),
        ("containerStatuses", mains),
        ("ephemeralContainerStatuses", ephemeral),
    ):
        if value:
            status[key] = value
    _resources(status, pod)
    _explain(status, facts)
    return status


def _was_cause(pod: Obj, old: Obj) -> bool:
    """Whether the last word said of a container was an end that starts all anew: since then it was taken away."""
    if not restarts.all_could_restart(pod):
        return False
    listed = (*(old.get("initContainerStatuses") or ()), *(old.get("containerStatuses") or ()))
    ends = {status["name"]: (status.get("state") or {}).get("terminated") for status in listed}
    return any((end := ends.get(c.name)) and c.policy.starts_all(end["exitCode"]) for c in restarts.restartables(pod))


def _disruption(pod: Obj, facts: StatusFacts) -> list[Obj]:
    verdict = facts.verdict
    if (
        verdict is None
        or not verdict.disruption
        or any(c["type"] == DISRUPTION_TARGET for c in facts.old.get("conditions") or ())
    ):
        return []
    condition: Obj = {
        "type": DISRUPTION_TARGET,
        "status": "True",
        "reason": "TerminationByKubelet",
        "message": verdict.disruption,
        "lastProbeTime": None,
        "lastTransitionTime": facts.now,
    }
    if generation := pod["metadata"].get("generation"):
        condition["observedGeneration"] = generation
    return [condition]


def _can_start(pod: Obj, record: PodRecord) -> bool:
    sandbox = record.ready_sandbox
    return sandbox is not None and (podspec.host_network(pod) or bool(sandbox.ips))


def _addresses(status: Obj, pod: Obj, facts: StatusFacts, ips: tuple[str, ...]) -> None:
    if facts.node_ips:
        status["hostIP"] = facts.node_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in facts.node_ips]
    if podspec.host_network(pod) and not ips:
        # Its address is the node's, known as soon as it may run.
        ips = facts.node_ips
    listed = [{"ip": ip} for ip in ips] or facts.old.get("podIPs") or []
    if listed:
        status["podIP"] = listed[0]["ip"]
        status["podIPs"] = listed


def _resources(status: Obj, pod: Obj) -> None:
    requests, limits = pod_resources(pod)
    shown: Obj = {}
    if limits:
        shown["limits"] = limits
    if requests:
        shown["requests"] = requests
        status["allocatedResources"] = requests
    status["resources"] = shown


def _explain(status: Obj, facts: StatusFacts) -> None:
    if facts.verdict is not None:
        status["reason"], status["message"] = facts.verdict.reason, facts.verdict.message
    elif status["phase"] in TERMINAL:
        for key in ("reason", "message"):
            if facts.old.get(key):
                status[key] = facts.old[key]


def _refused(pod: Obj, facts: StatusFacts) -> Obj:
    assert facts.verdict is not None
    foreign = [c for c in facts.old.get("conditions") or () if c["type"] == "PodScheduled"]
    status: Obj = {
        "phase": FAILED,
        "reason": facts.verdict.reason,
        "message": facts.verdict.message,
        "qosClass": qos_class(podspec.spec(pod)),
        "startTime": facts.old.get("startTime") or facts.now,
    }
    if foreign:
        status["conditions"] = foreign
    if generation := pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    return status
