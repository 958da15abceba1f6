"""`trace`: where a connection goes, and why."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

import click

from apimachinery import kinds
from apimachinery.client import Client
from apimachinery.kinds import Kind
from apimachinery.kit import netns
from apimachinery.objects import Obj
from lab import live, names
from lab.commands.base import NAME, OUTPUT, root, run, running
from lab.proxies import proxies
from lab.spec import Spec, SpecError
from netproxy.policy.model import Pod, cluster_dns
from netproxy.policy.shortfall import of_bridges
from netproxy.trace.model import End, Objects, Outcome, Rules, Trace, TraceError
from netproxy.trace.plan import trace
from netproxy.trace.resolve import resolve, split_port
from netproxy.views import family_of

_KINDS: dict[str, Kind] = {
    "services": kinds.SERVICE,
    "slices": kinds.ENDPOINT_SLICE,
    "pods": kinds.POD,
    "nodes": kinds.NODE,
    "namespaces": kinds.NAMESPACE,
    "policies": kinds.NETWORK_POLICY,
}
_SIGNS = {Outcome.ARRIVES: "✓", Outcome.PASSES: "✗", Outcome.DROPPED: "✗", Outcome.REFUSED: "✗"}


@click.command("trace")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO[:PORT]")
@click.option("--protocol", type=click.Choice(("TCP", "UDP", "SCTP"), case_sensitive=False), default="TCP")
@click.option("-n", "--namespace", default="default", show_default=True, help="Of names without one.")
@click.option(
    "--live", "seconds", type=click.IntRange(1, 600), metavar="SECONDS", help="Then follow real packets for so long."
)
@OUTPUT
@NAME
def trace_connection(
    source: str, target: str, protocol: str, namespace: str, seconds: int | None, output: str, lab: str
) -> None:
    """Where a connection goes: which Service takes it, which endpoints it may reach, what policies say.

    FROM and TO are pod/NAME, service/NAME, node/NAME (NAME may be NAMESPACE/NAME), an address, or a bare name. It is
    worked out from the API's objects, as the nodes work out their rules; no packet is sent. Ends with 1 when no way
    arrives. --live shows which rules of FROM's and TO's nodes the packets meet that somebody sends meanwhile.

    \b
    Examples:
      sudo ./wherry trace web-5d4f8 service/web:80
      sudo ./wherry trace 198.51.100.9 node/node1:30080
      sudo ./wherry trace pod/app/a pod/db/b:5432 -o json
      sudo ./wherry trace pod/web-1 service/db:5432 --live 10
    """
    root()
    paths, chosen = running(lab)
    objects = run(_objects(paths.kubeconfig, cluster_dns((chosen.dns_ip,)) if chosen.dns == "builtin" else None))
    end, port = split_port(target)
    try:
        if port and not port.isdigit():
            raise TraceError(f"{port!r} is no port number")
        start, goal = resolve(source, objects, namespace), resolve(end, objects, namespace)
        rules = Rules(
            proxies=run(proxies(chosen)),
            cluster_cidrs=chosen.pod_cidr.split(","),
            service_cidrs=chosen.service_cidr.split(","),
            policies=chosen.network_policy,
            below=_below_rules(chosen, start),
        )
        found = trace(objects, start, goal, int(port or 0), protocol.upper(), rules)
    except TraceError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(_plain(found), indent=2) if output == "json" else "\n".join(_lines(found)))
    if seconds:
        run(_follow(chosen, found, seconds))
    if not any(way.outcome is Outcome.ARRIVES for way in found.ways):
        raise click.exceptions.Exit(1)


def _below_rules(chosen: Spec, source: End) -> str:
    """What the node of this end cannot judge between its own pods; empty for nothing, or when the node is off."""
    space = netns.path_of(names.namespace(chosen.name, source.node))
    return of_bridges((family_of(source.ip),), space) if source.node and space.exists() else ""


async def _follow(chosen: Spec, found: Trace, seconds: int) -> None:
    places = sorted({end.node for end in (found.source, found.target) if end.node})
    if not places:
        raise SpecError("--live: neither FROM nor TO is on a node of this lab")
    click.echo(f"following on {' and '.join(places)} for {seconds} s: send the packets now", err=True)
    # A node's own packets may have any of its addresses.
    sender = found.source.ip if found.source.pod else ""
    rules = live.ruleset(sender, found.target.ip, found.port, found.protocol)
    spaces = [netns.path_of(names.namespace(chosen.name, place)) for place in places]
    for place, lines in zip(
        places, await asyncio.gather(*(live.follow(s, rules, seconds) for s in spaces)), strict=True
    ):
        click.echo("\n".join([f"{place}: {'' if lines else 'no packet'}", *(f"  {line}" for line in lines)]))


async def _objects(kubeconfig: Path, dns: Pod | None) -> Objects:
    client = Client.from_kubeconfig(kubeconfig, "wherry-trace")
    try:

        async def listed(kind: Kind) -> list[Obj]:
            return list((await asyncio.wait_for(client.list(kind), 30))["items"])

        found = await asyncio.gather(*(listed(kind) for kind in _KINDS.values()))
        lists: dict[str, Any] = dict(zip(_KINDS, found, strict=True))
        return Objects(**lists, dns=dns)
    finally:
        await client.close()


def _lines(found: Trace) -> list[str]:
    lines = [
        f"from  {found.source.ip}  {found.source.title}",
        f"to    {found.target.ip}:{found.port}/{found.protocol}  {found.target.title}",
        *(f"      {step}" for step in found.steps),
    ]
    for way in found.ways:
        lines.append(f"  {_SIGNS[way.outcome]} {way.outcome.value:<8} {way.to}  {way.title}")
        lines += [f"      {why}" for why in way.why]
    return lines


def _plain(found: Trace) -> Any:
    def value(part: Any) -> Any:
        if isinstance(part, Enum):
            return part.value
        if isinstance(part, dict):
            return {key: value(item) for key, item in part.items() if key != "pod"}
        if isinstance(part, (list, tuple)):
            return [value(item) for item in part]
        return part

    return value(asdict(found))
