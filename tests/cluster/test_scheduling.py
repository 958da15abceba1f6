"""Scheduling as a person sees it through kubectl: simulated nodes, and room made for those who matter more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.simulate import plan
from tests.cluster.lab import Lab, ready
from tests.cluster.simulated import bound, pod, simulated
from tests.waiting import eventually

pytestmark = pytest.mark.cluster


def test_a_deployment_runs_on_simulated_nodes_and_nothing_is_left(clean: Lab, tmp_path: Path) -> None:
    with simulated(clean, tmp_path, 3, pods=9):
        clean.kubectl("rollout", "status", f"deployment/{plan.PODS}", "--timeout=120s")
        listed = clean.kubectl("get", "nodes", "-l", plan.LABEL, "--no-headers").split("\n")
        assert sum(" Ready " in line for line in listed) == 3
        assert set(bound(clean).values()) == {plan.node_name(number) for number in (1, 2, 3)}
        # The lab's own pods stay away from them.
        clean.kubectl("run", "real", "--image=wherry.local/busybox:1", "--command", "--", "sleep", "600")
        clean.kubectl("wait", "--for=condition=Ready", "pod/real", "--timeout=120s")
        assert bound(clean)["real"].startswith("node")
    assert set(bound(clean)) == {"real"}


def test_preemption_spares_what_a_budget_protects_as_long_as_it_can(clean: Lab, tmp_path: Path) -> None:
    """The protected pod started last and would be the one to go; without other room it goes all the same."""
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}
    urgent: Any = {"priorityClassName": "whturgent"}
    meta = {"name": "whtguarded"}
    with simulated(clean, tmp_path, 2, cpu="1"):
        clean.kubectl("create", "priorityclass", "whturgent", "--value=1000")
        try:
            clean.apply({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": budget})
            clean.apply(pod("plain", "1"))
            eventually(lambda: ready(clean.get("pod", "plain")), what="the plain pod runs")
            clean.apply(pod("guarded", "1", {"app": "guarded"}))
            eventually(lambda: clean.get("pdb", "whtguarded")["status"]["currentHealthy"] == 1, what="it is guarded")
            before = bound(clean)
            clean.apply(pod("first", "1", **urgent))
            eventually(lambda: bound(clean).get("first"), what="room is made")
            assert bound(clean) == {"guarded": before["guarded"], "first": before["plain"]}
            assert _told(clean, "plain") == [("Preempted", before["plain"])]
            clean.apply(pod("second", "1", **urgent))
            eventually(lambda: bound(clean).get("second"), what="room is made once more")
            assert bound(clean) == {"first": before["plain"], "second": before["guarded"]}
        finally:
            clean.kubectl("delete", "priorityclass", "whturgent")


def _told(lab: Lab, name: str) -> list[tuple[str, Any]]:
    """Why a pod had to go, and from which node."""
    found = lab.get("events", field=f"involvedObject.name={name},reason=Preempted")["items"]
    return [(event["reason"], event["message"].rpartition(" ")[2]) for event in found]
