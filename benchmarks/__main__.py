"""`python -m benchmarks`, which is `wherry bench`: the benchmarks as commands."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click

from lab import names, preflight, state, status
from lab.paths import Paths
from lab.spec import PROXY_MODES, Spec

F = TypeVar("F", bound=Callable[..., Any])
LOADS = ("plain", "service", "spread", "affinity", "anti")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def bench() -> None:
    """Measure, beside a floor or a peer in the same run."""
    try:
        preflight.require_root()
    except preflight.PreflightError as error:
        raise click.ClickException(str(error)) from error
    signal.signal(signal.SIGTERM, _told_to_end)


def _told_to_end(number: int, frame: FrameType | None) -> NoReturn:
    """As Ctrl-C: what was made for the measurement is taken away on the way out."""
    sys.exit(128 + number)


def _lab(name: str) -> tuple[Paths, Spec]:
    paths = Paths(name)
    spec = state.load(paths)
    if spec is None:
        raise click.ClickException(f"there is no lab {name!r} to measure; start one with `sudo ./wherry up`")
    return paths, spec


def _several(flag: str, name: str, kind: click.ParamType[Any], default: Sequence[Any], text: str) -> Callable[[F], F]:
    """An option that may be repeated: one figure for each."""
    told = f"{text}; repeat for several."
    return click.option(flag, name, type=kind, multiple=True, default=default, show_default=True, help=told)


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@bench.command()
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--nodes", type=click.IntRange(1, 10), default=3, show_default=True)
@click.option("--proxy-mode", type=click.Choice(PROXY_MODES), default=PROXY_MODES[0], show_default=True)
def up(rounds: int, nodes: int, proxy_mode: str) -> None:
    """A lab of its own, up and down, several times."""
    from benchmarks import up as benchmark

    _run(benchmark.measure(rounds, nodes, proxy_mode, click.echo))


@bench.command()
@click.option("--count", type=click.IntRange(1, 200), default=15, show_default=True, help="Pods one by one.")
@click.option("--burst", type=click.IntRange(1, 100), default=30, show_default=True, help="Pods at once.")
@click.option("--name", default=names.DEFAULT_LAB, show_default=True, help="Which running lab.")
def pods(count: int, burst: int, name: str) -> None:
    """Pod start and end on a running lab, beside the CRI calls alone; memory of every component."""
    from benchmarks import pods as benchmark
    from benchmarks import up as memory

    paths, spec = _lab(name)

    async def work() -> None:
        await benchmark.measure(spec, paths, count, burst, click.echo)
        memory.memory(await status.gather(spec, paths), click.echo)

    _run(work())


@bench.command()
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Turns of every way.")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=1.0, show_default=True, help="Of each stream.")
def network(rounds: int, seconds: float) -> None:
    """Pod to pod on a node, by routes and by vxlan, beside bare veths and a bare vxlan device."""
    from benchmarks import network as benchmark

    benchmark.measure(rounds, seconds, click.echo)


@bench.command()
@click.option("--rounds", type=click.IntRange(1, 1000), default=30, show_default=True, help="Calls one by one.")
@click.option("--parallel", type=click.IntRange(1, 200), default=20, show_default=True, help="Calls at once.")
@click.option("--present", type=click.IntRange(0, 500), default=110, show_default=True, help="Pods that are there.")
@click.option(
    "--chain/--bridge", "whole", default=True, show_default=True, help="With portmap and bandwidth, or without."
)
def cni(rounds: int, parallel: int, present: int, whole: bool) -> None:
    """CNI ADD and DEL beside Debian's plugins, in a namespace of their own."""
    from benchmarks import cni as benchmark

    benchmark.measure(rounds, parallel, present, whole, click.echo)


@bench.command()
@_several("--mode", "modes", click.Choice(PROXY_MODES), PROXY_MODES, "Proxy mode")
@_several("--services", "sizes", click.IntRange(0, 15000), (0, 1000, 5000), "How many other Services")
@click.option("--rounds", type=click.IntRange(1, 1000), default=20, show_default=True, help="Changes for each figure.")
@click.option("--endpoints", type=click.IntRange(1, 100), default=2, show_default=True, help="Of each other Service.")
@click.option(
    "--peer",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="A kube-proxy to measure beside ours (nftables and iptables).",
)
def services(modes: tuple[str, ...], sizes: tuple[int, ...], rounds: int, endpoints: int, peer: Path | None) -> None:
    """Service changes from the EndpointSlice write to the packet, in a world of its own."""
    from benchmarks import services as benchmark

    benchmark.measure(modes, sizes, endpoints, rounds, peer, click.echo)


@bench.command()
@click.option("--pods", type=click.IntRange(10, 5000), default=500, show_default=True, help="Pods of each owner.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=50, show_default=True, help="Owners one by one.")
def controllers(pods: int, rounds: int) -> None:
    """What the control loops write a second, beside the same writes by hand, in a world of its own."""
    from benchmarks import controllers as benchmark

    benchmark.measure(pods, rounds, click.echo)


@bench.command()
@_several("--nodes", "sizes", click.IntRange(1, 20000), (100, 1000, 5000), "How many nodes")
@click.option("--pods", type=click.IntRange(2, 20000), default=1000, show_default=True, help="Pods for each figure.")
@_several("--load", "loads", click.Choice(LOADS), LOADS, "What the pods ask for")
def scheduler(sizes: tuple[int, ...], pods: int, loads: tuple[str, ...]) -> None:
    """Pods bound a second on made-up nodes, beside the bindings alone, in a world of its own."""
    from benchmarks import scheduler as benchmark

    benchmark.measure(sizes, pods, loads, click.echo)


@bench.command()
@click.option("--nodes", type=click.IntRange(1, 5000), default=500, show_default=True, help="Simulated nodes.")
@click.option(
    "--deployed", type=click.IntRange(1, 20000), default=1000, show_default=True, help="Pods deployed at once."
)
@click.option("--pods", type=click.IntRange(1, 50000), default=10000, show_default=True, help="Pods at rest.")
@click.option("--seconds", type=click.IntRange(1, 600), default=30, show_default=True, help="How long to look at each.")
def simulated(nodes: int, deployed: int, pods: int, seconds: int) -> None:
    """A Deployment on simulated nodes until it is complete, then many pods at rest and in churn, in a world of its own.

    \b
    Example:
      sudo ./wherry bench simulated --nodes 100 --deployed 500 --pods 2000
    """
    from benchmarks import simulated as benchmark

    benchmark.measure(nodes, pods, deployed, seconds, click.echo)


@bench.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS]...")
def robustness(words: tuple[str, ...]) -> None:
    """Hurt API servers and their store while clients work, and check what these saw.

    \b
    Example:
      sudo ./wherry bench robustness --store etcd --faults 100
    """
    # The program is a test: what is measured by it may not know it.
    os.execv(sys.executable, [sys.executable, "-m", "tests.robustness", *words])


if __name__ == "__main__":
    bench(prog_name="wherry bench")
