"""The same configurations to our plugins and to Debian's: the answers agree; and Debian's work chained after ours."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit import command, netns
from apimachinery.kit.netlink import Netlink
from cni import plugins, skel
from cni.host import Host, free_retired_now
from tests.cni import kernel
from tests.cni.invoke import Caller
from tests.cni.test_portmap import World, world  # noqa: F401  (the fixture)

DEBIAN = Path("/usr/lib/cni")
pytestmark = [
    pytest.mark.kernel,
    # The collection had flannel up to 0.9, which does not yet do all that is asked of 1.0 here.
    pytest.mark.skipif(
        not (DEBIAN / "bridge").exists() or (DEBIAN / "flannel").exists(),
        reason="containernetworking-plugins from 1.0 on is not installed",
    ),
]
SET4, SET6 = [{"subnet": "10.88.7.0/24"}], [{"subnet": "fd88::/64", "gateway": "fd88::9"}]
PORT = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
RATES = {"ingressRate": 8000, "ingressBurst": 8000, "egressRate": 8000, "egressBurst": 8000}
MAC = "02:00:00:00:00:07"
ROUTES = [{"dst": "10.9.0.0/16"}, {"dst": "10.10.0.0/16", "gw": "10.88.7.7"}]


def bridge(*sets: Any, **more: Any) -> dict[str, Any]:
    """With addresses from `sets`; none at all without them."""
    ipam = {"ipam": {"type": "host-local", "ranges": list(sets)}} if sets else {}
    return {"type": "bridge", "bridge": "whtbr0", **ipam, **more}


CHAINS: dict[str, list[dict[str, Any]]] = {
    "a default gateway": [bridge(SET4, isDefaultGateway=True)],
    "both families": [bridge(SET4, SET6, isDefaultGateway=True, hairpinMode=True)],
    "a gateway, and no default route": [bridge(SET4, SET6, isGateway=True, promiscMode=True)],
    "no gateway": [bridge(SET4, mtu=1400)],
    "masqueraded": [bridge(SET4, SET6, isGateway=True, ipMasq=True)],
    "no addresses": [bridge()],
    "an interface for somebody else": [bridge(disableContainerInterface=True)],
    "the configuration's dns": [bridge(SET4, dns={"nameservers": ["10.0.0.10"], "search": ["a"]})],
    "routes": [bridge(isDefaultGateway=True, ipam={"type": "host-local", "ranges": [SET4], "routes": ROUTES})],
    "an old range": [bridge(ipam={"type": "host-local", "subnet": "10.88.7.0/24", "rangeStart": "10.88.7.50"})],
    "a default route of its own": [
        bridge(
            SET4,
            isDefaultGateway=True,
            ipam={"type": "host-local", "ranges": [SET4], "routes": [{"dst": "0.0.0.0/0", "gw": "10.88.7.1"}]},
        )
    ],
    "a MAC by capability": [bridge(SET4, runtimeConfig={"mac": MAC})],
    "a MAC by argument": [bridge(SET4, args={"cni": {"mac": MAC}})],
    "addresses asked for": [bridge(SET4, SET6, runtimeConfig={"ips": ["10.88.7.9", "fd88::7"]})],
    "ranges of the runtime": [bridge(SET4, runtimeConfig={"ipRanges": [[{"subnet": "10.87.0.0/24"}]]})],
    # The bridge of Debian 12 loses a resolv.conf's answer.
    "addresses alone": [
        {
            "type": "host-local",
            "ipam": {"type": "host-local", "ranges": [SET4, SET6], "routes": ROUTES, "resolvConf": "RESOLV"},
        }
    ],
    "loopback": [{"type": "loopback"}],
    "a host port": [bridge(SET4, isGateway=True), {"type": "portmap", "runtimeConfig": {"portMappings": [PORT]}}],
    "bounds": [bridge(SET4), {"type": "bandwidth", "runtimeConfig": {"bandwidth": RATES}}],
    "all, and nothing wished": [bridge(SET4, isGateway=True), {"type": "portmap"}, {"type": "bandwidth"}],
}


def environment(what: str, pod: Path) -> dict[str, str]:
    given = {"CNI_COMMAND": what, "CNI_CONTAINERID": "c1", "CNI_NETNS": str(pod), "CNI_IFNAME": "eth0"}
    return {**given, "CNI_PATH": str(DEBIAN), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def ours(name: str, what: str, pod: Path, stdin: bytes, run_dir: Path) -> tuple[int, bytes]:
    plugin = plugins.by_name(name)
    assert plugin is not None
    with Netlink() as opened:
        return skel.answer(
            plugin, environment(what, pod), stdin, Host(opened, partial(free_retired_now, opened), run_dir)
        )


def theirs(name: str, what: str, pod: Path, stdin: bytes, run_dir: Path) -> tuple[int, bytes]:
    argv = [str(DEBIAN / name)]
    done = subprocess.run(argv, input=stdin, env=environment(what, pod), capture_output=True, timeout=30, check=False)
    return done.returncode, done.stdout


def answers(call: Any, base: Path, version: str, pod: Path) -> dict[str, Any]:
    """What each chain's ADD answers, in a form that leaves out names and MACs that a plugin chooses."""
    (base / "resolv.conf").write_text("nameserver 10.0.0.10\nsearch a b\noptions ndots:5\ndomain d\n")
    found = {}
    for label, chain in CHAINS.items():
        result: dict[str, Any] = {}
        made = []
        for config in chain:
            given = {"cniVersion": version, "name": "whtnet", **config, **({"prevResult": result} if result else {})}
            if "ipam" in given:
                given["ipam"] = {**given["ipam"], "dataDir": str(base / "data" / label.replace(" ", "-"))}
            text = json.dumps(given).replace("RESOLV", str(base / "resolv.conf")).encode()
            made.append((config["type"], text))
            status, output = call(config["type"], "ADD", pod, text, base)
            assert status == 0, (label, output)
            result = json.loads(output)
        found[label] = shape(result)
        for name, text in reversed(made):
            assert call(name, "DEL", pod, text, base) == (0, b""), label
        with Netlink() as node:
            for link in [x.name for x in node.links() if x.kind == "bridge"]:
                subprocess.run(["ip", "link", "delete", link], timeout=60, check=True)
    return found


def shape(result: dict[str, Any]) -> dict[str, Any]:
    def name(interface: dict[str, Any]) -> str:
        return interface["name"][:3] if interface["name"].startswith(("veth", "bwp")) else interface["name"]

    told = [
        (name(i), "sandbox" in i, i["mac"] if i["mac"] == MAC else bool(i["mac"])) for i in result.get("interfaces", ())
    ]
    # Debian's loopback leaves the IP version out where the specification had it.
    ips = (
        [{key: value for key, value in ip.items() if key != "version"} for ip in result["ips"]]
        if "ips" in result
        else []
    )
    return {**result, "interfaces": told, "ips": ips, "dns": result.get("dns") or {}}


@pytest.mark.parametrize("version", ["0.3.1", "1.0.0"])
def test_what_is_answered_is_what_debians_plugins_answer(version: str, tmp_path: Path) -> None:
    found = []
    for call in (ours, theirs):
        base = tmp_path / call.__name__
        base.mkdir()
        with kernel.namespaces(1, "n") as (node,), kernel.namespaces(1, "p") as (pod,):
            found.append(netns.call(node, partial(answers, call, base, version, pod)))
    assert [(label, found[0][label], found[1][label]) for label in CHAINS if found[0][label] != found[1][label]] == []


@pytest.mark.parametrize("world", ["daemon"], indirect=True)
def test_debians_tuning_firewall_and_portmap_work_after_ours(world: World) -> None:  # noqa: F811
    network, what = world.conflist(), world.attachment(0, {**PORT, "containerPort": 7})
    own = {**network["plugins"][0], "type": "wherry-bridge"}
    own["ipam"] = {**own["ipam"], "ranges": [SET4]}
    tuning = {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}, "mtu": 1400, "allmulti": True}
    mapped = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
    network = {**network, "plugins": [own, tuning, {"type": "firewall", "backend": "iptables"}, mapped]}
    rules = ["nsenter", f"--net={world.node}", "iptables", "-S", "CNI-FORWARD"]

    async def scenario(_: Caller) -> None:
        caller = Caller([DEBIAN, world.base / "bin"])
        result = await caller.add(network, what)
        address = kernel.address_of(result)
        # Debian's portmap looks for the rules of the last family in the tables of each.
        await caller.check({**network, "plugins": network["plugins"][:-1]}, what, result)
        with Netlink(world.pods[0]) as pod:
            link = pod.link("eth0")
        assert link and link.mtu == 1400 and netns.read_sysctl(world.pods[0], "net.core.somaxconn") == "500"
        assert address in (await command.run(rules, timeout=60)).stdout.decode()
        with kernel.echo(world.pods[0]):
            assert kernel.ask(world.beside, "10.99.0.1", 8080) == "10.99.0.2"
        for _turn in range(2):
            await caller.delete(network, what, result)
        assert address not in (await command.run(rules, timeout=60)).stdout.decode()
        assert not list((world.base / "data" / "whtnet").glob("10.*"))

    world.run(scenario)
