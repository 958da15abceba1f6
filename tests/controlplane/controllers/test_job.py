"""Which pods a Job makes, counts and takes away, and when it is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.objects import Obj, copy, is_deleting, uid
from apimachinery.timestamps import format_time
from controlplane.controllers.job import backoff, indexes, policies
from controlplane.controllers.job.backoff import Record
from controlplane.controllers.job.facts import FAILURES, FINALIZER, INDEX, Facts, index_of, is_finished, is_tracked
from controlplane.controllers.job.plan import Plan, plan
from controlplane.controllers.job_ttl import expires_in
from tests.controlplane.controllers.build import T0


def job(completions: int | None = 1, parallelism: int = 1, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"j": "1"}}, "spec": {"containers": [{"name": "c"}], "restartPolicy": "Never"}}
    counted = {} if completions is None else {"completions": completions}
    policy = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    wanted = {"parallelism": parallelism, "backoffLimit": 6, "podReplacementPolicy": policy, "template": template}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "default", "uid": "job", "generation": 1},
        "spec": {**counted, **wanted, **spec},
        "status": {},
    }


def indexed(completions: int, parallelism: int, **spec: Any) -> Obj:
    return job(completions, parallelism, completionMode="Indexed", **spec)


class World:
    """Pods and the status as the API would have them after each plan."""

    def __init__(self, subject: Obj) -> None:
        self.job, self.now, self.record = subject, T0, Record()
        self.pods: dict[str, Obj] = {}
        self.born = 0
        self.counted: dict[str, str] = {}
        self.told: list[str] = []

    def step(self, crash: bool = False) -> Plan:
        """`crash`: after the status was written nothing more happens."""
        todo = plan(self.job, list(self.pods.values()), self.record, True, self.now)
        for pod in todo.untracked:
            self.untrack(pod)
        for pod in (*todo.untracked, *todo.delete):
            self.mark(uid(pod))
        for pod in todo.create:
            self.born += 1
            made = copy(pod)
            made["metadata"] |= {"name": f"p{self.born}", "uid": f"u{self.born}"}
            made["metadata"]["creationTimestamp"] = format_time(self.now)
            made["status"] = {"phase": "Pending"}
            self.pods[uid(made)] = made
        self.job["status"] = todo.status
        self.told += [reason for _, reason, _ in todo.events]
        if crash:
            self.record = Record()
            return todo
        self.record = todo.record
        for pod in todo.counted:
            self.untrack(pod)
        return todo

    def untrack(self, pod: Obj) -> None:
        stored = self.pods.get(uid(pod))
        if stored is not None:
            stored["metadata"]["finalizers"] = []
            self.sweep(uid(pod))

    def mark(self, pod_uid: str) -> None:
        if pod_uid in self.pods:
            self.pods[pod_uid]["metadata"]["deletionTimestamp"] = format_time(self.now)
            self.sweep(pod_uid)

    def sweep(self, pod_uid: str) -> None:
        """What has neither finalizers nor a process any more goes."""
        pod = self.pods[pod_uid]
        if is_deleting(pod) and not is_tracked(pod) and pod["status"]["phase"] != "Running":
            del self.pods[pod_uid]

    def end(self, pod_uid: str, phase: str, code: int = 1) -> None:
        terminated = {"exitCode": 0 if phase == "Succeeded" else code, "finishedAt": format_time(self.now)}
        containers = [{"name": "c", "state": {"terminated": terminated}}]
        self.pods[pod_uid]["status"] = {"phase": phase, "containerStatuses": containers}
        self.sweep(pod_uid)

    def active(self) -> list[str]:
        ended = ("Succeeded", "Failed")
        return [u for u, p in self.pods.items() if not is_deleting(p) and p["status"]["phase"] not in ended]

    def at(self, index: int) -> str:
        return next(u for u in self.active() if index_of(self.pods[u]) == index)

    def settle(self, phase: str = "Succeeded", steps: int = 200) -> None:
        for _ in range(steps):
            self.step()
            for pod_uid in list(self.pods):
                if is_deleting(self.pods[pod_uid]):
                    self.end(pod_uid, "Failed")
                elif pod_uid in self.active():
                    self.end(pod_uid, phase)
            self.now += timedelta(seconds=700)
            if is_finished(self.job):
                return
        raise AssertionError(f"never over: {self.job['status']}")

    def conditions(self) -> list[tuple[str, str]]:
        return [(c["type"], c["reason"]) for c in self.job["status"].get("conditions") or ()]

    def counts(self) -> tuple[int, int]:
        return self.job["status"].get("succeeded", 0), self.job["status"].get("failed", 0)


def test_pods_run_as_many_at_a_time_as_asked_for() -> None:
    world = World(job(5, 2))
    assert len(world.step().create) == 2
    assert len(world.step().create) == 0
    world.settle()
    assert world.counts() == (5, 0)
    assert world.conditions() == [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]
    assert world.told == ["Completed"]
    assert world.job["status"]["uncountedTerminatedPods"] == {} and world.job["status"]["completionTime"]


def test_a_queue_of_work_is_over_when_one_succeeded_and_none_is_left() -> None:
    world = World(job(None, 3))
    assert len(world.step().create) == 3
    first, *others = world.active()
    world.end(first, "Succeeded")
    assert not world.step().create and not is_finished(world.job)
    for other in others:
        world.end(other, "Succeeded")
    world.settle()
    assert world.counts() == (3, 0)


def test_pods_of_an_indexed_job_know_their_place() -> None:
    world = World(indexed(3, 2))
    pods = world.step().create
    assert [index_of(p) for p in pods] == [0, 1]
    assert pods[1]["metadata"]["labels"][INDEX] == "1" and pods[1]["spec"]["hostname"] == "j-1"
    assert pods[1]["metadata"]["generateName"] == "j-1-"
    assert pods[1]["metadata"]["finalizers"] == [FINALIZER]
    (variable,) = pods[1]["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
    world.settle()
    assert world.job["status"]["completedIndexes"] == "0-2" and world.counts() == (3, 0)


def test_failures_are_repeated_after_a_pause_up_to_the_limit() -> None:
    world = World(job(backoffLimit=1))
    world.step()
    world.end(world.active()[0], "Failed")
    assert (world.step().again_in, world.active()) == (10, [])
    world.now += timedelta(seconds=10)
    assert len(world.step().create) == 1
    world.end(world.active()[0], "Failed")
    world.settle()
    assert world.conditions() == [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]
    assert world.counts() == (0, 2) and world.told == ["BackoffLimitExceeded"]


def test_the_deadline() -> None:
    world = World(job(activeDeadlineSeconds=30))
    world.step()
    assert world.step().again_in == 30
    world.now += timedelta(seconds=30)
    assert len(world.step().delete) == 1
    world.settle()
    assert world.conditions()[-1] == ("Failed", "DeadlineExceeded")
    assert world.counts() == (0, 1)


def test_suspension_takes_pods_away_uncounted_and_gives_new_ones() -> None:
    world = World(job(2, 2))
    world.step()
    world.job["spec"]["suspend"] = True
    assert len(world.step().untracked) == 2
    assert world.conditions() == [("Suspended", "JobSuspended")] and world.counts() == (0, 0)
    world.job["spec"]["suspend"] = False
    world.now += timedelta(seconds=60)
    assert len(world.step().create) == 2
    assert world.job["status"]["startTime"] == format_time(world.now)
    assert world.told == ["Suspended", "Resumed"]
    world.settle()
    assert world.counts() == (2, 0)


EXIT = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
IGNORE = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def test_pod_failure_policy_fails_the_job_at_once() -> None:
    world = World(job(3, 3, podFailurePolicy={"rules": [IGNORE, EXIT]}))
    world.step()
    world.end(world.active()[0], "Failed", 42)
    assert len(world.step().delete) == 2
    world.settle()
    (_, last) = world.job["status"]["conditions"]
    assert (last["type"], last["reason"]) == ("Failed", "PodFailurePolicy")
    assert last["message"] == "Container c for pod default/p1 failed with exit code 42 matching FailJob rule at index 1"


def test_ignored_failures_do_not_count() -> None:
    world = World(job(backoffLimit=0, podFailurePolicy={"rules": [IGNORE]}))
    world.step()
    pod_uid = world.active()[0]
    world.end(pod_uid, "Failed")
    world.pods[pod_uid]["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    world.step()
    assert not is_finished(world.job) and world.counts() == (0, 0)
    world.settle()
    assert world.conditions()[-1][0] == "Complete"


@pytest.mark.parametrize(
    ("operator", "values", "code", "matches"),
    [("In", [1, 2], 2, True), ("In", [1, 2], 3, False), ("NotIn", [1], 2, True), ("NotIn", [1], 1, False)],
)
def test_exit_codes(operator: str, values: list[int], code: int, matches: bool) -> None:
    rule = {"action": "Count", "onExitCodes": {"operator": operator, "values": values}}
    world = World(job(podFailurePolicy={"rules": [rule]}))
    world.step()
    pod_uid = world.active()[0]
    world.end(pod_uid, "Failed", code)
    assert (policies.matched(world.job, world.pods[pod_uid]).action == "Count") == matches


@pytest.mark.parametrize(("policy", "replaced"), [("TerminatingOrFailed", 1), ("Failed", 0)])
def test_pod_replacement_policy(policy: str, replaced: int) -> None:
    world = World(job(podReplacementPolicy=policy))
    world.step()
    pod_uid = world.active()[0]
    world.pods[pod_uid]["status"]["phase"] = "Running"
    world.mark(pod_uid)
    world.now += timedelta(seconds=20)
    assert len(world.step().create) == replaced
    assert world.job["status"]["terminating"] == 1


def test_backoff_per_index_gives_up_one_index_and_finishes_the_others() -> None:
    world = World(indexed(2, 2, backoffLimitPerIndex=1, backoffLimit=2**31 - 1))
    world.step()
    world.end(world.at(0), "Failed")
    assert world.step().again_in == 10
    world.now += timedelta(seconds=10)
    (second,) = world.step().create
    assert second["metadata"]["annotations"][FAILURES] == "1"
    world.end(world.at(0), "Failed")
    world.end(world.at(1), "Succeeded")
    world.settle()
    status = world.job["status"]
    assert (status["failedIndexes"], status["completedIndexes"]) == ("0", "1")
    assert world.conditions()[-1] == ("Failed", "FailedIndexes") and world.counts() == (1, 2)


def test_too_many_failed_indexes() -> None:
    world = World(indexed(5, 2, backoffLimitPerIndex=0, maxFailedIndexes=1, backoffLimit=2**31 - 1))
    world.settle("Failed")
    assert world.conditions()[-1] == ("Failed", "MaxFailedIndexesExceeded")


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        ({"succeededIndexes": "0,2"}, True),
        ({"succeededIndexes": "0-3"}, False),
        ({"succeededIndexes": "0-3", "succeededCount": 2}, True),
        ({"succeededCount": 3}, False),
        ({"succeededCount": 2}, True),
    ],
)
def test_success_policy(rule: Obj, met: bool) -> None:
    subject = indexed(5, 5, successPolicy={"rules": [rule]})
    assert (policies.success(subject, indexes.of([0, 2])) is not None) == met


def test_success_policy_ends_the_job_with_pods_at_work() -> None:
    world = World(indexed(3, 3, successPolicy={"rules": [{"succeededIndexes": "1"}]}))
    world.step()
    world.end(world.at(1), "Succeeded")
    assert len(world.step().delete) == 2
    world.settle()
    assert world.conditions() == [("SuccessCriteriaMet", "SuccessPolicy"), ("Complete", "SuccessPolicy")]
    assert world.counts() == (1, 0)


def test_nothing_is_made_or_over_while_pods_are_awaited() -> None:
    world = World(job())
    assert plan(world.job, [], Record(), False, T0).create == ()


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_indexes_are_sets(one: set[int], other: set[int]) -> None:
    a, b = indexes.of(one), indexes.of(other)
    assert indexes.parse(str(a), 41) == a
    assert {i for i in range(41) if i in a} == one and len(a) == len(one)
    assert a | b == indexes.of(one | other) and a & b == indexes.of(one & other)
    assert list(a.missing(41)) == [i for i in range(41) if i not in one]


def test_indexes_are_spelled_as_upstream_does() -> None:
    assert str(indexes.of([0, 1, 3, 4, 5, 9])) == "0,1,3-5,9"
    assert str(indexes.parse("0-3,x,9-20", 12)) == "0-3,9-11"


@pytest.mark.parametrize(("failures", "pause"), [(0, 0), (1, 10), (2, 20), (6, 320), (7, 600), (50, 600)])
def test_pauses_double(failures: int, pause: float) -> None:
    assert backoff.remaining(Record(failures, T0), T0) == pause


def test_time_to_live() -> None:
    subject = job(ttlSecondsAfterFinished=5)
    assert expires_in(subject, T0) is None
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": format_time(T0)}
    subject["status"]["conditions"] = [ended]
    moments: list[datetime] = [T0 + timedelta(seconds=s) for s in (2, 9)]
    assert [expires_in(subject, moment) for moment in moments] == [3, 0]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["step", "step", "crash", "succeed", "fail", "kill", "suspend", "parallel", "wait"]),
        st.integers(0, 5),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.booleans(), st.booleans(), st.sampled_from(["Failed", "TerminatingOrFailed"]))
def test_random_histories(events: list[tuple[str, int]], by_index: bool, limited: bool, policy: str) -> None:
    """No pod is counted twice or lost, a completed index never runs again, and never too many run at a time."""
    spec: Obj = {"podReplacementPolicy": policy, "backoffLimit": 10_000}
    if limited:
        spec["backoffLimitPerIndex"] = 3
    world = World(indexed(4, 2, **spec) if by_index or limited else job(4, 2, **spec))
    ends: dict[str, str] = {}
    for event, number in events:
        active = world.active()
        chosen = active[number % len(active)] if active else None
        if event in ("step", "crash"):
            _checked(world, event == "crash")
        elif event == "suspend":
            world.job["spec"]["suspend"] = not world.job["spec"].get("suspend")
        elif event == "parallel":
            world.job["spec"]["parallelism"] = number
        elif event == "wait":
            world.now += timedelta(seconds=30 * number)
        elif chosen is not None and event == "kill":
            world.mark(chosen)
        elif chosen is not None:
            ends[chosen] = "Succeeded" if event == "succeed" else "Failed"
            world.end(chosen, ends[chosen])
    world.job["spec"] |= {"suspend": False, "parallelism": 2}
    world.settle()
    succeeded, failed = world.counts()
    good = sum(end == "Succeeded" for end in ends.values())
    if not (by_index or limited):
        assert succeeded >= max(4, good)
    assert failed <= world.born
    assert not any(is_tracked(p) for p in world.pods.values())


def _checked(world: World, crash: bool) -> None:
    before = Facts(copy(world.job), [copy(p) for p in world.pods.values()])
    succeeded, failed = before.succeeded, before.failed
    todo = world.step(crash)
    if is_finished(world.job):
        return
    after = Facts(world.job, list(world.pods.values()))
    assert after.succeeded == succeeded, "a step counts nothing anew: it only moves it"
    assert after.failed == failed or todo.untracked or todo.delete
    if before.is_indexed:
        done = before.succeeded_indexes
        assert not [p for p in todo.create if (index_of(p) or 0) in done]
        running = [index_of(p) for p in world.pods.values() if uid(p) in world.active()]
        assert len(running) == len(set(running))
    assert len(todo.create) <= world.job["spec"]["parallelism"]
