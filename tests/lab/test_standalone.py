"""A machine of one's own: what it may be told, what its daemons are told, and whom those who join believe."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import datetime
import re
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from apimachinery import pki
from apimachinery.kit import netns
from apimachinery.kit.netlink import End, Netlink, Route, Rule, links, routes, rules
from apimachinery.kit.settings import SettingsError, load
from cni.node.device import ALIAS
from cni.node.plan import PROTOCOL
from controlplane.apiserver.authz import default_policy
from lab import heartbeats, names
from lab.certificates import POLICY
from lab.components import Component
from lab.paths import Paths
from lab.spec import PROXY_MODES, SpecError
from lab.standalone import join, publish, removal, server, tokens, worker
from lab.standalone.credentials import Credentials
from lab.standalone.machine import NAT_ADDRESS, own_address
from lab.standalone.settings import Node, Server, configure, merged
from tests.cni import kernel
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
TOKEN = tokens.Token("abcdef", "0123456789abcdef")


@pytest.fixture
def home(tmp_path: Path) -> Paths:
    return Paths(names.MACHINE, tmp_path)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("api_port=443", "1024"),
        ("address=localhost", "address"),
        ("name=Bad Name", "name"),
        ("pod_cidr=10.244.0.0/24", "pod_cidr"),
        ("service_cidr=10.244.0.0/24", "overlaps"),
        ("proxy_mode=magic", "proxy_mode"),
        ("dns=maybe", "dns"),
        ("token=abcdef", "bootstrap token"),
        ("adress=192.0.2.1", "adress"),
        ("address", "KEY=VALUE"),
        ("apiserver={event_ttl: 5", "apiserver"),
    ],
)
def test_what_a_server_cannot_be_is_refused_by_name_before_it_is_written(tmp_path: Path, key: str, problem: str):
    file = tmp_path / "server.yaml"
    configure(Server, file, ["address=192.0.2.10"])
    before = file.read_bytes()
    with pytest.raises(SettingsError, match=problem):
        configure(Server, file, [key])
    assert file.read_bytes() == before


def test_setting_keys_keeps_the_others_and_an_empty_value_takes_one_out(tmp_path: Path):
    file = tmp_path / "node.yaml"
    file.write_text("agent: {max_pods: 50}\nserver: https://192.0.2.10:6443\n")
    # A token of digits alone is no number.
    configure(Node, file, ["token=123456.1234567890123456", "taints=[a=b:NoSchedule]", "node_ip=192.0.2.11"])
    configure(Node, file, ["node_ip="])
    assert yaml.safe_load(file.read_text()) == {
        "agent": {"max_pods": 50},
        "server": "https://192.0.2.10:6443",
        "token": "123456.1234567890123456",
        "taints": ["a=b:NoSchedule"],
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert load(Node, file).taints == ("a=b:NoSchedule",)


@pytest.mark.parametrize(("given", "problem"), [({}, "kubeconfig"), ({"server": "http://192.0.2.1"}, "https")])
def test_a_node_must_know_how_the_api_server_is_reached(given: dict[str, Any], problem: str):
    with pytest.raises(ValueError, match=problem):
        Node(**given)


def test_the_address_that_every_machine_behind_a_nat_has_is_no_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lab.standalone.machine.route_source", lambda *_: NAT_ADDRESS)
    with pytest.raises(SpecError, match="NAT"):
        own_address("", "192.0.2.1")
    assert own_address("192.0.2.7", "192.0.2.1") == "192.0.2.7"


def test_the_control_planes_daemons_are_told_of_the_machine_and_own_settings_win(home: Paths):
    chosen = Server(address="192.0.2.10", apiserver={"history_seconds": 60}, hostnet={"proxy": {"mode": "iptables"}})
    api = server.component(chosen, "apiserver", home).settings
    assert api is not None
    assert (api["bind_host"], api["history_seconds"]) == ("192.0.2.10", 60)
    assert api["bootstrap_token_auth"] is True
    hostnet = server.component(chosen, "hostnet", home).settings
    assert hostnet is not None
    assert (hostnet["proxy"]["mode"], hostnet["proxy"]["bind_address"]) == ("iptables", "192.0.2.10")
    with pytest.raises(SpecError, match="etcd"):
        server.component(chosen, "etcd", home)


def test_every_daemons_settings_are_ones_it_takes(home: Paths):
    import controlplane.apiserver.settings
    import controlplane.controllers.settings
    import controlplane.scheduler.settings
    import lab.hostnet
    import lab.nodeagent
    import netproxy.settings
    from apimachinery.kit.settings import of

    kinds = {
        "apiserver": controlplane.apiserver.settings.Settings,
        "scheduler": controlplane.scheduler.settings.Settings,
        "controllers": controlplane.controllers.settings.Settings,
        "hostnet": lab.hostnet.Settings,
    }
    assert set(kinds) == set(server.DAEMONS)
    for name, kind in kinds.items():
        of(kind, server.component(Server(address="192.0.2.10"), name, home).settings)
    chosen = Node(server="https://192.0.2.10:6443", node_ip="192.0.2.11", node_name="n1", labels={"a": "b"})
    held = Credentials(Path("/k"), Path("/ca"), None)
    told = of(lab.nodeagent.Settings, worker.agent(chosen, held, home).settings)
    assert (told.agent.node_ip, told.agent.cluster_dns, told.agent.tls_cert_file) == (
        "192.0.2.11",
        ("10.96.0.10",),
        None,
    )
    assert told.agent.register_labels == {"a": "b"}
    of(netproxy.settings.Settings, worker.proxy(chosen, held, home).settings)


HELD = Credentials(Path("/k"), Path("/ca"), None)
# Of each key another value than its default; None: how a machine joins and what it is called, which no daemon hears.
OTHER: dict[type, dict[str, Any]] = {
    Server: {
        "pod_cidr": "10.200.0.0/16",
        "service_cidr": "10.97.0.0/16",
        "proxy_mode": "ipvs",
        "dns": "external",
        "pod_network": "vxlan",
        "address": "192.0.2.99",
        "name": None,
        "api_port": 7443,
        "token": None,
        "apiserver": {"history_seconds": 60},
        "scheduler": {"health_port": 1},
        "controllers": {"health_port": 1},
        "hostnet": {"proxy": {"mode": "iptables"}},
    },
    Node: {
        "pod_cidr": "10.200.0.0/16",
        "service_cidr": "10.97.0.0/16",
        "proxy_mode": "ipvs",
        "dns": "external",
        "pod_network": "vxlan",
        "server": None,
        "token": None,
        "ca_hash": None,
        "kubeconfig": None,
        "node_name": "another",
        "node_ip": "192.0.2.99",
        "cluster_dns": "10.96.0.99",
        "labels": {"a": "b"},
        "taints": ["a=b:NoSchedule"],
        "agent": {"max_pods": 5},
        "network": {"mtu": 1400},
        "proxy": {"sync_period": 5},
    },
}
SAID: dict[type, Any] = {
    Server: Server(address="192.0.2.10"),
    Node: Node(server="https://192.0.2.10:6443", node_ip="192.0.2.11", node_name="one"),
}


def daemons(chosen: Server | Node, home: Paths) -> list[Component]:
    if isinstance(chosen, Server):
        return [server.component(chosen, name, home) for name in server.DAEMONS]
    return [worker.agent(chosen, HELD, home), worker.proxy(chosen, HELD, home)]


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, keys in OTHER.items() for key in keys])
def test_nothing_that_is_said_of_a_machine_is_taken_in_silence(home: Paths, kind: type, key: str):
    assert {field.name for field in dataclasses.fields(kind)} == set(OTHER[kind])
    if (value := OTHER[kind][key]) is not None:
        assert daemons(dataclasses.replace(SAID[kind], **{key: value}), home) != daemons(SAID[kind], home)


@pytest.mark.parametrize("mode", PROXY_MODES)
def test_a_machines_proxy_works_as_its_settings_say(home: Paths, mode: str):
    node, host = (dataclasses.replace(SAID[kind], proxy_mode=mode) for kind in (Node, Server))
    told = worker.proxy(node, HELD, home).settings, server.component(host, "hostnet", home).settings
    assert told[0] and told[1]
    assert (told[0]["mode"], told[1]["proxy"]["mode"]) == (mode, mode)


def test_certificates_are_made_once_and_anew_before_they_end(home: Paths):
    chosen = Server(address="192.0.2.10", name="c1")
    server.certify(chosen, home)
    made = {path: path.read_bytes() for path in (*home.pki.iterdir(), *home.settings.iterdir(), home.kubeconfig)}
    server.certify(chosen, home)
    assert {path: path.read_bytes() for path in made} == made
    now = datetime.datetime.now(datetime.timezone.utc)
    assert server.due(now, home) == []
    late = server.due(now + datetime.timedelta(days=365 - 59), home)
    assert home.pki / "ca.crt" not in late
    assert {"apiserver.crt", "scheduler.kubeconfig", "kubeconfig"} <= {path.name for path in late}


def test_the_policy_is_the_labs_and_more_and_can_be_read(home: Paths):
    server.certify(Server(address="192.0.2.10"), home)
    text = (home.settings / "policy.txt").read_text()
    found = {obj["metadata"]["name"] for _, obj in default_policy.parse_policy(text, {})}
    assert {obj["metadata"]["name"] for _, obj in default_policy.parse_policy(POLICY.read_text(), {})} < found
    assert "kubeadm:node-autoapprove-bootstrap" in found


def test_own_settings_reach_into_mappings_without_emptying_them():
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": {"e": 1}}) == {
        "a": {"b": 9, "c": 2},
        "d": {"e": 1},
    }


@pytest.mark.parametrize("text", ["", "abcdef", "abcdef.short", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef0"])
def test_what_is_no_token_is_refused_without_repeating_it(text: str):
    with pytest.raises(tokens.TokenError) as told:
        tokens.parse(text)
    assert not text or text not in str(told.value)


def test_new_tokens_are_tokens_and_never_twice_the_same():
    made = {str(tokens.new()) for _ in range(100)}
    assert len(made) == 100
    assert all(str(tokens.parse(text)) == text for text in made)


def info(ca: bytes, signer: tokens.Token | None, **more: str) -> dict[str, str]:
    text = publish.cluster_info("https://192.0.2.10:6443", ca)
    return {
        "kubeconfig": text,
        **({tokens.SIGNATURE + signer.ident: tokens.sign(signer, text)} if signer else {}),
        **more,
    }


def test_a_clusters_authority_is_believed_by_the_tokens_signature():
    ca = pki.new_ca("c").cert_pem
    assert join.believed(info(ca, TOKEN), TOKEN, "").strip() == ca.strip()


def test_who_does_not_know_the_tokens_secret_is_not_believed():
    other = tokens.Token(TOKEN.ident, "f" * 16)
    with pytest.raises(join.JoinError, match="in between"):
        join.believed(info(pki.new_ca("c").cert_pem, other), TOKEN, "")
    # Nor is a good signature of something else.
    forged = info(pki.new_ca("d").cert_pem, TOKEN) | {"kubeconfig": info(pki.new_ca("e").cert_pem, None)["kubeconfig"]}
    with pytest.raises(join.JoinError, match="in between"):
        join.believed(forged, TOKEN, "")


def test_the_authoritys_hash_does_where_nobody_signed_and_another_one_does_not():
    ca = pki.new_ca("c").cert_pem
    assert join.believed(info(ca, None), TOKEN, pki.public_key_hash(ca)).strip() == ca.strip()
    with pytest.raises(join.JoinError, match="another cluster"):
        join.believed(info(ca, TOKEN), TOKEN, "sha256:" + "0" * 64)


@pytest.mark.parametrize("text", ["", "{", "clusters: []", "clusters: [{cluster: {certificate-authority-data: '??'}}]"])
def test_what_holds_no_cluster_is_said_to(text: str):
    with pytest.raises(join.JoinError, match="holds no cluster"):
        join.believed({"kubeconfig": text}, TOKEN, "")


def test_a_signature_is_the_one_that_the_specification_makes():
    """RFC 7515: BASE64URL(header) .. BASE64URL(HMAC of header.payload), here recomputed by hand."""
    import hashlib
    import hmac

    signature = tokens.sign(TOKEN, "content")
    header, _, mac = signature.partition("..")
    assert base64.urlsafe_b64decode(header + "==") == b'{"alg":"HS256","kid":"abcdef"}'
    payload = base64.urlsafe_b64encode(b"content").rstrip(b"=").decode()
    expected = hmac.new(b"0123456789abcdef", f"{header}.{payload}".encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(mac + "=" * (-len(mac) % 4)) == expected
    assert tokens.signed(TOKEN, "content", signature)
    assert not tokens.signed(TOKEN, "content", ".." + mac)
    assert not tokens.signed(TOKEN, "content", header)


def test_no_lab_may_take_the_machines_place():
    assert names.problem(names.MACHINE)


@pytest.mark.parametrize(
    ("told", "since"),
    [
        ("2026-01-02T03:04:04Z", False),
        # Heartbeats have whole seconds.
        ("2026-01-02T03:04:05Z", True),
        ("2026-01-02T03:05:00Z", True),
        (None, False),
    ],
)
def test_a_node_is_believed_what_its_agent_said_since_it_was_started(told: str | None, since: bool):
    began = datetime.datetime(2026, 1, 2, 3, 4, 5, 700_000, tzinfo=datetime.timezone.utc)
    ready = {"type": "Ready", "status": "True", **({"lastHeartbeatTime": told} if told else {})}
    assert heartbeats.said_since({"status": {"conditions": [ready]}}, began) is since


def test_an_agent_began_when_its_process_did(home: Paths):
    file = home.settings_of("agent")
    assert heartbeats.agent_began(file) is None
    home.settings.mkdir(parents=True)
    file.touch()
    argv = [sys.executable, "-m", "agent", "--config", str(file)]
    # Told apart by program and whole arguments; what it does is no matter, and it ends at once over its settings.
    process = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        began = eventually(lambda: heartbeats.agent_began(file), pause=0.001)
        age = (datetime.datetime.now(datetime.timezone.utc) - began).total_seconds()
        assert -1 < age < 60
    finally:
        process.kill()
        process.wait()
    assert heartbeats.agent_began(file) is None


_NOTHING = SimpleNamespace(links=list, rules=lambda _protocol: [], routes=lambda protocol: [], do=lambda *_: None)


@pytest.mark.kernel
def test_devices_rules_and_routes_of_the_pod_network_go_with_a_node(
    monkeypatch: pytest.MonkeyPatch, home: Paths
) -> None:
    monkeypatch.setattr(removal, "RUNTIME", home.run / "absent")
    # Not every kernel can make a device for packets: what tells it is what it is called beside.
    ours = Route(ip_network("10.244.0.0/16"), kind="unreachable", metric=9, protocol=PROTOCOL)
    kept = dataclasses.replace(ours, destination=ip_network("10.8.0.0/16"), protocol=4)
    rule = Rule(ip_network("10.244.1.0/24"), 119, 100, PROTOCOL)
    with kernel.namespaces(1, "n") as (node,), Netlink(node) as opened:
        for name in ("cni0", "whtdev", "whtkept"):
            opened.do(links.add_bridge(End(name)))
        opened.do(links.change(opened.index("whtdev"), alias=ALIAS))
        opened.do(rules.add(rule), routes.replace_route(ours), routes.replace_route(kept))
        assert opened.rules(PROTOCOL) and opened.routes(protocol=PROTOCOL)
        netns.call(node, lambda: asyncio.run(removal.clear(home)))
        assert {link.name for link in opened.links()} == {"lo", "whtkept"}
        assert not opened.rules(PROTOCOL) and [r.destination for r in opened.routes(4)] == [kept.destination]


def test_every_table_of_the_pod_network_goes_with_a_node(monkeypatch: pytest.MonkeyPatch, home: Paths) -> None:
    texts: list[str] = []

    async def nft(_argv: Any, stdin: bytes, timeout: float) -> None:
        texts.append(stdin.decode())

    async def nothing(_settings: Any) -> None:
        return None

    monkeypatch.setattr(removal, "RUNTIME", home.run / "absent")
    monkeypatch.setattr(removal, "_proxy", lambda *_: None)
    monkeypatch.setattr(removal, "Netlink", lambda: contextlib.nullcontext(_NOTHING))
    monkeypatch.setattr("netproxy.app.remove_everything", nothing)
    monkeypatch.setattr("lab.standalone.removal.command.run", nft)
    asyncio.run(removal.clear(home))
    sources = [path.read_text() for path in (ROOT / "cni").rglob("*.py")]
    tables = {name for text in sources for name in re.findall(r'^TABLE = "(wherry-.+)"$', text, re.MULTILINE)}
    assert tables == {"wherry-hostports", "wherry-ipmasq"}
    of_bridges = {
        n for text in sources for n in re.findall(r'^    return f"(wherry-.+)-\{bridge\}"$', text, re.MULTILINE)
    }
    assert of_bridges == {"wherry-masquerade", "wherry-flows"}
    assert set(re.findall(r"delete table inet (\S+)", texts[0])) == {*tables, *(f"{n}-cni0" for n in of_bridges)}
