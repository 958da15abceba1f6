"""gRPC probes: what a container's health service is asked, and what it may answer."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from agent.cri.wire import encode_text
from agent.probes.checks import Outcome, Verdict
from agent.probes.prober import Target, check
from tests.waiting import SECONDS


def asked(answer: bytes, service: str = "") -> tuple[Verdict, list[bytes]]:
    """The verdict of a probe, and what the service saw."""
    seen: list[bytes] = []

    async def respond(request: bytes, _context: Any) -> bytes:
        seen.append(request)
        return answer

    async def main() -> Verdict:
        server = grpc.aio.server()
        methods = {"Check": grpc.unary_unary_rpc_method_handler(respond)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        target: Any = Target(pod={}, container={"name": "c"}, container_id="c1", pod_ip="127.0.0.1", started_at=0.0)
        try:
            return await check(None, target, {"grpc": {"port": port, "service": service}}, SECONDS)  # type: ignore[arg-type]
        finally:
            await server.stop(None)

    return asyncio.run(main()), seen


def test_a_service_is_asked_for_by_its_name_however_long() -> None:
    name = "s" * 300
    assert asked(b"\x08\x01", name) == (Verdict(Outcome.SUCCESS, "service healthy"), [encode_text(1, name)])
    assert asked(b"\x08\x02") == (Verdict(Outcome.FAILURE, "service unhealthy (responded with 2)"), [b""])


@pytest.mark.parametrize("answer", [b"\x08", b"\x0f", b"\x12\x7f"])
def test_an_answer_that_is_no_message_is_a_failure_and_no_end_of_probing(answer: bytes) -> None:
    verdict, _ = asked(answer)
    assert verdict.outcome is Outcome.FAILURE and verdict.output.startswith("error: health rpc failed: ")
