"""KubeSchedulerConfiguration files: what they make of profiles, and what is told of those that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery.kit import settings
from controlplane.scheduler import configuration, profiles
from controlplane.scheduler.configuration import ConfigurationError
from controlplane.scheduler.devices.holdings import Devices
from controlplane.scheduler.framework import Plugin, Profile, Rejection
from controlplane.scheduler.plugins import default_profile
from controlplane.scheduler.settings import Settings
from controlplane.scheduler.storage import Storage
from tests.controlplane.scheduler.build import cluster, node, pod, run

HEAD = {"apiVersion": configuration.API_VERSION, "kind": configuration.KIND}


def built(*listed: dict[str, Any], **fields: Any) -> dict[str, Profile]:
    values = {**HEAD, **({"profiles": list(listed)} if listed else {}), **fields}
    return profiles.build(configuration.read(values), Storage(), Devices())


def plugins(points: dict[str, Any], *config: dict[str, Any]) -> dict[str, Any]:
    return {"schedulerName": "own", "plugins": points, "pluginConfig": list(config)}


def names(profile: Profile, point: str) -> list[str]:
    return [plugin.name for plugin in profile.at(point)]


class Picky(Plugin):
    """A constraint of one's own."""

    def __init__(self, refused: str = "") -> None:
        self.refused = refused

    def filter(self, state: Any, pod: Any, info: Any) -> Rejection | None:
        return Rejection("node(s) displeased") if info.node.name == self.refused else None

    def score(self, state: Any, pod: Any, info: Any) -> float:
        return 1


OWN = f"{__name__}:Picky"


def test_an_empty_file_is_upstream_s_default() -> None:
    (profile,) = built().values()
    default = default_profile()
    assert profile.name == "default-scheduler"
    assert {point: names(profile, point) for point in profile.points} == {
        point: names(default, point) for point in default.points
    }
    assert [(p.name, weight) for p, weight in profile.scorers] == [
        ("TaintToleration", 3),
        ("NodeAffinity", 2),
        ("NodeResourcesFit", 1),
        ("PodTopologySpread", 2),
        ("InterPodAffinity", 2),
        ("DynamicResources", 2),
        ("NodeResourcesBalancedAllocation", 1),
        ("ImageLocality", 1),
    ]


def test_profiles_of_one_scheduler_pack_and_spread() -> None:
    packing = {"scoringStrategy": {"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 1}]}}
    two = built({"schedulerName": "default-scheduler"}, plugins({}, {"name": "NodeResourcesFit", "args": packing}))
    state = cluster(node("busy"), node("idle"))
    state.assume(pod("there", {"cpu": "1", "memory": "2Gi"}), "busy")
    asking = pod("asking", {"cpu": "1", "memory": "2Gi"})
    assert run(state, asking, profile=two["default-scheduler"]).node == "idle"
    assert run(state, asking, profile=two["own"]).node == "busy"


def test_points_that_a_file_changes() -> None:
    (profile,) = built(
        plugins(
            {
                "multiPoint": {"enabled": [{"name": OWN, "weight": 4}], "disabled": [{"name": "ImageLocality"}]},
                "score": {
                    "enabled": [{"name": "NodeResourcesFit", "weight": 9}],
                    "disabled": [{"name": "NodeAffinity"}],
                },
                "filter": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodePorts"}, {"name": OWN}]},
                "postFilter": {"disabled": [{"name": "DefaultPreemption"}, {"name": "DynamicResources"}]},
            }
        )
    ).values()
    # Set anew for the point first, then who is on everywhere, one's own at the end.
    assert [(p.name, w) for p, w in profile.scorers] == [
        ("NodeResourcesFit", 9),
        ("TaintToleration", 3),
        ("PodTopologySpread", 2),
        ("InterPodAffinity", 2),
        ("DynamicResources", 2),
        ("NodeResourcesBalancedAllocation", 1),
        ("Picky", 4),
    ]
    assert names(profile, "filter") == ["NodePorts", "Picky"]
    assert names(profile, "postFilter") == []


def test_a_plugin_of_one_s_own_refuses_in_its_words() -> None:
    point = {"multiPoint": {"enabled": [{"name": OWN}]}}
    (profile,) = built(plugins(point, {"name": OWN, "args": {"refused": "a"}})).values()
    found = run(cluster(node("a")), pod(), profile=profile)
    assert [rejection.reason for rejection in found.rejections.values()] == ["node(s) displeased"]
    assert found.plugins == {"Picky"}
    assert run(cluster(node("a"), node("b")), pod(), profile=profile).node == "b"


def point(name: str, *on: str, off: tuple[str, ...] = ()) -> dict[str, Any]:
    chosen = {"enabled": [{"name": each} for each in on], "disabled": [{"name": each} for each in off]}
    return plugins({name: chosen})


def configured(plugin: str, **args: Any) -> dict[str, Any]:
    return plugins({}, {"name": plugin, "args": args})


EXTENDER = {"urlPrefix": "http://127.0.0.1:1/x"}
WRONG = [
    ({"colour": "red"}, "unknown field colour; known fields: apiVersion"),
    ({"kind": "Deployment"}, "apiVersion and kind must be"),
    ({"podInitialBackoffSeconds": 0}, "podInitialBackoffSeconds: 0: must be greater than 0"),
    ({"podMaxBackoffSeconds": 0.5}, "podMaxBackoffSeconds"),
    ({"percentageOfNodesToScore": 101}, "percentageOfNodesToScore: 101: not in valid range"),
    ({"profiles": "x"}, "profiles: must be a list, not str"),
    ({"profiles": [{}, {}]}, r"profiles\[0\].schedulerName: is required"),
    ({"profiles": [{"schedulerName": "a"}, {"schedulerName": "a"}]}, r"profiles\[1\].schedulerName: 'a' is another"),
    ({"profiles": [{"name": "a"}]}, r"unknown field profiles\[0\].name"),
    ({"profiles": [point("sort")]}, r"unknown field profiles\[0\].plugins.sort"),
    ({"profiles": [point("filter", "EBSLimits")]}, "EBSLimits was taken out"),
    ({"profiles": [point("filter", "NodePorts", "NodePorts")]}, "stands there twice"),
    ({"profiles": [point("filter", "Unheard")]}, "plugin 'Unheard' does not exist; there are SchedulingGates"),
    ({"profiles": [point("filter", "ImageLocality")]}, "ImageLocality has nothing to say there"),
    ({"profiles": [point("filter", "no.such:Thing")]}, "cannot make it: ModuleNotFoundError"),
    ({"profiles": [point("filter", "pathlib:Path")]}, "Path is not derived from"),
    ({"profiles": [point("bind", off=("*",))]}, "no plugin is left at bind"),
    ({"profiles": [point("queueSort", off=("*",)), {"schedulerName": "b"}]}, "queueSort: must be the same for all"),
    ({"profiles": [configured("NodePorts", x=1)]}, "it takes no args"),
    ({"profiles": [configured("Unheard")]}, "no plugin is called 'Unheard'"),
    ({"profiles": [configured("NodeResourcesFit", scoringStrategy={"type": "X"})]}, "scoringStrategy.type"),
    ({"profiles": [configured("NodeResourcesFit", colour=1)]}, "unknown field colour"),
    ({"profiles": [configured("VolumeBinding", bindTimeoutSeconds=-1)]}, "bindTimeoutSeconds: -1"),
    ({"profiles": [configured("InterPodAffinity", hardPodAffinityWeight=101)]}, "hardPodAffinityWeight: 101"),
    (
        {"profiles": [configured("DefaultPreemption", minCandidateNodesPercentage=0, minCandidateNodesAbsolute=0)]},
        "cannot be zero at the same time",
    ),
    ({"profiles": [configured("NodeResourcesBalancedAllocation", resources=[{"name": "cpu", "weight": 2}])]}, "be 1"),
    ({"profiles": [configured("NodePorts", kind="Other")]}, "args.kind: use NodePortsArgs"),
    ({"extenders": [{}]}, r"extenders\[0\]: field url_prefix is required"),
    ({"extenders": [{**EXTENDER, "prioritizeVerb": "p"}]}, "weight: 0: must have a positive weight"),
    ({"extenders": [{**EXTENDER, "bindVerb": "b"}] * 2}, "only one extender can implement bind"),
    ({"extenders": [{**EXTENDER, "managedResources": [{"name": "cpu"}]}]}, "cpu is an invalid extended resource"),
    ({"extenders": [{**EXTENDER, "httpTimeout": "soon"}]}, "httpTimeout"),
    ({"extenders": [{"urlPrefix": "host:1"}]}, "write it as http"),
]


@pytest.mark.parametrize(("fields", "text"), WRONG)
def test_what_is_wrong_is_named(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        built(**fields)


def test_such_a_file_is_a_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.yaml"
    fields = {
        "clientConnection": {"kubeconfig": "/etc/k", "qps": 50},
        "leaderElection": {"leaderElect": False, "leaseDuration": "20s", "resourceName": "mine"},
        "parallelism": 16,
        "profiles": [{"schedulerName": "a"}, {"schedulerName": "b", "percentageOfNodesToScore": 30}],
    }
    file.write_text(yaml.safe_dump({**HEAD, **fields}))
    loaded = settings.load(Settings, file)
    assert (loaded.kubeconfig, loaded.lease_name) == (Path("/etc/k"), "mine")
    assert (loaded.election.leader_elect, loaded.election.lease_duration) == (False, 20.0)
    read = loaded.read()
    assert read.unused == ("parallelism", "clientConnection.qps")
    assert {name: p.percentage for name, p in profiles.build(read, Storage(), Devices()).items()} == {"a": 0, "b": 30}
    file.write_text(yaml.safe_dump({**HEAD, "leaderElection": {"colour": 1}, "clientConnection": {"kubeconfig": "k"}}))
    with pytest.raises(settings.SettingsError, match=r"unknown field leaderElection\.colour"):
        settings.load(Settings, file)
    file.write_text(yaml.safe_dump(HEAD))
    with pytest.raises(settings.SettingsError, match="clientConnection.kubeconfig"):
        settings.load(Settings, file)
