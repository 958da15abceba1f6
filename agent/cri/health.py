"""gRPC's health protocol (grpc.health.v1.Health/Check), for gRPC probes; here because gRPC enters by this
package."""

from __future__ import annotations

import grpc
import grpc.aio

from agent.cri.wire import WireError, encode_text, fields

SERVING = 1


class HealthError(Exception):
    """The service did not answer as a health service; the text is the event's."""


async def serving(host: str, port: int, service: str, timeout: float) -> int:
    """ServingStatus of `service` (1 is SERVING). Raises HealthError."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = encode_text(1, service) if service else b""
    options = (("grpc.enable_http_proxy", 0), ("grpc.primary_user_agent", "kube-probe/1.36"))
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer: bytes = await check(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise HealthError(_explain(error, target, timeout)) from error
    try:
        return next((v for n, v in fields(answer) if n == 1 and isinstance(v, int)), 0)
    except WireError as error:
        raise HealthError(f"error: health rpc failed: {error}") from error


def _explain(error: grpc.aio.AioRpcError, target: str, timeout: float) -> str:
    code = error.code()
    if code is grpc.StatusCode.UNIMPLEMENTED:
        text = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return f"{text}: {error.details()}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"timeout: health rpc did not complete within {timeout:g}s"
    if code is grpc.StatusCode.UNAVAILABLE:
        return f'timeout: failed to connect service "{target}" within {timeout:g}s: {error.details()}'
    return f"error: health rpc failed: {error.details()}"
