"""`up`, `down` (`delete`), `stop` and `start`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lab import cluster, config, machine, modules, names, network, personal, preflight, remains, scheduling, spec, state
from lab.commands.base import NAME, existing, root, run
from lab.paths import Paths
from lab.progress import Progress
from lab.spec import Spec, SpecError

Asked = dict[str, Any]


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="YAML that says all this; options win over it.")
@click.option("--nodes", type=int, default=None, help="How many nodes, 1 to 10.  [default: 3]")
@click.option(
    "--control-planes",
    type=int,
    default=None,
    help=f"How many API servers, schedulers, controllers and members of etcd, 1 to {spec.MOST_CONTROL_PLANES}.  "
    "[default: 1]",
)
@click.option(
    "--store",
    type=click.Choice(spec.STORES),
    default=None,
    help="Where everything is kept: a file, or etcd, which several share.  [default: sqlite; etcd for several]",
)
@click.option("--proxy-mode", type=click.Choice(spec.PROXY_MODES), default=None, help="[default: nftables]")
@click.option(
    "--pod-cidr", default=None, help="Range of pod addresses, or IPv4,IPv6.  [default: a free one, 10.244.0.0/16]"
)
@click.option(
    "--service-cidr", default=None, help="Range of cluster IPs, or IPv4,IPv6.  [default: a free one, 10.96.0.0/16]"
)
@click.option("--node-cidr", default=None, help="Range of node addresses.  [default: a free one, 10.89.0.0/24]")
@click.option("--api-port", type=click.IntRange(1, 65535), default=None, help="[default: 6443]")
@click.option(
    "--dns",
    type=click.Choice(spec.DNS),
    default=None,
    help="Names of Services: answered by every node, or by what you deploy as kube-dns.  [default: builtin]",
)
@click.option(
    "--network-policy",
    type=bool,
    default=None,
    help="Whether nodes enforce NetworkPolicies; false where you deploy what does.  [default: true]",
)
@click.option(
    "--cloud/--no-cloud",
    default=None,
    help="Whether Services of type LoadBalancer get addresses, or you deploy what gives them.  [default: yes]",
)
@click.option(
    "--pod-network",
    type=click.Choice(spec.POD_NETWORKS),
    default=None,
    help="How pods of different nodes reach each other; none: by what you deploy (Calico, Cilium).  [default: host-gw]",
)
@click.option(
    "--scheduler-config",
    default=None,
    metavar="FILE",
    help="A KubeSchedulerConfiguration: profiles, extenders, plugins of yours beside it.  [default: upstream's]",
)
@click.option("--merge-kubeconfig", is_flag=True, help="Add a context to ~/.kube/config; nothing else in it changes.")
@click.option("--name", "lab", default=None, help=f"Which lab.  [default: {names.DEFAULT_LAB}]")
def up(file: Path | None, merge_kubeconfig: bool, lab: str | None, **options: Any) -> None:
    """Start a cluster, or finish starting one. Running it again changes nothing.

    \b
    Examples:
      sudo ./wherry up
      sudo ./wherry up --nodes 5 --proxy-mode iptables
      sudo ./wherry up --name second --pod-cidr 10.50.0.0/16 --pod-network vxlan
      sudo ./wherry up --pod-cidr 10.244.0.0/16,fd44::/56 --service-cidr 10.96.0.0/16,fd96::/112
      sudo ./wherry up --control-planes 3 --store etcd
      sudo ./wherry up --config docs/examples/lab.yaml
    """
    root()
    progress = Progress()
    given = {f"--{key.replace('_', '-')}": value for key, value in options.items()} | {"--name": lab}
    chosen = run(_up(file, given, merge_kubeconfig, progress))
    _greet(chosen, progress)


async def _up(file: Path | None, given: Asked, merge_kubeconfig: bool, progress: Progress) -> Spec:
    told = config.read(file) if file else {}
    asked = {option: told.get(option) if value is None else value for option, value in given.items()}
    if asked["--scheduler-config"]:
        asked["--scheduler-config"] = str(Path(str(asked["--scheduler-config"])).resolve())
    try:
        chosen = await _make(asked, progress)
    except SpecError as error:
        from_file = {option for option, value in told.items() if value is not None and given[option] is None}
        raise (config.explained(error, file, from_file) if file else error) from error
    if merge_kubeconfig:
        personal.merge(Paths(chosen.name))
    return chosen


async def _make(asked: Asked, progress: Progress) -> Spec:
    """The lab as asked for, up; SpecError before anything is made when that cannot be."""
    lab = spec.check_name(names.DEFAULT_LAB if asked["--name"] is None else asked["--name"])
    spec.check_options(asked["--nodes"], asked["--proxy-mode"])
    count = 1 if asked["--control-planes"] is None else asked["--control-planes"]
    spec.check_control_planes(count, asked["--store"] or _fitting_store(count))
    paths = Paths(lab)
    with state.locked(paths):
        await modules.load()
        chosen = state.load(paths)
        if chosen is not None:
            _agree(chosen, asked)
        else:
            await _refuse_remains(paths)
            with state.choosing():
                chosen = _new(lab, asked)
                findings = await preflight.check(chosen)
                # Written down first: what is fenced can then be found again and taken away.
                state.save(paths, chosen)
                network.fence(chosen)
            for finding in findings:
                progress.say(f"  !  {finding.text}")
        await cluster.up(chosen, paths, progress)
        return chosen


def _fitting_store(control_planes: int) -> str:
    return spec.DEFAULT_STORE if control_planes == 1 else "etcd"


def _greet(chosen: Spec, progress: Progress) -> None:
    flag = "" if chosen.name == names.DEFAULT_LAB else f" --name {chosen.name}"
    progress.say(
        f"\nUp in {progress.seconds:.1f} s: {len(chosen.nodes)} nodes, API at {chosen.server}\n\n"
        f"  export KUBECONFIG=$(./wherry kubeconfig{flag})\n"
        "  kubectl get nodes\n"
        "  kubectl apply -f docs/examples/web.yaml\n"
        f"  sudo ./wherry status{flag}      sudo ./wherry down{flag}"
    )


async def _refuse_remains(paths: Paths) -> None:
    """Beside what an undescribed lab of that name left, a second one would be made."""
    if left := await remains.of(paths):
        raise SpecError(
            f"lab {paths.lab} is not described any more, but this is left of it: {', '.join(left[:5])}"
            f"{', …' if len(left) > 5 else ''}; `wherry down --name {paths.lab}` clears it away"
        )


def _new(lab: str, asked: Asked) -> Spec:
    if alike := [other for other in state.labs() if other != lab and names.link_part(other) == names.link_part(lab)]:
        raise SpecError(f"--name {lab}: its links would be called as those of lab {alike[0]}; choose another name")
    # A lab that is switched off has no routes, and keeps its ranges.
    theirs = [net for other in state.others(Paths(lab)) for net in network.ranges(other)]
    made = spec.make(
        lab,
        3 if asked["--nodes"] is None else asked["--nodes"],
        asked["--proxy-mode"] or spec.PROXY_MODES[0],
        pod_cidr=asked["--pod-cidr"],
        service_cidr=asked["--service-cidr"],
        node_cidr=asked["--node-cidr"],
        in_use=[*network.networks_in_use(), *theirs],
    )
    control_planes = asked["--control-planes"] or made.control_planes
    fields = {
        **spec.to_dict(made),
        "control_planes": control_planes,
        "store": asked["--store"] or _fitting_store(control_planes),
        "api_port": asked["--api-port"] or made.api_port,
        "dns": asked["--dns"] or made.dns,
        "pod_network": asked["--pod-network"] or made.pod_network,
        "network_policy": made.network_policy if asked["--network-policy"] is None else asked["--network-policy"],
        "cloud": made.cloud if asked["--cloud"] is None else asked["--cloud"],
        "scheduler_config": scheduling.checked(asked["--scheduler-config"]),
    }
    return spec.from_dict(fields)


# What changes a running lab; everything else needs another one.
_CHANGED_BY = {
    "--nodes": "`wherry node add` adds one",
    "--pod-network": "`wherry pod-network` changes it",
}


def _agree(existing: Spec, asked: Asked) -> None:
    """A lab that is there keeps its shape: say so when other options are given."""
    has = {
        "--name": existing.name,
        "--proxy-mode": existing.proxy_mode,
        "--pod-cidr": existing.pod_cidr,
        "--service-cidr": existing.service_cidr,
        "--node-cidr": existing.node_cidr,
        "--api-port": existing.api_port,
        "--nodes": len(existing.nodes),
        "--control-planes": existing.control_planes,
        "--store": existing.store,
        "--dns": existing.dns,
        "--network-policy": existing.network_policy,
        "--cloud": existing.cloud,
        "--pod-network": existing.pod_network,
        "--scheduler-config": existing.scheduler_config,
    }
    for option, value in asked.items():
        if value is not None and value != has[option]:
            more = _CHANGED_BY.get(option, "run `wherry down` first")
            raise SpecError(f"lab {existing.name} is there with {option} {has[option]}, not {value}; {more}")


@click.command()
@NAME
def down(lab: str) -> None:
    """Stop a cluster and leave nothing of it; `delete` does the same. Images stay in the cache for the next one."""
    root()
    progress = Progress()

    async def work() -> None:
        paths = Paths(lab)
        with state.locked(paths):
            if not paths.state.exists() and not paths.run.exists() and not await remains.of(paths):
                # An earlier one may have been killed when the lab was gone and the machine not yet as it was.
                machine.restore()
                progress.say(f"there is no lab {lab!r}: nothing to do")
            else:
                await cluster.down(paths, progress)

    run(work())


@click.command()
@NAME
def stop(lab: str) -> None:
    """Switch a whole cluster off, as a machine is. What it holds stays, and `start` (or `up`) goes on with it."""
    root()

    async def work() -> None:
        with state.locked(Paths(lab)):
            paths, chosen = existing(lab)
            await cluster.stop(chosen, paths, Progress())

    run(work())


@click.command()
@NAME
def start(lab: str) -> None:
    """Switch a cluster on again that was stopped, or that the machine's restart ended."""
    root()
    progress = Progress()

    async def work() -> Spec:
        with state.locked(Paths(lab)):
            paths, chosen = existing(lab)
            await modules.load()
            await cluster.up(chosen, paths, progress)
            return chosen

    _greet(run(work()), progress)
