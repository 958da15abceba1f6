"""Services and names: from every node and from pods, over every node."""

from __future__ import annotations

from functools import partial

import pytest

from lab.e2e.cluster import NAMESPACE, PROBE, WEB, Cluster, Failed, service

from_node_and_pod = pytest.mark.parametrize("source", [PROBE, WEB], ids=["node", "pod"])


def _address(cluster: Cluster, name: str) -> str:
    return str(cluster.get("service", name)["spec"]["clusterIP"])


def _servers(cluster: Cluster) -> set[str]:
    return {pod["metadata"]["name"] for pod in cluster.get("pods", "-l", f"app={WEB}")["items"]}


@from_node_and_pod
def test_a_cluster_ip_answers_from_everywhere_by_every_server(cluster: Cluster, node: str, source: str) -> None:
    vip, caller, servers = _address(cluster, WEB), cluster.on(node, source), _servers(cluster)
    cluster.until(lambda: cluster.fetch(caller, vip) in servers, 30, f"{vip} answers from {caller}")
    # Its own server among them: a pod reaches itself through the Service, too.
    script = f"for i in $(seq {25 * len(servers)}); do wget -q -O - http://{vip}/; done"
    assert set(cluster.inside(caller, "sh", "-c", script).split()) == servers


def test_pods_of_different_nodes_see_each_others_addresses(cluster: Cluster, node: str) -> None:
    caller = cluster.get("pod", cluster.on(node, WEB))
    for pod in cluster.get("pods", "-l", f"app={WEB}")["items"]:
        seen = cluster.fetch(caller["metadata"]["name"], pod["status"]["podIP"], 8080, "/cgi-bin/who")
        assert seen.strip("[]").removeprefix("::ffff:") == caller["status"]["podIP"]


@from_node_and_pod
def test_a_node_port_answers_on_every_node(cluster: Cluster, node: str, source: str) -> None:
    cluster.apply(service("ported", type="NodePort"))
    port = int(cluster.get("service", "ported")["spec"]["ports"][0]["nodePort"])
    caller, servers = cluster.on(node, source), _servers(cluster)
    for other in cluster.nodes:
        addresses = cluster.get("node", other)["status"]["addresses"]
        address = next(a["address"] for a in addresses if a["type"] == "InternalIP")
        fetch = partial(cluster.fetch, caller, address, port)
        assert cluster.until(fetch, 30, f"port {port} of {other} answers from {caller}") in servers


def test_a_client_stays_with_its_server_where_it_is_asked_for(cluster: Cluster, node: str) -> None:
    cluster.apply(service("sticky", sessionAffinity="ClientIP"))
    vip, caller = _address(cluster, "sticky"), cluster.on(node, WEB)
    cluster.until(partial(cluster.fetch, caller, vip), 30, f"{vip} answers")
    script = f"for i in $(seq 20); do wget -q -O - http://{vip}/; done"
    assert len(set(cluster.inside(caller, "sh", "-c", script).split())) == 1


def test_a_service_without_servers_refuses_at_once(cluster: Cluster, node: str) -> None:
    cluster.apply(service("nobody", app="nobody"))
    vip, caller = _address(cluster, "nobody"), cluster.on(node, PROBE)

    def refused() -> bool:
        try:
            cluster.inside(caller, "timeout", "5", "wget", "-q", "-O", "-", f"http://{vip}/")
        except Failed as error:
            return "refused" in str(error)
        return False

    cluster.until(refused, 30, f"{vip} refuses on {node}")


def test_names_of_services_are_known_in_pods(cluster: Cluster, node: str) -> None:
    caller, vip, servers = cluster.on(node, WEB), _address(cluster, WEB), _servers(cluster)
    for name in (WEB, f"{WEB}.{NAMESPACE}", f"{WEB}.{NAMESPACE}.svc.cluster.local"):
        assert cluster.until(partial(cluster.fetch, caller, name), 30, f"{name} answers") in servers
    answer = cluster.inside(caller, "nslookup", f"{WEB}.{NAMESPACE}.svc.cluster.local")
    assert vip in answer


def test_a_headless_service_is_all_its_servers(cluster: Cluster, node: str) -> None:
    cluster.apply(service("headless", clusterIP="None"))
    wanted = {pod["status"]["podIP"] for pod in cluster.get("pods", "-l", f"app={WEB}")["items"]}
    caller = cluster.on(node, WEB)

    def known() -> bool:
        words = cluster.inside(caller, "nslookup", f"headless.{NAMESPACE}.svc.cluster.local").split()
        return wanted <= set(words)

    cluster.until(known, 30, f"{len(wanted)} addresses on {node}")


def test_ipvs_has_the_cluster_ip_and_its_servers(cluster: Cluster, node: str) -> None:
    caller = cluster.on(node, PROBE)
    mode = cluster.inside(caller, "wget", "-q", "-O", "-", "http://127.0.0.1:10249/proxyMode", check=False)
    if mode != "ipvs":
        pytest.skip(f"the proxy's mode is {mode or 'not told'}, not ipvs")
    table = cluster.inside(caller, "cat", "/proc/net/ip_vs")
    hexadecimal = "".join(f"{int(part):02X}" for part in _address(cluster, WEB).split("."))
    assert f"{hexadecimal}:0050" in table
