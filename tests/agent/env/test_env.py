"""Environment: base container + one mutation + expected variables."""

import asyncio
import base64
import os
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.downward import FieldPathError, PodFacts, format_map, metadata_field, quote, resource_field
from agent.env.build import Environment
from agent.env.credentials import credentials_for
from agent.env.envfile import EnvFileError, value_of
from agent.env.variables import Referenced, container_references, make_environment, service_variables
from agent.expansion import expand
from agent.failures import ConfigError
from agent.objects.cache import Objects
from agent.reporter import Reporter
from agent.settings import AgentSettings
from agent.volumes.subpath import read_beneath

FACTS = PodFacts(("10.9.9.9",), ("10.1.2.3", "fd00::3"), {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "7"})


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "p",
            "namespace": "ns",
            "uid": "u-1",
            "labels": {"app": "a", "b": 'x"y'},
            "annotations": {"k": "v\nw"},
        },
        "spec": {"nodeName": "node1", "serviceAccountName": "sa", "containers": [], **spec},
    }


def env(container: dict[str, Any], referenced: Referenced | None = None, **spec: Any) -> dict[str, str]:
    return make_environment(pod(**spec), container, referenced or Referenced(), FACTS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(NOPE)", "$(NOPE)"),
        ("a$(A)b$(A)", "a1b1"),
        ("$", "$"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("$$$(A)", "$1"),
        ("$()", "$()"),
    ],
)
def test_expansion_replaces_known_references_only(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}.get) == expected


@given(st.text().filter(lambda text: "$" not in text))
def test_text_without_dollars_expands_to_itself(text: str) -> None:
    assert expand(text, lambda name: "other") == text


def test_later_variables_see_earlier_ones_and_not_later_ones() -> None:
    container = {"env": [{"name": "B", "value": "$(A)"}, {"name": "A", "value": "1"}, {"name": "C", "value": "$(A)"}]}
    assert env(container) == {"B": "$(A)", "A": "1", "C": "1"}


def test_a_repeated_variable_takes_its_last_value_and_an_empty_one_stays() -> None:
    values = [{"name": "E", "value": ""}, {"name": "D", "value": "1"}, {"name": "D", "value": "2"}]
    assert env({"env": values}) == {"E": "", "D": "2"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "ns"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "a"),
        ("metadata.labels['absent']", ""),
        ("metadata.annotations['k']", "v\nw"),
        ("spec.nodeName", "node1"),
        ("spec.serviceAccountName", "sa"),
        ("status.hostIP", "10.9.9.9"),
        ("status.podIP", "10.1.2.3"),
        ("status.podIPs", "10.1.2.3,fd00::3"),
    ],
)
def test_field_references(path: str, expected: str) -> None:
    assert env({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}]}) == {"X": expected}


@pytest.mark.parametrize("path", ["spec.containers", "metadata.finalizers", "metadata.name['x']", "status.phase"])
def test_a_field_that_does_not_exist_is_a_config_error(path: str) -> None:
    with pytest.raises(ConfigError):
        env({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}]})


RESOURCES = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "1500m", "memory": "64Mi"}}


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("limits.cpu", "1", "2"),
        ("limits.cpu", "1m", "1500"),
        ("requests.cpu", "1", "1"),
        ("requests.memory", "1Mi", "32"),
        ("limits.memory", "1", "67108864"),
        ("limits.memory", "", "67108864"),
        ("limits.memory", "0", "67108864"),
        ("limits.ephemeral-storage", "1", "7"),
        ("requests.ephemeral-storage", "1", "0"),
        ("limits.memory", "1Gi", "1"),
    ],
)
def test_resource_fields_are_divided_and_rounded_up(resource: str, divisor: str, expected: str) -> None:
    reference = {"resource": resource, "divisor": divisor}
    assert resource_field({"resources": RESOURCES}, reference, FACTS.allocatable) == expected


def test_a_resource_that_does_not_exist_is_refused() -> None:
    with pytest.raises(FieldPathError):
        resource_field({}, {"resource": "limits.gpu"}, {})


def test_maps_are_sorted_quoted_lines() -> None:
    assert metadata_field(pod(), "metadata.labels") == 'app="a"\nb="x\\"y"'
    assert format_map({}) == ""
    assert quote("a\x00é\u200b\t") == '"a\\x00é\\u200b\\t"'


CONFIG = Referenced(
    {"cm": {"data": {"a": "1", "b": "2"}}},
    {"s": {"data": {"pw": base64.b64encode(b"secret").decode()}}},
)


def test_env_from_takes_every_key_with_its_prefix_and_env_overrides_it() -> None:
    container = {
        "envFrom": [
            {"configMapRef": {"name": "cm"}, "prefix": "P_"},
            {"secretRef": {"name": "s"}},
            {"secretRef": {"name": "absent", "optional": True}},
        ],
        "env": [{"name": "P_a", "value": "own"}],
    }
    assert env(container, CONFIG) == {"P_a": "own", "P_b": "2", "pw": "secret"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "a"}}, 'configmap "no" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "z"}}, "couldn't find key z in ConfigMap ns/cm"),
        ({"secretKeyRef": {"name": "no", "key": "a"}}, 'secret "no" not found'),
        ({"secretKeyRef": {"name": "s", "key": "z"}}, "couldn't find key z in Secret ns/s"),
    ],
)
def test_missing_references_say_what_upstream_says_and_optional_ones_nothing(source: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        env({"env": [{"name": "X", "valueFrom": source}]}, CONFIG)
    assert str(caught.value) == message
    ((kind, reference),) = source.items()
    optional = {kind: {**reference, "optional": True}}
    assert env({"env": [{"name": "X", "valueFrom": optional}]}, CONFIG) == {}


SERVICES = (
    {
        "metadata": {"name": "my-db", "namespace": "ns"},
        "spec": {
            "clusterIP": "10.0.0.5",
            "ports": [{"name": "sql-x", "port": 5432}, {"port": 53, "protocol": "UDP"}],
        },
    },
    {
        "metadata": {"name": "headless", "namespace": "ns"},
        "spec": {"clusterIP": "None", "ports": [{"port": 1}]},
    },
    {
        "metadata": {"name": "other", "namespace": "elsewhere"},
        "spec": {"clusterIP": "10.0.0.6", "ports": [{"port": 1}]},
    },
    {
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "fd00::1", "ports": [{"port": 443}]},
    },
)


def test_service_variables_of_the_namespace_and_of_the_api() -> None:
    values = service_variables(SERVICES, "ns", links=True)
    assert values["MY_DB_SERVICE_HOST"] == "10.0.0.5"
    assert values["MY_DB_SERVICE_PORT"] == values["MY_DB_SERVICE_PORT_SQL_X"] == "5432"
    assert values["MY_DB_PORT"] == "tcp://10.0.0.5:5432"
    assert values["MY_DB_PORT_53_UDP"] == "udp://10.0.0.5:53"
    assert values["MY_DB_PORT_53_UDP_PROTO"] == "udp"
    assert values["MY_DB_PORT_53_UDP_ADDR"] == "10.0.0.5"
    assert values["KUBERNETES_PORT"] == "tcp://[fd00::1]:443"
    assert not any(name.startswith(("OTHER", "HEADLESS")) for name in values)


def test_without_service_links_only_the_api_server_remains_and_own_values_win() -> None:
    container = {"env": [{"name": "KUBERNETES_SERVICE_HOST", "value": "mine"}]}
    values = env(container, Referenced(services=SERVICES), enableServiceLinks=False)
    assert values["KUBERNETES_SERVICE_HOST"] == "mine"
    assert not any(name.startswith("MY_DB") for name in values)


def test_references_of_a_container() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "s"}}],
        "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "b", "key": "k"}}}, {"name": "Y"}],
    }
    found = container_references(container)
    assert (found.config_maps, found.secrets) == (frozenset({"a", "b"}), frozenset({"s"}))


def pull_secret(auths: str) -> dict[str, Any]:
    data = {".dockerconfigjson": base64.b64encode(f'{{"auths": {auths}}}'.encode()).decode()}
    return {"type": "kubernetes.io/dockerconfigjson", "data": data}


def test_the_longest_matching_registry_key_comes_first() -> None:
    auth = base64.b64encode(b"u:p:w").decode()
    secret = pull_secret(
        f'{{"r.example": {{"auth": "{auth}"}}, "https://r.example/team": {{"username": "t"}}, "*.example": {{}}, '
        '"x.example:5000": {"username": "no"}}'
    )
    found = credentials_for("r.example/team/app:1", [secret])
    assert [(c.username, c.password) for c in found] == [("t", ""), ("u", "p:w"), ("", "")]


@pytest.mark.parametrize("image", ["busybox", "library/busybox:1", "docker.io/library/busybox"])
def test_images_without_a_registry_use_the_default_one(image: str) -> None:
    found = credentials_for(image, [pull_secret('{"https://index.docker.io/v1/": {"username": "hub"}}')])
    assert [c.username for c in found] == ["hub"]


def test_a_broken_pull_secret_is_passed_over() -> None:
    assert credentials_for("busybox", [{"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "!!"}}]) == ()


FILE = "# c\n\n  A='1'\nB='x y # z'  # comment\nC='one\n two'\nD= 'nothing'\nE=''\nA='2'\n"


@pytest.mark.parametrize(
    ("key", "value"), [("A", "1"), ("B", "x y # z"), ("C", "one\n two"), ("D", ""), ("E", ""), ("F", "")]
)
def test_a_variable_of_a_file(key: str, value: str) -> None:
    assert value_of(FILE, key) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A", "at line 1: missing '='"),
        ("\n='1'", "at line 2: empty variable name"),
        ("A ='1'", "at line 1: whitespace before '=' is not allowed"),
        ("A=1", "at line 1: value must be enclosed in single quotes"),
        ('A="1"', "at line 1: value must be enclosed in single quotes"),
        ("A='1'2", "at line 1: unexpected content after closing quote"),
        ("A='1\n2", "starting at line 1: unclosed single quote"),
        ("A='" + "x" * 70_000 + "'", "at line 1: the line is too long"),
    ],
)
def test_a_file_that_is_not_in_the_format(text: str, why: str) -> None:
    with pytest.raises(EnvFileError, match=f"invalid environment variable format {why}"):
        value_of(text, "Z")


@pytest.mark.parametrize(
    ("files", "optional", "expected"),
    [
        ({("v", "f"): "K='1'\n"}, False, {"X": "1"}),
        ({("v", "f"): "L='1'\n"}, True, {}),
        ({("v", "f"): None}, True, {}),
        ({("v", "f"): None}, False, "couldn't parse env file"),
        ({("v", "f"): "broken"}, True, "couldn't parse env file"),
        ({("v", "f"): "L='1'\n"}, False, 'environment variable key "K" not found in file "f"'),
        ({}, True, 'cannot find the volume "v" referenced by FileKeyRef'),
    ],
)
def test_references_to_files(files: dict[tuple[str, str], str | None], optional: bool, expected: Any) -> None:
    ref = {"volumeName": "v", "path": "f", "key": "K", **({"optional": True} if optional else {})}
    container = {"name": "c", "env": [{"name": "X", "valueFrom": {"fileKeyRef": ref}}]}
    assert container_references(container).files == {("v", "f")}
    if isinstance(expected, str):
        with pytest.raises(ConfigError, match=re.escape(expected)):
            env(container, Referenced(files=files))
    else:
        assert env(container, Referenced(files=files)) == expected


def test_a_file_is_read_inside_its_volume_only(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "below").mkdir(parents=True)
    (volume / "below/f").write_text("K='1'\n")
    (volume / "inside").symlink_to("below/f")
    (volume / "outside").symlink_to("../secret")
    (tmp_path / "secret").write_text("K='2'\n")
    os.mkfifo(volume / "pipe")
    (volume / "large").write_bytes(b"x" * ((1 << 20) + 1))
    assert read_beneath(volume, "below/f") == read_beneath(volume, "inside") == "K='1'\n"
    assert read_beneath(volume, "none") is None
    assert read_beneath(tmp_path / "no volume", "f") is None
    for path in ("outside", "../secret", "pipe", "large", "below"):
        with pytest.raises(ConfigError):
            read_beneath(volume, path)


def test_the_node_reads_the_file_of_the_pods_own_volume(tmp_path: Path) -> None:
    settings = AgentSettings(node_name="n", root_dir=tmp_path)
    volume = tmp_path / "pods/u-1/volumes/kubernetes.io~empty-dir/v"
    volume.mkdir(parents=True)
    (volume / "f").write_text("K='1'\n")
    ref = {"volumeName": "v", "path": "f", "key": "K"}
    container = {"name": "c", "env": [{"name": "X", "valueFrom": {"fileKeyRef": ref}}]}
    made = pod(volumes=[{"name": "v", "emptyDir": {}}])
    built = asyncio.run(Environment(settings, Objects(None, "n")).build(made, container, ()))
    assert dict(built)["X"] == "1"


def test_pull_secrets_that_are_not_there_are_told_of() -> None:
    class Told:
        events: ClassVar[list[tuple[str, str]]] = []

        def event(self, obj: dict[str, Any], type: str, reason: str, message: str) -> None:
            self.events.append((reason, message))

    class NoSecrets(Objects):
        async def secrets(self, pod: Any, names: Any, error: Any) -> dict[str, dict[str, Any]]:
            return {}

    settings, made = AgentSettings(node_name="n"), pod(imagePullSecrets=[{"name": "a"}, {"name": "b"}])
    environment = Environment(settings, NoSecrets(None, "n"), Reporter(Told()))
    assert asyncio.run(environment.credentials(made, "busybox")) == ()
    text = "Unable to retrieve some image pull secrets (a, b); attempting to pull the image may not succeed."
    assert Told.events == [("FailedToRetrieveImagePullSecret", text)]
