"""`python -m netproxy --config FILE`: run the proxy, or `--cleanup` to take its rules away."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import click

from apimachinery.kit import daemon
from netproxy import app, flags, modes
from netproxy.settings import Settings


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file with the settings, ours or kube-proxy's.")
@click.option("--kubeconfig", help="How to reach the API server.")
@click.option("--mode", "--proxy-mode", type=click.Choice(modes.choices()), help="How Services get to their endpoints.")
@click.option("--hostname-override", help="This node's name.  [default: the host's, or none in a file of ours]")
@click.option("--network-policy", type=bool, help="false: NetworkPolicies are another program's business.")
@click.option("--cleanup", is_flag=True, help="Remove every rule any mode wrote, then exit.")
@click.option("-v", "--v", "verbosity", type=int, hidden=True, help="As kube-proxy's: 4 and more says everything.")
@flags.options
def main(
    config: Path | None,
    kubeconfig: str | None,
    mode: str | None,
    hostname_override: str | None,
    network_policy: bool | None,
    cleanup: bool,
    verbosity: int | None,
    **given: Any,
) -> None:
    """Services for this host: cluster IPs, node ports, external addresses.

    kube-proxy's flags are understood where they make sense here; beside a file say those things in the file.

    \b
    Examples:
      python -m netproxy --config /etc/wherry/proxy.yaml
      python -m netproxy --kubeconfig FILE --proxy-mode ipvs --ipvs-scheduler wlc --cluster-cidr 10.244.0.0/16
    """
    needed = "/dev/null" if cleanup and config is None and kubeconfig is None else kubeconfig
    name = hostname_override.strip().lower() if hostname_override else None
    overrides = {"kubeconfig": needed, "mode": mode, "network_policy": network_policy, "node_name": name}
    overrides["log_level"] = "debug" if (verbosity or 0) >= 4 else None
    said = sorted(flag for flag, value in given.items() if value is not None)
    if said and config:
        raise click.UsageError(f"--{said[0].replace('_', '-')} has no effect beside --config: say it in the file")
    try:
        of_flags = flags.settings(given, mode or Settings.mode, modes.choices(), name or socket.gethostname())
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    of_flags.update({key: value for key, value in overrides.items() if value is not None})
    settings = daemon.begin("netproxy", Settings, config, **of_flags)
    if cleanup:
        asyncio.run(app.remove_everything(settings))
        return
    daemon.run(settings, app.start)


if __name__ == "__main__":
    main()
