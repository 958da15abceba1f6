"""Schedules, as upstream reads them."""

from __future__ import annotations

import pytest

from apimachinery import cron


@pytest.mark.parametrize(
    ("schedule", "wrong"),
    [
        ("*/5 1-3 1,15 jan-MAR ?", ""),
        ("5/10 * * * *", ""),
        ("+5 * * * *", ""),
        (",, * * * *", ""),
        ("*-5 * * * *", ""),
        ("@every 1h30m", ""),
        ("@every -1s", ""),
        ("CRON_TZ=Europe/Berlin  @daily", ""),
        ("TZ= * * * * *", ""),
        ("TZ=0", "invalid schedule format: runtime error: slice bounds out of range [:-1]"),
        ("TZ=Nowhere * * * * *", "provided bad location Nowhere: unknown time zone Nowhere"),
        ("TZ=../etc * * * * *", "provided bad location ../etc: time: invalid location name"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("* 5-3 * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("*/-1 * * * *", "negative number (-1) not allowed: -1"),
        ("*/ * * * *", 'failed to parse int from : strconv.Atoi: parsing "": invalid syntax'),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("-5 * * * *", 'failed to parse int from : strconv.Atoi: parsing "": invalid syntax'),
        ("jan * * * *", 'failed to parse int from jan: strconv.Atoi: parsing "jan": invalid syntax'),
        (
            f"{10**19} * * * *",
            f'failed to parse int from {10**19}: strconv.Atoi: parsing "{10**19}": value out of range',
        ),
        ("@every x", 'failed to parse duration @every x: time: invalid duration "x"'),
        ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
        ("@Daily", "unrecognized descriptor: @Daily"),
    ],
)
def test_schedules_are_read_as_upstream_s_parser_reads_them(schedule: str, wrong: str) -> None:
    found = ""
    try:
        cron.read(schedule)
    except cron.CronError as error:
        found = str(error)
    assert found.startswith(wrong) and bool(found) == bool(wrong), found


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (
            "1,*/1 */12 ? feb-3 mon,5/2",
            cron.Cron((None, frozenset((0, 12)), None, frozenset((2, 3)), frozenset((1, 5)))),
        ),
        (", *-5 1 1 1", cron.Cron((frozenset(), None, *([frozenset((1,))] * 3)))),
        ("TZ= @hourly", cron.Cron((frozenset((0,)), None, None, None, None), zone="")),
        ("CRON_TZ=UTC @every 1m1.9s", cron.Cron(every=61, zone="UTC")),
        ("@every -5m", cron.Cron(every=1)),
    ],
)
def test_what_a_schedule_says(schedule: str, said: cron.Cron) -> None:
    assert cron.read(schedule) == said
