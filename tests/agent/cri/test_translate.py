"""What the runtime's answers come to."""

from __future__ import annotations

import pytest

from agent.cri import translate
from agent.cri.messages import pb
from agent.cri.model import RuntimeInfo, State

_EXITED = pb.ContainerState.CONTAINER_EXITED


@pytest.mark.parametrize(
    ("name", "version", "able"),
    [
        ("containerd", "1.6.20~ds1", False),
        ("containerd", "v2.0.5", False),
        ("containerd", "2.1.0", True),
        ("containerd", "v2.2.0-rc.1", True),
        ("containerd", "", True),
        ("cri-o", "1.29.1", True),
    ],
)
def test_which_containerd_mounts_images(name: str, version: str, able: bool) -> None:
    assert RuntimeInfo(name, version, True, True, "").mounts_images is able


@pytest.mark.parametrize(
    ("reason", "message", "code", "started", "state"),
    [
        # The agent was killed while it waited for StartContainer.
        ("StartError", 'failed to start containerd task "x": context canceled: unknown', 128, 0, State.CREATED),
        ("StartError", "failed to create containerd task: context canceled", 128, 0, State.CREATED),
        (
            "StartError",
            "failed to create containerd task: failed to start shim: start failed: : signal: killed: unknown",
            128,
            0,
            State.CREATED,
        ),
        # containerd was killed, and finds no task of a container that it had not yet noted as started.
        ("Unknown", "", 255, 0, State.CREATED),
        # A command that is not there is an end like any other.
        ("StartError", 'failed to create shim task: exec: "/no": no such file or directory', 128, 0, State.EXITED),
        ("StartError", "OCI runtime create failed: container init was OOM-killed", 128, 0, State.EXITED),
        # It ran, and what became of it is not known.
        ("Unknown", "", 255, 5, State.EXITED),
        ("Error", "", 255, 5, State.EXITED),
        # So short that the runtime was killed before it noted the start.
        ("Completed", "", 0, 0, State.EXITED),
        ("Error", "", 3, 0, State.EXITED),
        ("Error", "context canceled", 1, 5, State.EXITED),
    ],
)
def test_a_start_that_was_cut_off_is_no_end(reason: str, message: str, code: int, started: int, state: State) -> None:
    said = pb.ContainerStatus(
        id="c", state=_EXITED, reason=reason, message=message, exit_code=code, started_at=started, finished_at=9
    )
    found = translate.container(said)
    assert found.state is state
    assert found.listed_as is State.EXITED, "a relist that finds it unchanged does not ask again"


def test_a_sandboxs_image_is_in_what_is_told_beside_its_status() -> None:
    assert translate.sandbox_image('{"pid": 1, "image": "pause:3"}') == "pause:3"
    assert [translate.sandbox_image(told) for told in ("", "[]", "{}", '{"image": null}')] == [""] * 4
