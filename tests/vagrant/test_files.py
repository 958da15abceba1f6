"""What vagrant/ holds agrees with the code, and with the tools that read it."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab import neighbours, privileges
from lab.commands.worker import agent_end_pods
from lab.images import catalog
from lab.standalone import halting
from lab.standalone.server import DAEMONS

ROOT = Path(__file__).resolve().parent.parent.parent
UNITS = sorted((ROOT / "vagrant" / "units").iterdir())
SCRIPTS = sorted((ROOT / "vagrant").glob("*.sh"))
SERVICES = {"agent": "agent run", "proxy": "proxy run", **{name: f"server run {name}" for name in DAEMONS}}


def unit(path: Path) -> configparser.ConfigParser:
    found = configparser.ConfigParser(strict=True, interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read(path)
    return found


def checked(argv: list[str], **more: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=more or None, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed here: apt-get install {name}")
    return found


@pytest.mark.parametrize("daemon", SERVICES)
def test_each_daemon_has_its_unit_with_the_powers_of_a_lab(daemon: str):
    service = unit(ROOT / "vagrant" / "units" / f"wherry-{daemon}.service")["Service"]
    assert service["ExecStart"] == f"/opt/wherry/wherry {SERVICES[daemon]}"
    kept = {f"CAP_{name.upper()}" for name in privileges.of(daemon)}
    assert set(service["CapabilityBoundingSet"].split()) == kept
    assert service["NoNewPrivileges"] == "yes"
    assert int(service["OOMScoreAdjust"]) == privileges.oom_score(daemon)
    assert service["Restart"] == "always"
    assert int(service["LimitNOFILE"]) >= 1 << 20


def test_the_agents_mounts_are_the_machines_and_its_end_is_no_pods_end():
    service = unit(ROOT / "vagrant" / "units" / "wherry-agent.service")["Service"]
    assert service["KillMode"] == "process"
    assert not [key for key in service if key.startswith(("Protect", "Private", "ReadWrite", "ReadOnly", "RootD"))]


def test_pods_end_after_their_agent_and_before_their_runtime_with_the_machine_alone():
    """What is ordered after another is stopped before it; a restart of the agent stops nothing that it wants."""
    pods, agent = (unit(ROOT / "vagrant" / "units" / f"wherry-{name}.service") for name in ("pods", "agent"))
    assert "containerd.service" in pods["Unit"]["After"].split()
    assert "wherry-pods.service" in agent["Unit"]["After"].split()
    assert "wherry-pods.service" in agent["Unit"]["Wants"].split()
    assert not {"PartOf", "BindsTo", "Requires", "StopWhenUnneeded"} & set(pods["Unit"])
    assert pods["Service"]["ExecStop"] == "/opt/wherry/wherry agent end-pods"
    grace = next(int(str(option.default)) for option in agent_end_pods.params if option.name == "seconds")
    start = int(pods["Service"]["TimeoutStopSec"]) - grace - halting.REST_SECONDS
    assert start == 30, "systemd would end it before it has told what is left, or later than needed"


def test_systemd_has_nothing_against_the_units(tmp_path: Path):
    analyze = tool("systemd-analyze")
    # The programs are in place only once they are installed; their paths are another test's.
    for path in UNITS:
        text = path.read_text().replace("/opt/wherry/wherry", "/bin/true")
        (tmp_path / path.name.replace("@", "@x")).write_text(text.replace("%i", "server"))
    (tmp_path / "containerd.service").write_text("[Service]\nExecStart=/bin/true\n")
    checked([analyze, "verify", "--man=no", *map(str, tmp_path.glob("wherry-*"))])


def test_the_runtime_starts_sandboxes_from_the_image_that_the_agent_loads():
    text = (ROOT / "vagrant" / "files" / "containerd.toml").read_text()
    assert f'sandbox_image = "{catalog.PAUSE}"' in text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_strict_and_clean(script: Path):
    assert "\nset -euo pipefail\n" in script.read_text()
    assert script.stat().st_mode & 0o111
    checked([tool("shellcheck"), str(script)])


@pytest.mark.parametrize("file", [*SCRIPTS, ROOT / "Vagrantfile"], ids=lambda path: path.name)
def test_no_host_to_fetch_from_is_written_down(file: Path):
    assert not re.findall(r"https?://[\w.-]+\.\w+", file.read_text())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    ("asked", "apt", "used"),
    [
        ("", "http://apt.invalid/debian/", "http://apt.invalid/debian/"),
        ("http://own.invalid/debian", "http://apt.invalid/debian/", "http://own.invalid/debian"),
        ("", "cdrom://disc/", ""),
    ],
)
def test_a_box_is_made_from_where_this_machine_has_its_packages(tmp_path: Path, asked: str, apt: str, used: str):
    programs = {"apt-get": f"echo {apt}", "debootstrap": f'echo "$@" >{tmp_path}/asked; exit 1'}
    for name in (*programs, "sfdisk", "mkfs.ext4", "qemu-img"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{programs.get(name, ':')}\n")
        (tmp_path / name).chmod(0o755)
    own = {"PATH": f"{tmp_path}:/usr/bin:/bin", "MIRROR": asked}
    argv = [str(ROOT / "vagrant" / "box.sh"), "--output", str(tmp_path / "box")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=own)
    assert done.returncode == 1
    if used:
        assert (tmp_path / "asked").read_text().split()[-1] == used
    else:
        assert "MIRROR=URL" in done.stderr
        assert not (tmp_path / "asked").exists()


def vagrants(checkout: Path, **settings: str) -> dict[str, str]:
    """The environment of a Vagrant that has the checkout's Vagrantfile alone."""
    shutil.copy(ROOT / "Vagrantfile", checkout)
    own = {"HOME": str(checkout), "VAGRANT_HOME": str(checkout / "v"), "VAGRANT_CWD": str(checkout)}
    return {"PATH": "/usr/bin:/bin", **own, **settings}


def test_vagrant_reads_the_vagrantfile(tmp_path: Path):
    vagrant = tool("vagrant")
    own = vagrants(tmp_path)
    checked([vagrant, "validate"], **own)
    for wrong, told in (("workers: 1\nmode: x\n", "unknown mode"), ("network: 192.168.56.128/25\n", "write a /24")):
        (tmp_path / "wherry.yaml").write_text(wrong)
        done = subprocess.run([vagrant, "validate"], capture_output=True, text=True, timeout=60, check=False, env=own)
        assert done.returncode != 0
        assert told in done.stdout + done.stderr


SIZE: tuple[tuple[str, object], ...] = (("memory", "1536"), ("cpus", 3))
# Of each provider: what a machine of 1536 MB and three processors is told, and what else must be so.
PROVIDERS: dict[str, dict[str, object]] = {
    "libvirt": {"memory": 1536, "cpus": 3, "driver": "qemu", "graphics_type": "none"},
    "virtualbox": {
        "default_nic_type": "virtio",
        "customizations": [["pre-boot", ["modifyvm", "id", f"--{key}", value]] for key, value in SIZE],
    },
    "qemu": {"memory": "1536M", "smp": "3", "advanced_network": True, "net_mode": "socket_vmnet"},
}


def configured(checkout: Path, provider: str, **settings: str) -> dict[str, dict[str, Any]]:
    """What Vagrant makes of the settings for each machine."""
    tool("vagrant")
    argv = [tool("ruby"), str(ROOT / "tests" / "vagrant" / "configuration.rb"), provider]
    own = vagrants(checkout, **{f"WHERRY_{key.upper()}": value for key, value in settings.items()})
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=own)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_provider_is_told_what_machines_are_wanted(tmp_path: Path, provider: str):
    (tmp_path / "wherry.yaml").write_text(
        "memory: 1536\ndriver: qemu\nnet_mode: socket_vmnet\nworkers: 9\npatience: 77\n"
    )
    # The environment wins over the file.
    found = configured(tmp_path, provider, cpus="3", workers="2", proxy_mode="ipvs", mtu="1400")
    assert {name: machine["address"] for name, machine in found.items()} == {
        "server": "192.168.56.10",
        "worker1": "192.168.56.11",
        "worker2": "192.168.56.12",
    }
    for name, machine in found.items():
        assert machine["hostname"] == name
        assert machine["patience"] == [77, 77]
        assert {key: machine["settings"].get(key) for key in PROVIDERS[provider]} == PROVIDERS[provider]
        words = machine["install"]
        told = dict(zip(words[1::2], words[2::2], strict=True))
        assert (words[0], told["--proxy-mode"]) == ("server" if name == "server" else "agent", "ipvs")
        if name != "server":
            assert (told["--server"], told["--node-ip"]) == ("https://192.168.56.10:6443", machine["address"])
            assert told["--set"] == "network={mtu: 1400}"


def test_two_clusters_of_one_checkout_share_neither_machines_nor_addresses_nor_tokens(tmp_path: Path):
    first = configured(tmp_path, "libvirt", workers="1")
    second = configured(tmp_path, "libvirt", workers="1", name="second", network="192.168.57.0/24")
    assert [*first, *second] == ["server", "worker1", "second-server", "second-worker1"]
    addresses = [machine["address"] for machine in (*first.values(), *second.values())]
    assert addresses == ["192.168.56.10", "192.168.56.11", "192.168.57.10", "192.168.57.11"]
    tokens = [
        {machine["install"][machine["install"].index("--token") + 1] for machine in found.values()}
        for found in (first, second)
    ]
    assert [len(each) for each in tokens] == [1, 1]
    assert tokens[0] != tokens[1]
    # Kept: else a second `up` would let nobody join.
    kept = [(tmp_path / ".vagrant" / "wherry" / f"{name}.token").read_text() for name in ("wherry", "second")]
    assert [{word} for word in kept] == tokens


def test_a_machine_has_the_room_for_neighbours_that_a_lab_makes() -> None:
    lines = (ROOT / "vagrant" / "files" / "sysctl.conf").read_text().splitlines()
    # With a minus before it: where the setting is missing, the others are made all the same.
    told = dict(line.removeprefix("-").split(" = ") for line in lines if line.startswith("-") and ".neigh." in line)
    assert {name: int(value) for name, value in told.items()} == neighbours.WANTED
