"""What vagrant/ holds agrees with the code, and with the tools that read it."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import privileges
from lab.images import catalog
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


def test_vagrant_reads_the_vagrantfile(tmp_path: Path):
    vagrant = tool("vagrant")
    shutil.copy(ROOT / "Vagrantfile", tmp_path)
    own = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "VAGRANT_HOME": str(tmp_path / "v"),
        "VAGRANT_CWD": str(tmp_path),
    }
    checked([vagrant, "validate"], **own)
    for wrong, told in (("workers: 1\nmode: x\n", "unknown mode"), ("network: 192.168.56.128/25\n", "write a /24")):
        (tmp_path / "wherry.yaml").write_text(wrong)
        done = subprocess.run([vagrant, "validate"], capture_output=True, text=True, timeout=60, check=False, env=own)
        assert done.returncode != 0
        assert told in done.stdout + done.stderr
