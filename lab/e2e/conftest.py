"""Options, the cluster, its web servers and probes, and the table at the end."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from lab.e2e.access import Access, LabAccess, NoAccess, VagrantAccess
from lab.e2e.cluster import NAMESPACE, OF_A_TRIAL, PROBE, SERVE, WEB, Cluster, daemon_set, run, service


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `wherry e2e` passes on."""
    group = parser.getgroup("e2e")
    for name in ("kubectl", "kubeconfig", "image", "lab"):
        group.addoption(f"--e2e-{name}", default="")
    group.addoption("--e2e-vagrant", action="store_true")
    group.addoption("--e2e-patience", type=float, default=1.0)
    group.addoption("--e2e-node", action="append", default=[])


def _nodes(config: pytest.Config) -> tuple[str, ...]:
    """The Ready nodes by name, or those asked for."""
    argv = [config.getoption("e2e_kubectl"), "--kubeconfig", config.getoption("e2e_kubeconfig")]
    listed = json.loads(run([*argv, "get", "nodes", "-o", "json"]))["items"]
    ready = [node["metadata"]["name"] for node in listed if _is_ready(node)]
    asked = config.getoption("e2e_node")
    if wrong := [name for name in asked if name not in ready]:
        raise pytest.UsageError(f"no Ready node {', '.join(wrong)}; there are {', '.join(ready) or 'none'}")
    if not ready:
        raise pytest.UsageError("no node of this cluster is Ready")
    return tuple(asked or ready)


def _is_ready(node: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions") or ())


_CLUSTER = pytest.StashKey[Cluster]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Who is there decides how often a trial of each node is made."""
    option = session.config.getoption
    session.config.stash[_CLUSTER] = Cluster(
        option("e2e_kubectl"),
        option("e2e_kubeconfig"),
        option("e2e_image"),
        _nodes(session.config),
        option("e2e_patience"),
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A trial that takes `node` is made on each."""
    if "node" in metafunc.fixturenames:
        metafunc.parametrize("node", metafunc.config.stash[_CLUSTER].nodes)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes nodes down comes last."""
    items.sort(key=lambda item: "test_disruption" in item.nodeid)


@pytest.fixture(scope="session")
def bare(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster with the trials' namespace, new, and gone afterwards."""
    cluster = request.config.stash[_CLUSTER]
    gone = ("delete", "namespace", NAMESPACE, "--ignore-not-found", f"--timeout={120 * cluster.patience:.0f}s")
    cluster.kubectl(*gone, timeout=130)
    cluster.kubectl("create", "namespace", NAMESPACE)
    # Pods wait for it, and the first trial would wait for them.
    cluster.until(lambda: cluster.kubectl("get", "serviceaccount", "default"), 30, "the namespace has its account")
    try:
        yield cluster
    finally:
        cluster.kubectl(*gone, timeout=130)


@pytest.fixture(autouse=True)
def _pods_go_with_their_trial(bare: Cluster) -> Iterator[None]:
    """Probes that nobody asks for any more take the next trial's processor where that is emulated."""
    yield
    bare.kubectl("delete", "pods", "-l", OF_A_TRIAL, "--wait=false")


@pytest.fixture(scope="session")
def cluster(bare: Cluster) -> Cluster:
    """With a web server and a probe (a pod in the node's network) on each node, and a Service before the former."""
    bare.apply(
        daemon_set(WEB, bare.image, SERVE),
        daemon_set(PROBE, bare.image, "trap 'exit 0' TERM; sleep 1000000 & wait", hostNetwork=True),
        service(WEB),
    )
    for name in (WEB, PROBE):
        wait = f"--timeout={180 * bare.patience:.0f}s"
        bare.kubectl("rollout", "status", f"daemonset/{name}", wait, timeout=190)
    return bare


@pytest.fixture(scope="session")
def access(request: pytest.FixtureRequest) -> Access:
    """The way onto the machines."""
    option = request.config.getoption
    if option("e2e_vagrant"):
        return VagrantAccess(option("e2e_patience"))
    return LabAccess(option("e2e_lab")) if option("e2e_lab") else NoAccess()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A line an area."""
    areas: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    seconds: dict[str, float] = defaultdict(float)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            area = report.nodeid.rpartition("/")[2].partition(".py")[0].removeprefix("test_")
            areas[area]["failed" if outcome == "error" else outcome] += 1
            seconds[area] += getattr(report, "duration", 0.0)
    terminalreporter.write_line(f"\n{'AREA':<16}{'PASSED':>8}{'FAILED':>8}{'SKIPPED':>9}{'SECONDS':>9}")
    for area in sorted(areas):
        passed, failed, skipped = (areas[area][name] for name in ("passed", "failed", "skipped"))
        terminalreporter.write_line(f"{area:<16}{passed:>8}{failed:>8}{skipped:>9}{seconds[area]:>9.1f}")
