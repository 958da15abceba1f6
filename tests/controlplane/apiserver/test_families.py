"""Which IP families a Service has: upstream's table, on clusters of one family and of two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apimachinery import errors, kinds
from apimachinery.client import Client
from controlplane.apiserver.strategies.families import settle
from tests.controlplane.apiserver.server import run

DUAL, FOUR = ("IPv4", "IPv6"), ("IPv4",)
SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
A4, A6, B6 = "10.97.0.9", "fd97::9", "fd97::10"
HAS4 = {"type": "ClusterIP", "clusterIP": A4, "clusterIPs": [A4], "ipFamilies": ["IPv4"], "ipFamilyPolicy": SINGLE}
HAS46 = {**HAS4, "clusterIPs": [A4, A6], "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": PREFER}
NONE: dict[str, Any] = {"clusterIP": "None", "clusterIPs": ["None"]}


@pytest.mark.parametrize(
    ("spec", "was", "configured", "wanted"),
    [
        ({}, None, DUAL, (SINGLE, ["IPv4"])),
        ({}, None, ("IPv6", "IPv4"), (SINGLE, ["IPv6"])),
        ({"ipFamilyPolicy": PREFER}, None, DUAL, (PREFER, ["IPv4", "IPv6"])),
        ({"ipFamilyPolicy": PREFER}, None, FOUR, (PREFER, ["IPv4"])),
        ({"ipFamilyPolicy": REQUIRE, "ipFamilies": ["IPv6"]}, None, DUAL, (REQUIRE, ["IPv6", "IPv4"])),
        ({"ipFamilies": ["IPv6"]}, None, DUAL, (SINGLE, ["IPv6"])),
        ({"clusterIP": A6, "clusterIPs": [A6]}, None, DUAL, (SINGLE, ["IPv6"])),
        ({"ipFamilyPolicy": PREFER, "clusterIP": A6, "clusterIPs": [A6, A4]}, None, DUAL, (PREFER, ["IPv6", "IPv4"])),
        (NONE, None, FOUR, (REQUIRE, ["IPv4", "IPv6"])),
        ({**NONE, "ipFamilyPolicy": SINGLE}, None, DUAL, (SINGLE, ["IPv4"])),
        ({**NONE, "selector": {"a": "b"}, "ipFamilyPolicy": PREFER}, None, DUAL, (PREFER, ["IPv4", "IPv6"])),
        ({**NONE, "selector": {"a": "b"}}, None, DUAL, (SINGLE, ["IPv4"])),
        # Changes.
        ({**HAS4, "ipFamilyPolicy": PREFER}, HAS4, DUAL, (PREFER, ["IPv4", "IPv6"])),
        ({**HAS46, "ipFamilyPolicy": SINGLE}, HAS46, DUAL, (SINGLE, ["IPv4"])),
        ({**HAS46, "ipFamilyPolicy": SINGLE, "clusterIPs": [A4]}, HAS46, DUAL, (SINGLE, ["IPv4"])),
        ({**HAS4, "ipFamilyPolicy": PREFER}, {**HAS4, "ipFamilyPolicy": PREFER}, DUAL, (PREFER, ["IPv4"])),
        (HAS46, HAS46, FOUR, (PREFER, ["IPv4", "IPv6"])),
        ({"type": "ClusterIP", "ipFamilyPolicy": REQUIRE}, {"type": "ExternalName"}, DUAL, (REQUIRE, ["IPv4", "IPv6"])),
        ({k: v for k, v in HAS46.items() if k != "ipFamilyPolicy"}, HAS46, DUAL, (PREFER, ["IPv4", "IPv6"])),
    ],
)
def test_families_of_a_service(spec: Any, was: Any, configured: Any, wanted: Any) -> None:
    made = {**spec}
    assert settle(made, was, configured) == []
    assert (made["ipFamilyPolicy"], made["ipFamilies"]) == wanted
    if wanted[0] == SINGLE:
        assert len(made.get("clusterIPs") or [""]) == 1


@pytest.mark.parametrize(
    ("spec", "was", "configured", "text"),
    [
        ({"ipFamilyPolicy": REQUIRE}, None, FOUR, "this cluster is not configured for dual-stack services"),
        ({"ipFamilies": ["IPv6"]}, None, FOUR, "not configured on this cluster"),
        ({"clusterIP": A6, "clusterIPs": [A6]}, None, FOUR, "IPv6 is not configured on this cluster"),
        ({"clusterIP": A4, "clusterIPs": [A4, A6]}, None, DUAL, "when multiple cluster IPs are specified"),
        ({"ipFamilies": ["IPv4", "IPv6"]}, None, DUAL, "when multiple IP families are specified"),
        ({**HAS46, "clusterIPs": [A4]}, HAS46, DUAL, "must be 'SingleStack' to release the secondary cluster IP"),
        ({**HAS46, "ipFamilies": ["IPv4"]}, HAS46, DUAL, "must be 'SingleStack' to release the secondary IP family"),
    ],
)
def test_families_that_cannot_be(spec: Any, was: Any, configured: Any, text: str) -> None:
    found = settle({**spec}, was, configured)
    assert [text in str(problem) for problem in found] == [True]


def test_a_cluster_of_two_ranges_gives_addresses_of_both(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async def create(name: str, **spec: Any) -> Any:
            body = {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}
            return (await client.create(kinds.SERVICE, body, "default"))["spec"]

        async def change(name: str, **spec: Any) -> Any:
            return (await client.patch(kinds.SERVICE, name, {"spec": spec}, "default"))["spec"]

        ranges = await client.get(kinds.SERVICE_CIDR, "kubernetes")
        assert ranges["spec"]["cidrs"] == ["10.97.0.0/24", "fd97::/112"]
        assert (await client.get(kinds.SERVICE, "kubernetes", "default"))["spec"]["clusterIPs"] == ["10.97.0.1"]
        both = await create("both", ipFamilyPolicy=PREFER)
        assert [a.partition("97")[0] for a in both["clusterIPs"]] == ["10.", "fd"] and both["clusterIP"].startswith(
            "10."
        )
        six = await create("six", ipFamilies=["IPv6"])
        assert six["clusterIP"].startswith("fd97::") and six["ipFamilyPolicy"] == SINGLE
        await create("chosen", ipFamilyPolicy=REQUIRE, clusterIP=A4, clusterIPs=[A4, A6])
        with pytest.raises(errors.Invalid, match="already allocated"):
            await create("taken", clusterIP=A6)
        one = await change("chosen", ipFamilyPolicy=SINGLE)
        assert (one["clusterIPs"], one["ipFamilies"]) == ([A4], ["IPv4"])
        assert (await create("free", clusterIP=A6))["clusterIPs"] == [A6], "the second one was given back"
        grown = await change("chosen", ipFamilyPolicy=REQUIRE)
        assert grown["clusterIPs"][0] == A4 and grown["clusterIPs"][1].startswith("fd97::")
        assert (await change("chosen", type="NodePort"))["clusterIPs"] == grown["clusterIPs"]

    run(tmp_path, test, service_cidr="10.97.0.0/24,fd97::/112")
