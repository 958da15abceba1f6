"""The times of schedules, and what a CronJob does at them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.objects import Obj, name
from apimachinery.timestamps import format_time, parse_time
from controlplane.controllers.cronjob import plan as planning
from controlplane.controllers.cronjob import schedule
from tests.controlplane.controllers.build import T0

UTC = timezone.utc
BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "zone", "after", "times"),
    [
        ("*/15 * * * *", None, "2026-01-01T00:00:00Z", ["2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"]),
        ("5 ? * * ?", None, "2026-01-01T00:00:00Z", ["2026-01-01T00:05:00Z"]),
        ("@hourly", None, "2026-01-01T00:00:00Z", ["2026-01-01T01:00:00Z"]),
        ("@weekly", None, "2026-01-01T00:00:00Z", ["2026-01-04T00:00:00Z"]),
        ("@every 1h30m", None, "2026-01-01T00:00:00Z", ["2026-01-01T01:30:00Z", "2026-01-01T03:00:00Z"]),
        ("0 0 * jan MON-tue", None, "2026-01-01T00:00:00Z", ["2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"]),
        # One of the two day fields is enough, and */2 is no star.
        ("0 0 13 * 5", None, "2026-01-01T00:00:00Z", ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"]),
        ("0 0 */2 * 5", None, "2026-01-01T00:00:00Z", ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]),
        # 1/3 reaches to Saturday, not to a second Sunday.
        ("0 0 * * 1/3", None, "2026-01-01T00:00:00Z", ["2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z"][1:]),
        ("0 12 * * *", BERLIN, "2026-07-01T00:00:00Z", ["2026-07-01T10:00:00Z"]),
        ("TZ=Asia/Tokyo 0 12 * * *", None, "2026-07-01T00:00:00Z", ["2026-07-01T03:00:00Z"]),
        # 02:30 of 29 March does not exist there and is skipped; 02:30 of 25 October comes twice.
        ("30 2 * * *", BERLIN, "2026-03-28T02:00:00Z", ["2026-03-30T00:30:00Z"]),
        ("30 2 * * *", BERLIN, "2026-10-24T02:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]),
        ("0 0 29 2 *", None, "2026-01-01T00:00:00Z", ["2028-02-29T00:00:00Z"]),
        # What the API server lets in, as odd as it is, has its times.
        (",5, *-5 * * *", None, "2026-01-01T00:00:00Z", ["2026-01-01T00:05:00Z", "2026-01-01T01:05:00Z"]),
        ("0 0 , * 5", None, "2026-01-01T00:00:00Z", ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"]),
        ("0 0 13 * ,", None, "2026-01-01T00:00:00Z", ["2026-01-13T00:00:00Z", "2026-02-13T00:00:00Z"]),
        ("@every -5m", None, "2026-01-01T00:00:00Z", ["2026-01-01T00:00:01Z"]),
        ("@every 1500µs", None, "2026-01-01T00:00:00Z", ["2026-01-01T00:00:01Z"]),
        ("TZ= 0 12 * * *", BERLIN, "2026-07-01T00:00:00Z", ["2026-07-01T12:00:00Z"]),
        ("TZ=Local 0 12 * * *", BERLIN, "2026-07-01T00:00:00Z", ["2026-07-01T12:00:00Z"]),
    ],
)
def test_times(text: str, zone: str | None, after: str, times: list[str]) -> None:
    parsed, moment = schedule.parse(text, zone, UTC), parse_time(after)
    for expected in times:
        found = parsed.after(moment)
        assert found is not None and format_time(found) == expected
        moment = found


@pytest.mark.parametrize("text", ["0 0 31 2 *", ",, * * * *", "0 0 , * *", "0 0 , * ,", "0 0 * , *"])
def test_what_never_comes(text: str) -> None:
    assert schedule.parse(text, None, UTC).after(T0) is None


@pytest.mark.parametrize("text", ["* * * *", "60 * * * *", "* * * * 7", "a * * * *", "*/0 * * * *"])
def test_bad_schedules(text: str) -> None:
    with pytest.raises(ValueError):
        schedule.parse(text, None, UTC)


def cron_job(text: str = "*/5 * * * *", status: Obj | None = None, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "default", "uid": "cron", "creationTimestamp": format_time(T0)},
        "spec": {"schedule": text, "concurrencyPolicy": "Allow", "jobTemplate": template, **spec},
        "status": status or {},
    }


def job(job_name: str, kind: str = "", started: str = "2026-01-01T00:00:00Z") -> Obj:
    status: Obj = {"startTime": started}
    if kind:
        status["conditions"] = [{"type": kind, "status": "True"}]
    if kind == "Complete":
        status["completionTime"] = started
    return {"metadata": {"name": job_name, "namespace": "default", "uid": job_name}, "status": status}


def planned(subject: Obj, moment: datetime, *jobs: Obj) -> planning.Plan:
    return planning.plan(subject, jobs, moment, UTC)


def running(*names: str) -> Obj:
    return {"active": [{"name": n, "uid": n} for n in names], "lastScheduleTime": "2026-01-01T00:05:00Z"}


def minutes(count: float) -> datetime:
    return T0 + timedelta(minutes=count)


def test_a_job_is_made_at_its_time() -> None:
    early = planned(cron_job(), minutes(4))
    assert (early.create, early.again_in) == (None, 60.1)
    todo = planned(cron_job(timeZone=BERLIN), minutes(5.5))
    assert todo.create is not None and todo.scheduled == minutes(5)
    assert name(todo.create) == f"c-{int(minutes(5).timestamp()) // 60}"
    assert todo.create["metadata"]["annotations"] == {planning.SCHEDULED_AT: "2026-01-01T01:05:00+01:00"}
    assert todo.create["metadata"]["labels"] == {"a": "b"}
    assert todo.again_in == pytest.approx(270.1)


def test_a_time_is_not_started_twice() -> None:
    assert planned(cron_job(status={"lastScheduleTime": "2026-01-01T00:05:00Z"}), minutes(6)).create is None


@pytest.mark.parametrize(("deadline", "starts"), [(None, True), (100, True), (30, False)])
def test_a_late_start_has_a_deadline(deadline: int | None, starts: bool) -> None:
    spec: dict[str, Any] = {} if deadline is None else {"startingDeadlineSeconds": deadline}
    assert (planned(cron_job(**spec), minutes(6)).create is not None) == starts


def test_the_latest_of_many_missed_times_counts() -> None:
    todo = planned(cron_job(), T0 + timedelta(days=3, minutes=2))
    assert todo.scheduled == T0 + timedelta(days=3)
    assert [reason for _, reason, _ in todo.events] == ["TooManyMissedTimes"]


@pytest.mark.parametrize(
    ("text", "away", "scheduled", "again"),
    [
        # The beat of an @every is that of its last time, however late somebody looks.
        ("@every 1h", 20, None, 60),
        ("@every 1h", 60 * 5 + 20, 60 * 5, 60 * 6),
        ("30 6-16/4 * * *", 60 * 24 * 3 + 60 * 12, 60 * 24 * 3 + 60 * 10 + 30, 60 * 24 * 3 + 60 * 14 + 30),
        # One minute apart, and then a day: nothing came lately.
        ("58-59 9 * * *", 60 * 20, None, 60 * 24 + 60 * 9 + 58),
        ("58-59 9 * * *", 60 * 24 + 60 * 9 + 59.5, 60 * 24 + 60 * 9 + 59, 60 * 48 + 60 * 9 + 58),
    ],
)
def test_what_is_due_after_a_pause_and_when_to_look_again(
    text: str, away: float, scheduled: float | None, again: float
) -> None:
    todo = planned(cron_job(text), minutes(away))
    assert todo.scheduled == (None if scheduled is None else minutes(scheduled))
    assert todo.again_in == pytest.approx((again - away) * 60 + planning.DELAY)


def test_a_deadline_to_start_does_not_move_the_beat() -> None:
    todo = planned(cron_job("@every 1h", startingDeadlineSeconds=600), minutes(90))
    assert todo.again_in == pytest.approx(30 * 60 + planning.DELAY)


@pytest.mark.parametrize(
    ("policy", "made", "deleted", "told"),
    [("Allow", True, [], []), ("Forbid", False, [], ["JobAlreadyActive"]), ("Replace", True, ["old"], [])],
)
def test_concurrency(policy: str, made: bool, deleted: list[str], told: list[str]) -> None:
    todo = planned(cron_job(status=running("old"), concurrencyPolicy=policy), minutes(11), job("old"))
    assert (todo.create is not None, [name(j) for j in todo.delete]) == (made, deleted)
    assert [reason for _, reason, _ in todo.events] == told


def test_ended_and_missing_jobs_are_told_of_once() -> None:
    todo = planned(cron_job(status=running("done", "gone")), minutes(6), job("done", "Complete"), job("stray"))
    reasons = [reason for _, reason, _ in todo.events]
    assert sorted(reasons) == ["MissingJob", "SawCompletedJob", "UnexpectedJob"]
    assert "active" not in todo.status and todo.status["lastSuccessfulTime"] == "2026-01-01T00:00:00Z"


def test_history_is_cut_from_the_oldest() -> None:
    jobs = [job(f"ok{n}", "Complete", f"2026-01-01T00:0{n}:00Z") for n in range(4)]
    jobs += [job(f"bad{n}", "Failed", f"2026-01-01T00:0{n}:00Z") for n in range(2)]
    limits: dict[str, Any] = {"successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1}
    todo = planned(cron_job(**limits), minutes(1), *reversed(jobs))
    assert sorted(name(j) for j in todo.surplus) == ["bad0", "ok0"]


def test_suspended_and_unknown_zones_start_nothing() -> None:
    assert planned(cron_job(suspend=True), minutes(6)).create is None
    todo = planned(cron_job(timeZone="Nowhere/Town"), minutes(6))
    assert todo.create is None and [r for _, r, _ in todo.events] == ["UnknownTimeZone"]


STEPS = st.lists(st.tuples(st.integers(1, 4000), st.booleans(), st.booleans()), max_size=30)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.sampled_from(["Allow", "Forbid", "Replace"]), st.sampled_from(["*/5 * * * *", "7 */2 * * *"]))
def test_random_histories(steps: list[tuple[int, bool, bool]], policy: str, text: str) -> None:
    """No time is started twice, also when a status is lost; Forbid and Replace never have two at work."""
    subject, moment = cron_job(text, concurrencyPolicy=policy), T0
    jobs: dict[str, Obj] = {}
    started: set[str] = set()
    for seconds, ends, lost in steps:
        moment += timedelta(seconds=seconds)
        todo = planned(subject, moment, *jobs.values())
        for gone in todo.delete:
            del jobs[name(gone)]
        status = todo.status
        if todo.create is not None and todo.scheduled is not None:
            own = name(todo.create)
            assert todo.scheduled <= moment
            if own not in started:
                jobs[own] = job(own)
            else:
                assert own in jobs or policy == "Replace"
            started.add(own)
            active = [*(status.get("active") or ()), {"name": own, "uid": own}]
            status = {**status, "active": active, "lastScheduleTime": format_time(todo.scheduled)}
        if not lost:
            subject["status"] = status
            if policy != "Allow":
                assert len(status.get("active") or ()) <= 1
        if ends:
            jobs = {n: job(n, "Complete") for n in jobs}
