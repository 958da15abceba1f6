"""Two processes of the same daemon, as they run on two machines: one works, and when it falls silent the other does."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from apimachinery.kinds import CONFIG_MAP, LEASE, NAMESPACE
from tests.controlplane.stage import kubeconfig_of, stage
from tests.waiting import SECONDS, WHOLE, until

# Of the one that is stopped: its lease runs out soon. If a slow machine makes it late before, the other leads sooner.
BRIEF = {"lease_duration": 3, "renew_deadline": 2, "retry_period": 0.4}
# Of the other: no machine is so slow that it loses the lead.
PATIENT = {"lease_duration": 2 * WHOLE, "renew_deadline": WHOLE, "retry_period": 0.4}


@contextmanager
def process(root: Path, name: str, election: dict[str, float]) -> Iterator[subprocess.Popen[bytes]]:
    """A process of controllers that publishes root certificates, and no more."""
    authority = root / "ca.crt"
    authority.write_text("the authority")
    settings = {
        "kubeconfig": str(kubeconfig_of(root, "system:kube-controller-manager")),
        "health_port": 0,
        "controllers": ["root-ca-certificate-publisher-controller"],
        "root_ca_file": str(authority),
        "election": {**election, "identity": name},
    }
    config = root / f"{name}.yaml"
    config.write_text(json.dumps(settings))
    argv = [sys.executable, "-m", "controlplane.controllers", "--config", str(config)]
    with (root / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(argv, stderr=log, stdout=log)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def test_the_other_goes_on_when_one_is_stopped_and_the_next_when_one_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as at:

            async def is_holder(name: str) -> bool:
                lease = await at.client.get(LEASE, "kube-controller-manager", "kube-system")
                return (lease["spec"].get("holderIdentity") or "") == name

            async def works(space: str) -> None:
                made: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}
                await at.client.create(NAMESPACE, made)
                await until(lambda: at.client.get(CONFIG_MAP, "kube-root-ca.crt", space))

            with process(tmp_path, "a", BRIEF) as a, ExitStack() as later:
                await until(lambda: is_holder("a"))
                b = later.enter_context(process(tmp_path, "b", PATIENT))
                await works("first")
                await until(lambda: "stands" in (tmp_path / "b.log").read_text())
                a.send_signal(signal.SIGSTOP)
                await until(lambda: is_holder("b"))
                await works("second")
                # It did not hear that its time is over: it ends before it writes anything.
                a.send_signal(signal.SIGCONT)
                assert await asyncio.to_thread(a.wait, SECONDS) == 1
                assert "not renewed" in (tmp_path / "a.log").read_text()
                assert await is_holder("b")
                b.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(b.wait, SECONDS) == 0
                assert await is_holder("")

    asyncio.run(asyncio.wait_for(scenario(), WHOLE))
