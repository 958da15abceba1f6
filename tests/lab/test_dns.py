"""The Service of the cluster's DNS is published by every `up`, also of a lab that has it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from apimachinery.client import Client
from apimachinery.kinds import ENDPOINT_SLICE, SERVICE
from lab import dns
from tests.controlplane.apiserver.server import run
from tests.lab.test_spec import make

PUBLISHED = ((SERVICE, dns.NAME), (ENDPOINT_SLICE, f"{dns.NAME}-host"))


def test_what_is_published_again_stays(tmp_path: Path) -> None:
    # The range of the server that tests have.
    spec = dataclasses.replace(make(), service_cidr="10.97.0.0/24")

    async def test(client: Client) -> None:
        await dns.publish(spec, client)
        made = [await client.get(kind, name, dns.NAMESPACE) for kind, name in PUBLISHED]
        await dns.publish(spec, client)
        assert [await client.get(kind, name, dns.NAMESPACE) for kind, name in PUBLISHED] == made
        assert made[0]["spec"]["clusterIP"] == spec.dns_ip == "10.97.0.10"

    run(tmp_path, test)
