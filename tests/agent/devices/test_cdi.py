"""CDI devices for a runtime that knows none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.containers.container_config import ContainerFacts, container_config
from agent.cri import translate
from agent.cri.messages import pb
from agent.devices.cdi import Edits, edits
from agent.failures import ConfigError
from tests.agent.harness import container, pod

NODE = {"path": "/dev/g0", "hostPath": "/dev/null", "permissions": "rw"}
SPEC: dict[str, Any] = {
    "cdiVersion": "0.6.0",
    "kind": "v.com/gpu",
    "containerEdits": {"env": ["COMMON=1"]},
    "devices": [
        {"name": "a", "containerEdits": {"env": ["A=x=y"], "deviceNodes": [NODE, {"path": "/dev/zero"}]}},
        {
            "name": "b",
            "containerEdits": {
                "mounts": [{"hostPath": "/lib/g", "containerPath": "/g", "options": ["ro", "nosuid", "bind"]}],
                "additionalGids": [44],
            },
        },
        {"name": "hooked", "containerEdits": {"hooks": [{"hookName": "createContainer", "path": "/x"}]}},
        {"name": "partial", "containerEdits": {"deviceNodes": [{"hostPath": "/dev/null"}]}},
        {"name": "odd", "containerEdits": {"mounts": [{"hostPath": "t", "containerPath": "/t", "type": "tmpfs"}]}},
    ],
}


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    first, second = tmp_path / "etc", tmp_path / "run"
    second.mkdir()
    (second / "gpu.json").write_text(json.dumps(SPEC))
    (second / "broken.json").write_text("{")
    (second / "other.yaml").write_text("kind: w.com/nic\ndevices:\n- name: a\n  containerEdits: {env: [NIC=1]}\n")
    (second / "ignored.txt").write_text(json.dumps(SPEC))
    return [first, second]


def test_edits_of_devices_and_of_what_they_have_in_common(places: list[Path]) -> None:
    found = edits(["v.com/gpu=a", "v.com/gpu=b", "w.com/nic=a"], places)
    assert found.env == (("COMMON", "1"), ("A", "x=y"), ("NIC", "1"))
    assert found.nodes == (("/dev/g0", "/dev/null", "rw"), ("/dev/zero", "/dev/zero", "rwm"))
    assert found.mounts == (("/g", "/lib/g", True),) and found.groups == (44,)
    assert edits([], places) == Edits()


def test_the_directory_that_is_named_last_counts(places: list[Path]) -> None:
    places[0].mkdir()
    (places[0] / "gpu.json").write_text(json.dumps({**SPEC, "containerEdits": {"env": ["COMMON=0"]}}))
    assert edits(["v.com/gpu=a"], places).env[0] == ("COMMON", "1")
    assert edits(["v.com/gpu=a"], places[::-1]).env[0] == ("COMMON", "0")


@pytest.mark.parametrize(
    ("device", "why"),
    [
        ("v.com/gpu=none", "unresolvable CDI devices v.com/gpu=none"),
        ("x.com/gpu=a", "unresolvable"),
        ("v.com/gpu=hooked", "hooks"),
        ("v.com/gpu=odd", "tmpfs"),
        ("v.com/gpu=partial", "the specification of CDI devices v.com/gpu=partial is malformed"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(places: list[Path], device: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        edits([device], places)


def test_a_containers_configuration_names_devices_or_has_what_they_come_to(places: list[Path]) -> None:
    subject = pod(containers=[container("c")])
    spec = subject["spec"]["containers"][0]
    named = container_config(subject, spec, ContainerFacts("i", 0, cdi=("v.com/gpu=a",)))
    assert [device.name for device in named.CDI_devices] == ["v.com/gpu=a"] and not named.devices
    found = edits(["v.com/gpu=a", "v.com/gpu=b"], places)
    plain = container_config(subject, spec, ContainerFacts("i", 0, env=(("A", "own"), ("B", "b")), edits=found))
    assert not plain.CDI_devices
    assert {each.key: each.value for each in plain.envs} == {"B": "b", "COMMON": "1", "A": "x=y"}
    assert (plain.devices[0].container_path, plain.devices[0].host_path) == ("/dev/g0", "/dev/null")
    assert (plain.mounts[0].container_path, plain.mounts[0].readonly) == ("/g", True)
    assert 44 in plain.linux.security_context.supplemental_groups


@pytest.mark.parametrize(
    ("name", "version", "config", "takes"),
    [
        ("containerd", "1.6.20~ds1", "{}", False),
        ("containerd", "1.7.1", '{"enableCDI": false}', False),
        ("containerd", "1.7.1", '{"enableCDI": true}', True),
        ("containerd", "v2.0.0", "", True),
        ("cri-o", "1.20", "", True),
    ],
)
def test_which_runtimes_know_cdi(name: str, version: str, config: str, takes: bool) -> None:
    told = pb.VersionResponse(runtime_name=name, runtime_version=version)
    assert translate.takes_cdi(told, config) is takes
