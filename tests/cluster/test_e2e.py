"""`wherry e2e` on the lab: a few trials of one node, told on the screen and as JUnit XML, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.e2e.cluster import NAMESPACE
from tests.cluster.lab import Lab

pytestmark = pytest.mark.cluster


def test_trials_of_one_node_are_made_and_told(lab: Lab, tmp_path: Path) -> None:
    junit = tmp_path / "e2e.xml"
    focus = "cluster_ip or node_port or exit_code or ipvs or anew"
    done = lab.wherry("e2e", "--node", "node2", "--focus", focus, "--junit", str(junit), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = list(ElementTree.parse(junit).iter("testcase"))
    # Each of the node asked for, or, once, of the cluster that it then is.
    assert {case.get("name", "").partition("[")[2][:5] for case in cases} == {"node2", ""}
    assert len(cases) == 7
    # What this lab cannot do is named.
    assert "the proxy's mode is nftables, not ipvs" in done.stdout
    assert "services" in done.stdout.partition("AREA")[2]
    assert lab.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") == ""


def test_a_node_that_is_not_there_is_named(lab: Lab) -> None:
    done = lab.wherry("e2e", "--node", "node9", check=False)
    assert done.returncode != 0
    assert "no Ready node node9" in done.stdout + done.stderr
