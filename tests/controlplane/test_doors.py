"""The doors of scheduler and controllers, and that no daemon of ours has one that is plain and open."""

from __future__ import annotations

import ast
import asyncio
import resource
import ssl
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from apimachinery import pki
from apimachinery.client import Client
from apimachinery.kinds import CLUSTER_ROLE_BINDING
from apimachinery.kit import daemon, webserver
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.kit.serve import ok
from controlplane import doors
from controlplane.settings import DaemonSettings
from tests.controlplane.apiserver.server import DEADLINE, serving

ROOT = Path(__file__).resolve().parents[2]
PORT = 18_257


async def _metrics(_query: Mapping[str, str]) -> tuple[int, bytes, str]:
    return 200, b"figures", "text/plain"


async def _answers(tmp_path: Path, settings: DaemonSettings, client: Client) -> dict[str, tuple[int, str]]:
    lifecycle = Lifecycle()
    routes = {"/healthz": ok, "/metrics": _metrics}
    await doors.serve(lifecycle, settings, "kube-scheduler", client, routes)
    found: dict[str, tuple[int, str]] = {}
    tls = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    shown = ssl.create_default_context()
    shown.check_hostname, shown.verify_mode = False, ssl.CERT_NONE
    shown.load_cert_chain(tmp_path / "admin.crt", tmp_path / "admin.key")
    asked = (
        ("health", tls, "/healthz", ""),
        ("nobody", tls, "/metrics", ""),
        ("bad token", tls, "/metrics", "Bearer nonsense"),
        ("certificate", shown, "/metrics", ""),
        ("status", shown, "/statusz", ""),
        ("flags", shown, "/flagz", ""),
        ("nobody's flags", tls, "/flagz", ""),
    )
    try:
        async with aiohttp.ClientSession() as session:
            for name, context, path, token in asked:
                headers = {"Authorization": token} if token else {}
                url = f"https://127.0.0.1:{PORT}{path}"
                async with session.get(url, ssl=context, headers=headers) as answer:
                    found[name] = answer.status, await answer.text()
    finally:
        lifecycle.request_stop()
        await lifecycle.wait()
    return found


def test_health_is_for_everybody_and_metrics_for_whom_the_api_server_lets_in(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as client:
            settings = DaemonSettings(tmp_path / "unused", PORT, client_ca_file=tmp_path / "ca.crt")
            found = await _answers(tmp_path, settings, client)
            assert found["health"] == (200, "ok")
            assert found["nobody"] == (403, 'forbidden: User "system:anonymous" cannot get path "/metrics"\n')
            assert found["bad token"][0] == 401
            assert found["certificate"] == (200, "figures")
            assert found["status"][0] == 200 and "\nPaths: /flagz /healthz /metrics\n" in found["status"][1]
            assert found["flags"][0] == 200 and f"\nhealth-port={PORT}\n" in found["flags"][1]
            assert found["nobody's flags"][0] == 403
            # Who is told about the metrics in a role may see them, here everybody.
            subject = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:unauthenticated"}
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:monitoring"}
            binding = {"metadata": {"name": "open"}, "subjects": [subject], "roleRef": role}
            await client.create(CLUSTER_ROLE_BINDING, binding)
            assert (await _answers(tmp_path, settings, client))["nobody"] == (200, "figures")

    asyncio.run(asyncio.wait_for(main(), DEADLINE))


# Plain and for everybody upstream as well: health that load balancers and neighbours ask for.
OPEN = {("netproxy/app.py", "settings.health_port")}


def test_every_port_of_a_daemon_has_tls_or_is_on_localhost() -> None:
    """Looks at each place that listens: what it passes, and where the host comes from a setting, its default."""
    wrong = []
    for package in ("agent", "cni", "controlplane", "netproxy", "lab"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("serve_http", "TCPSite", "Site")):
                    wrong += _plain(path.relative_to(ROOT).as_posix(), node)
    assert not wrong


def _plain(place: str, call: ast.Call) -> list[str]:
    named = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    host, port = (ast.unparse(argument) for argument in call.args[1:3])
    if "ssl" in named or "ssl_context" in named or host == "'127.0.0.1'" or (place, port) in OPEN:
        return []
    if (
        host == "settings.metrics_bind_address"
        and 'metrics_bind_address: str = "127.0.0.1"' in (ROOT / place).with_name("settings.py").read_text()
    ):
        return []
    return [f"{place}:{call.lineno} listens on {host} in plain"]


def test_nobody_elses_ciphers_are_spoken(tmp_path: Path) -> None:
    authority = pki.new_ca("test")
    pair = pki.issue(authority, "server", ips=("127.0.0.1",), server=True)
    (tmp_path / "c").write_bytes(pair.cert_pem)
    (tmp_path / "k").write_bytes(pair.key_pem)
    context = webserver.tls_context(tmp_path / "c", tmp_path / "k")
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    names = [cipher["name"] for cipher in context.get_ciphers()]
    assert names and all("GCM" in name or "CHACHA20" in name for name in names)
    assert all(name.startswith(("ECDHE", "TLS_")) for name in names)


def test_a_process_may_open_what_the_machine_lets_it_and_leaves_files_to_work_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = [(1024, 524288)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda which, wanted: limits.append(wanted))
    known = webserver.Limits()
    assert webserver.fitting(known).connections == 768, "256 files are left"
    daemon.raise_file_limit()
    assert limits[-1] == (524288, 524288)
    assert webserver.fitting(known) == known
