"""One lab for the whole cluster tier, and a clean namespace's worth of objects for each test."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.lab import Lab, wherry
from tests.waiting import eventually

NAME = "whtlab"
REFUSED = "component refused"
CONTROL_PLANES = "WHERRY_TEST_CONTROL_PLANES"
"""Set to 3, the lab of these tests has three API servers, schedulers and controllers on three members of etcd."""


def kubectl_path() -> str:
    """The kubectl of the environment: the newest there is."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "no kubectl in the environment; `./wherry test` installs it"
    return found


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Three nodes, nftables. Taken down at the end, also after a failure."""
    wherry("down", "--name", NAME, check=False)
    try:
        count = os.environ.get(CONTROL_PLANES, "1")
        many = [] if count == "1" else ["--control-planes", count, "--store", "etcd"]
        wherry("up", "--name", NAME, "--nodes", "3", *many)
        yield Lab(NAME, kubectl_path())
    finally:
        wherry("down", "--name", NAME)


_TOLD: set[str] = set()


@pytest.fixture(autouse=True)
def nothing_refused() -> Iterator[None]:
    """What a component was refused during a test is a missing rule, whatever the test was about."""
    yield
    logs = Path("/var/lib/wherry").glob("wht*/logs/apiserver*.log*")
    lines = {line for log in logs for line in log.read_text(errors="replace").splitlines() if REFUSED in line}
    fresh = sorted(lines - _TOLD)
    _TOLD.update(lines)
    assert not fresh, "\n".join(fresh)


@pytest.fixture
def clean(lab: Lab) -> Iterator[Lab]:
    """The lab, with the objects of this test's namespace gone afterwards."""
    yield lab
    lab.clear()
    eventually(lambda: not lab.get("pods")["items"], what="the test's pods are gone")
