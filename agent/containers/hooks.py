"""Lifecycle hooks: exec, httpGet, tcpSocket (deprecated), sleep.

Source: https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/ .
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agent import podspec
from agent.cri.errors import CriError
from agent.probes.checks import ExecRuntime, Outcome, http_check, http_request
from apimachinery.objects import Obj

_USER_AGENT = "kube-lifecycle/1.36"


class HookError(Exception):
    """The hook failed; the text is the event's."""


async def run_hook(
    runtime: ExecRuntime, pod: Obj, container: Obj, handler: Obj, container_id: str, pod_ip: str
) -> None:
    """Run one hook to its end. Raises HookError."""
    if "exec" in handler:
        await _exec(runtime, pod, container, handler["exec"].get("command") or [], container_id)
    elif "httpGet" in handler:
        await _http(pod, container, handler["httpGet"], pod_ip)
    elif "sleep" in handler:
        await asyncio.sleep(float(handler["sleep"]["seconds"]))
    else:
        # tcpSocket is in the API for old manifests only: upstream, too, fails when such a hook is to run.
        raise HookError(f"invalid handler: {', '.join(sorted(handler)) or 'empty'}")


async def _exec(runtime: ExecRuntime, pod: Obj, container: Obj, command: Sequence[str], container_id: str) -> None:
    who = f'Container "{container["name"]}" in Pod "{podspec.full_name(pod)}"'
    shown = f"[{' '.join(command)}]"
    try:
        result = await runtime.exec_sync(container_id, command, 0)
    except CriError as error:
        raise HookError(f'Exec lifecycle hook ({shown}) for {who} failed - error: {error}, message: ""') from error
    if result.exit_code:
        output = (result.stdout + result.stderr).decode("utf-8", "replace")
        stderr = result.stderr.decode("utf-8", "replace")
        text = f"command '{' '.join(command)}' exited with {result.exit_code}: {stderr}"
        raise HookError(f'Exec lifecycle hook ({shown}) for {who} failed - error: {text}, message: "{output}"')


async def _http(pod: Obj, container: Obj, action: Obj, pod_ip: str) -> None:
    """The request has to be answered; what the answer says, the container's owner decides."""
    try:
        request = http_request(action, container, pod_ip, _USER_AGENT)
    except ValueError as error:
        raise _http_error(pod, container, action, str(error)) from error
    verdict = await http_check(request, timeout=30.0, any_status=True)
    if verdict.outcome is not Outcome.SUCCESS:
        raise _http_error(pod, container, action, verdict.output)


def _http_error(pod: Obj, container: Obj, action: Obj, why: str) -> HookError:
    who = f'Container "{container["name"]}" in Pod "{podspec.full_name(pod)}"'
    return HookError(f"HTTP lifecycle hook ({action.get('path', '')}) for {who} failed - error: {why}")
