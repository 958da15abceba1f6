"""Rows and labels of /metrics/cadvisor, as queries add them up."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from agent.host.cgroups import Hierarchy
from agent.host.figures import Figures
from agent.server import cadvisor
from agent.view import ContainerRef

POD = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
    "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
}


def made(base: Path, path: str, memory: int) -> None:
    directory = base / path
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "memory.current").write_text(str(memory))
    (directory / "cgroup.procs").write_text("")


def test_each_kind_of_row_has_the_labels_that_queries_go_by(tmp_path: Path) -> None:
    for path, memory in (("kubepods", 90), ("kubepods/burstable", 80), ("kubepods/burstable/podu", 70)):
        made(tmp_path, f"node/{path}", memory)
    made(tmp_path, "node/kubepods/burstable/podu/box", 10)
    made(tmp_path, "node/kubepods/burstable/podu/run", 60)
    refs = [
        ContainerRef("run", "c", "u", "running", Path(), 0, 'registry/"i"'),
        ContainerRef("gone", "d", "u", "running", Path(), 0),
    ]
    placed = [cadvisor.Placed(POD, "box", "pause", refs)]
    figures = Figures(Hierarchy(True, (tmp_path,), (tmp_path,)))
    families = {f.name: f for f in text_string_to_metric_families(cadvisor.page(tmp_path, "/node", figures, placed))}
    rows = {tuple(s.labels.values()): s.value for s in families["container_memory_usage_bytes"].samples}
    where = "/kubepods/burstable/podu"
    machine = rows.pop(("", "/", "", "", "", ""))
    assert rows == {
        ("", "/kubepods", "", "", "", ""): 90,
        ("", "/kubepods/burstable", "", "", "", ""): 80,
        ("", where, "", "", "ns", "p"): 70,
        ("", f"{where}/box", "pause", "box", "ns", "p"): 10,
        ("c", f"{where}/run", 'registry/"i"', "run", "ns", "p"): 60,
    }
    (installed,) = families["machine_memory_bytes"].samples
    assert 0 < machine < installed.value and set(installed.labels) == {"boot_id", "machine_id", "system_uuid"}
    assert {s.labels["container"] for s in families["container_processes"].samples} == {"", "c"}
    assert families["container_fs_limit_bytes"].samples[0].labels["device"]
    started = [s for s in families["container_start_time_seconds"].samples if s.labels["container"] == "c"]
    assert len(started) == 1 and started[0].timestamp is None
    assert len(families["container_last_seen"].samples) == 6
