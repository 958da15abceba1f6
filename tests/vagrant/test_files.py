"""What vagrant/ holds agrees with the code, and with the tools that read it."""

from __future__ import annotations

import configparser
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
    (tmp_path / "wherry.yaml").write_text("workers: 1\nmode: x\n")
    done = subprocess.run([vagrant, "validate"], capture_output=True, text=True, timeout=60, check=False, env=own)
    assert done.returncode != 0
    assert "unknown mode" in done.stdout + done.stderr
