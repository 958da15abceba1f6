"""The planner: one good pod, one mutation, the expected actions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.containers.container_config import container_hash
from agent.cri.model import Container, PodRecord, Sandbox, State
from agent.pods.actions import SANDBOX as SANDBOX_STEP
from agent.pods.actions import VOLUMES, Hold, Pace, PodActions, Seen
from agent.pods.extract import wanted_pod
from agent.pods.plan import plan_pod
from agent.probes.verdicts import ProbeVerdicts
from tests.agent.harness import container, pod

NONE = ProbeVerdicts()
SANDBOX = Sandbox("sb", "uid-p", "default", "p", 0, True, 1, ips=("10.0.0.2",))


def whole_plan(
    manifest: dict, there: PodRecord, verdicts: ProbeVerdicts = NONE, pace: Pace | None = None, **logged: int
) -> PodActions:
    return plan_pod(wanted_pod(manifest), Seen(there, verdicts, logged), pace)


def planned(manifest: dict, there: PodRecord, verdicts: ProbeVerdicts = NONE, pace: Pace | None = None) -> PodActions:
    """The plan without the numbers of its starts, which have a test of their own."""
    return replace(whole_plan(manifest, there, verdicts, pace), attempts={})


def run(spec: dict, state: State = State.RUNNING, code: int = 0, *, created: int = 2, sandbox: str = "sb") -> Container:
    return Container(
        id=f"id-{spec['name']}-{created}",
        sandbox_id=sandbox,
        pod_uid="uid-p",
        pod_namespace="default",
        pod_name="p",
        name=spec["name"],
        attempt=0,
        state=state,
        created_at=created,
        exit_code=code,
        hash=container_hash(spec),
    )


def record(*runs: Container, sandboxes: tuple[Sandbox, ...] = (SANDBOX,)) -> PodRecord:
    return PodRecord("uid-p", sandboxes, tuple(sorted(runs, key=lambda r: -r.created_at)))


A, B = container("a"), container("b")
KEPT = PodActions(sandbox_id="sb")


def two(**spec: Any) -> dict:
    return pod(containers=[A, B], **spec)


def test_everything_runs_so_nothing_is_done():
    assert planned(two(), record(run(A), run(B)), NONE) == KEPT
    assert KEPT.idle


def test_a_new_pod_gets_a_sandbox_and_all_containers():
    actions = planned(two(), PodRecord("uid-p"), NONE)
    assert actions == PodActions(kill_pod=True, create_sandbox=True, attempt=0, containers=("a", "b"))


@pytest.mark.parametrize(
    ("sandboxes", "why"),
    [
        ((replace(SANDBOX, ready=False),), "the sandbox is not ready"),
        ((SANDBOX, replace(SANDBOX, id="sb2", created_at=0)), "more than one sandbox is ready"),
        ((replace(SANDBOX, ips=()),), "the sandbox has no address"),
        ((replace(SANDBOX, network_lost="eth0 is gone"),), "eth0 is gone"),
        ((replace(SANDBOX, host_network=True),), "the network namespace changed"),
    ],
)
def test_a_sandbox_that_will_not_do_is_replaced(sandboxes, why):
    actions = planned(two(), record(run(A), run(B), sandboxes=sandboxes), NONE)
    assert (actions.kill_pod, actions.create_sandbox, actions.attempt) == (True, True, 1)
    assert actions.sandbox_changed == why
    assert actions.containers == ("a", "b")


def test_host_network_needs_no_address():
    sandbox = replace(SANDBOX, ips=(), host_network=True)
    assert planned(two(hostNetwork=True), record(run(A), run(B), sandboxes=(sandbox,)), NONE).idle


def test_a_lost_sandbox_is_not_replaced_under_never():
    down = (replace(SANDBOX, ready=False),)
    actions = planned(two(restartPolicy="Never"), record(run(A, State.EXITED, 1), sandboxes=down), NONE)
    assert actions.kill_pod and not actions.create_sandbox


def test_a_new_sandbox_runs_nothing_that_succeeded_under_on_failure():
    down = (replace(SANDBOX, ready=False),)
    runs = (run(A, State.EXITED, 0), run(B, State.EXITED, 3))
    assert planned(two(restartPolicy="OnFailure"), record(*runs, sandboxes=down), NONE).containers == ("b",)


@pytest.mark.parametrize(
    ("policy", "code", "starts"),
    [
        ("Always", 0, ("a",)),
        ("Always", 1, ("a",)),
        ("OnFailure", 0, ()),
        ("OnFailure", 1, ("a",)),
        ("Never", 0, ()),
        ("Never", 1, ()),
    ],
)
def test_an_ended_container_is_started_by_policy(policy, code, starts):
    actions = planned(two(restartPolicy=policy), record(run(A, State.EXITED, code), run(B)), NONE)
    assert actions == replace(KEPT, containers=starts)


@pytest.mark.parametrize("policy", ["OnFailure", "Never"])
def test_nothing_left_to_run_stops_the_pod(policy):
    runs = (run(A, State.EXITED, 0), run(B, State.EXITED, 0))
    assert planned(two(restartPolicy=policy), record(*runs), NONE) == replace(KEPT, kill_pod=True)


def test_a_container_in_an_unknown_state_is_killed_and_started_again():
    actions = planned(two(restartPolicy="Never"), record(run(A, State.UNKNOWN), run(B)), NONE)
    assert actions.containers == ("a",)
    assert [k.name for k in actions.kills] == ["a"]


@pytest.mark.parametrize("state", [State.CREATED, State.UNKNOWN])
def test_a_container_that_never_ran_is_made_anew(state):
    never = replace(run(A, state, 255), started_at=0)
    actions = planned(two(restartPolicy="Never"), record(never, run(B)), NONE)
    assert (actions.containers, actions.discards, actions.kills) == (("a",), (never.id,), ())


def test_one_that_never_ran_and_is_not_over_yet_is_left_alone_for_a_moment():
    never = replace(run(A, State.CREATED), started_at=0)
    actions = planned(two(), record(never), NONE, held("a"))
    assert (actions.discards, actions.containers) == ((), ("b",))


def held(*steps: str, until: float = 9.0) -> Pace:
    return Pace(now=5.0, holds={step: Hold(until, "Because") for step in steps})


def test_what_failed_lately_waits_for_its_date():
    actions = planned(two(), record(), NONE, held("a"))
    assert (actions.containers, set(actions.held), actions.due) == (("b",), {"a"}, 9.0)
    assert planned(two(), record(run(B)), NONE, held("a")).idle
    assert planned(two(), record(), NONE, held("a", until=5.0)).containers == ("a", "b"), "due now"


def test_a_sandbox_that_failed_waits_and_nothing_is_killed_again():
    down = (replace(SANDBOX, ready=False),)
    actions = planned(two(), record(sandboxes=down), NONE, held(SANDBOX_STEP))
    assert actions.idle and actions.due == 9.0


def test_volumes_that_failed_hold_every_start_but_no_kill():
    assert planned(two(), PodRecord("uid-p"), NONE, held(VOLUMES)).idle
    failed = ProbeVerdicts(liveness_failed=frozenset({run(A).id}))
    actions = planned(two(), record(run(A), run(B)), failed, held(VOLUMES))
    assert (actions.containers, [k.name for k in actions.kills]) == ((), ["a"])


def test_nothing_goes_past_an_init_container_that_waits():
    spec = pod(containers=[A], initContainers=[container("i"), container("s", restartPolicy="Always")])
    actions = planned(spec, record(), NONE, held("i"))
    assert (actions.init, actions.containers, set(actions.held)) == ((), (), {"i"})


def test_a_changed_container_is_replaced_even_under_never():
    changed = container("a", "busybox:other")
    actions = planned(pod(containers=[changed, B], restartPolicy="Never"), record(run(A), run(B)), NONE)
    assert actions.containers == ("a",)
    assert [k.message for k in actions.kills] == ["Container a definition changed, will be restarted"]


def test_only_the_newest_run_counts():
    runs = (run(A, State.EXITED, 1, created=2), run(A, State.RUNNING, created=5), run(B))
    assert planned(two(), record(*runs), NONE).idle


@pytest.mark.parametrize(
    ("verdicts", "probe", "word"),
    [
        (ProbeVerdicts(liveness_failed=frozenset({"id-a-2"})), "livenessProbe", "liveness"),
        (ProbeVerdicts(startup_failed=frozenset({"id-a-2"})), "startupProbe", "startup"),
    ],
)
def test_a_failed_probe_kills_and_policy_decides_the_rest(verdicts, probe, word):
    runs = record(run(A), run(B))
    always = planned(two(), runs, verdicts)
    assert [(k.message, k.probe) for k in always.kills] == [
        (f"Container a failed {word} probe, will be restarted", probe)
    ]
    assert always.containers == ("a",)
    never = planned(two(restartPolicy="Never"), runs, verdicts)
    assert [k.message for k in never.kills] == [f"Container a failed {word} probe"]
    assert never.containers == ()


I1, I2 = container("i1", "busybox:exit-0"), container("i2", "busybox:exit-0")
SIDE = container("s", restartPolicy="Always")


def with_inits(*inits: dict, **spec: Any) -> dict:
    return pod(containers=[A], initContainers=list(inits), **spec)


def test_init_containers_go_first_and_one_by_one():
    subject = with_inits(I1, I2)
    assert planned(subject, PodRecord("uid-p"), NONE).init == ("i1",)
    assert planned(subject, PodRecord("uid-p"), NONE).containers == ()
    assert planned(subject, record(run(I1)), NONE).idle
    assert planned(subject, record(run(I1, State.EXITED)), NONE) == replace(KEPT, init=("i2",))
    done = record(run(I1, State.EXITED), run(I2, State.EXITED))
    assert planned(subject, done, NONE) == replace(KEPT, containers=("a",))


def test_a_failed_init_container_is_retried_or_ends_the_pod():
    failed = record(run(I1, State.EXITED, 1))
    assert planned(with_inits(I1, I2), failed, NONE) == replace(KEPT, init=("i1",))
    assert planned(with_inits(I1, I2, restartPolicy="Never"), failed, NONE) == replace(KEPT, kill_pod=True)


def test_removed_records_of_init_containers_do_not_run_them_again():
    assert planned(with_inits(I1, I2), record(run(A)), NONE).idle
    assert planned(with_inits(I1, I2), record(run(I2, State.EXITED)), NONE).containers == ("a",)


def test_a_new_sandbox_runs_init_containers_again():
    fresh = replace(SANDBOX, id="new", attempt=1, created_at=9)
    old = (run(I1, State.EXITED), run(A, State.EXITED, 137))
    down = replace(SANDBOX, ready=False)
    actions = planned(with_inits(I1), record(*old, sandboxes=(fresh, down)), NONE)
    assert actions == PodActions(sandbox_id="new", attempt=1, init=("i1",))


def test_a_sidecar_lets_the_next_one_start_once_it_started():
    subject = with_inits(SIDE, I1)
    assert planned(subject, record(run(SIDE)), NONE) == replace(KEPT, init=("i1",))
    probed = {**SIDE, "startupProbe": {"exec": {"command": ["true"]}}}
    waiting = with_inits(probed, I1)
    assert planned(waiting, record(run(probed)), NONE).idle
    passed = ProbeVerdicts(startup_passed=frozenset({"id-s-2"}))
    assert planned(waiting, record(run(probed)), passed) == replace(KEPT, init=("i1",))


def test_a_sidecar_that_died_is_started_beside_what_runs():
    subject = with_inits(SIDE, I1)
    runs = record(run(SIDE, State.EXITED, 1), run(I1, State.EXITED), run(A, created=5))
    assert planned(subject, runs, NONE) == replace(KEPT, init=("s",))
    busy = record(run(SIDE, State.EXITED, 1), run(I1, created=4))
    assert planned(subject, busy, NONE) == replace(KEPT, init=("s",))


def test_sidecars_end_with_the_pod():
    subject = with_inits(SIDE, restartPolicy="Never")
    runs = record(run(SIDE), run(A, State.EXITED, 0, created=5))
    assert planned(subject, runs, NONE) == replace(KEPT, kill_pod=True)


def test_an_ephemeral_container_is_started_once():
    subject = pod(containers=[A], ephemeralContainers=[container("e")])
    assert planned(subject, record(run(A)), NONE) == replace(KEPT, ephemeral=("e",))
    ended = record(run(A), run(container("e"), State.EXITED, 1, created=7))
    assert planned(subject, ended, NONE).idle


def test_a_pod_being_deleted_starts_nothing():
    subject = two()
    subject["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert planned(subject, record(run(A, State.EXITED, 1), run(B)), NONE).containers == ()


def test_each_start_has_the_number_after_the_last():
    ended = replace(run(A, State.EXITED, 1), attempt=4)
    assert whole_plan(two(), record(ended)).attempts == {"a": 5, "b": 0}
    assert whole_plan(two(), record(ended), a=9, b=2).attempts == {"a": 5, "b": 2}, "what the runtime forgot left a log"
    never = replace(run(A, State.CREATED, created=5), attempt=5)
    assert whole_plan(two(), record(ended, never, run(B))).attempts == {"a": 5}, "what never ran is no attempt"


def test_an_image_whose_pull_failed_lately_must_be_there():
    hold = Hold(9.0, "ImagePullBackOff")
    pace = Pace(now=5.0, pulls={"busybox:a": hold, "busybox:b": Hold(5.0)})
    actions = planned(two(), record(), NONE, pace)
    assert (actions.containers, actions.no_pulls) == (("a", "b"), {"busybox:a": hold})
