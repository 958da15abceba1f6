"""Security contexts as the runtime is told them."""

from typing import Any

import pytest

from agent.containers.security import container_context
from agent.cri.messages import pb
from tests.agent.harness import pod

PROFILE = pb.SecurityProfile


def seccomp(pod_says: str, container_says: str, default: bool, **more: Any) -> Any:
    made = pod()
    own = {**({"seccompProfile": {"type": container_says}} if container_says else {}), **more}
    if pod_says:
        made["spec"]["securityContext"] = {"seccompProfile": {"type": pod_says}}
    made["spec"]["containers"][0]["securityContext"] = own
    message = container_context(made, made["spec"]["containers"][0], seccomp_default=default)
    return message.seccomp.profile_type


@pytest.mark.parametrize(
    ("pod_says", "container_says", "default", "expected"),
    [
        ("", "", False, PROFILE.Unconfined),
        ("", "", True, PROFILE.RuntimeDefault),
        ("Unconfined", "", True, PROFILE.Unconfined),
        ("", "Unconfined", True, PROFILE.Unconfined),
        ("RuntimeDefault", "", False, PROFILE.RuntimeDefault),
        ("RuntimeDefault", "Unconfined", True, PROFILE.Unconfined),
    ],
)
def test_the_default_profile_is_for_those_who_say_nothing(
    pod_says: str, container_says: str, default: bool, expected: int
) -> None:
    assert seccomp(pod_says, container_says, default) == expected


def test_a_privileged_container_is_told_the_same_and_runs_unconfined_by_the_runtime() -> None:
    assert seccomp("", "", True, privileged=True) == PROFILE.RuntimeDefault
