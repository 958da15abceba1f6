"""`e2e`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from apimachinery.kit import settings
from lab import names
from lab.commands.base import running
from lab.images import catalog
from lab.supervisor_client import SOURCE

_TRIALS = SOURCE / "lab" / "e2e"
_VAGRANT = SOURCE / ".vagrant" / "wherry"


def _machines() -> str:
    """The virtual cluster's name, as the Vagrantfile has it: WHERRY_NAME, else what wherry.yaml says."""
    file = SOURCE / "wherry.yaml"
    told = settings.read_mapping(file) if file.exists() else {}
    return os.environ.get("WHERRY_NAME", str(told.get("name", "wherry")))


@click.command()
@click.option("--node", "nodes", multiple=True, help="Only this node; repeatable.")
@click.option("--focus", default="", help="Only trials whose names hold this text, or a pytest expression of such.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Any cluster; what needs its machines is skipped.")
@click.option("--vagrant", is_flag=True, help="The virtual machines of `vagrant up`.")
@click.option("--name", "lab", default=names.DEFAULT_LAB, show_default=True, help="Which lab, without those two.")
@click.option("--image", default=catalog.BUSYBOX, show_default=True, help="A busybox that the nodes have or can pull.")
@click.option("--patience", default=1.0, show_default=True, help="Stretches every deadline, for emulated machines.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write the results there as JUnit XML.")
def e2e(
    nodes: tuple[str, ...],
    focus: str,
    kubeconfig: Path | None,
    vagrant: bool,
    lab: str,
    image: str,
    patience: float,
    junit: Path | None,
) -> None:
    """Try what nodes must do: pods, volumes, Services and names, daemons killed, a machine started anew or cut off.

    \b
    Examples:
      sudo ./wherry e2e
      sudo ./wherry e2e --node node2 --focus service
      ./wherry e2e --vagrant --patience 10
      ./wherry e2e --kubeconfig ~/.kube/config --image busybox:1.37 --junit e2e.xml
    """
    beside = Path(sys.executable).with_name("kubectl")
    kubectl = str(beside) if beside.exists() else shutil.which("kubectl")
    if kubectl is None:
        raise click.ClickException("no kubectl here: install version 1.36 or newer")
    if vagrant and kubeconfig is None:
        kubeconfig = _VAGRANT / f"{_machines()}.kubeconfig"
    way = ["--e2e-vagrant"] if vagrant else []
    if kubeconfig is None:
        paths, _ = running(lab)
        kubeconfig, way = paths.kubeconfig, ["--e2e-lab", lab]
    if not kubeconfig.exists():
        raise click.ClickException(f"there is no {kubeconfig}; is the cluster up?")
    options = {"kubectl": kubectl, "kubeconfig": str(kubeconfig.resolve()), "image": image, "patience": str(patience)}
    argv = [sys.executable, "-m", "pytest", str(_TRIALS), "-v", "-rsfE", "--tb=short", "-p", "no:cacheprovider", *way]
    argv += [word for key, value in options.items() for word in (f"--e2e-{key}", value)]
    argv += [word for name in nodes for word in ("--e2e-node", name)]
    argv += ["-k", focus] if focus else []
    argv += [f"--junitxml={junit.resolve()}"] if junit else []
    os.chdir(SOURCE)
    os.execv(sys.executable, argv)
