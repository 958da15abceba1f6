"""What runs wrote about themselves is added up; one that wrote nothing counts for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.testing import report, run
from lab.testing.report import Counts

XML = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1"
failures="2" skipped="3" tests="10" time="4.5"><testcase classname="tests.a" name="test_x[1]" time="2.500" />
<testcase classname="tests.b" name="test_y" time="0.25"><failure message="no">text</failure></testcase>
</testsuite></testsuites>"""


def test_outcomes_are_counted_and_the_slowest_named(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text(XML)
    found = report.read(file)
    assert found == Counts(4, 3, 3, ((2.5, "tests.a::test_x[1]"), (0.25, "tests.b::test_y")))
    assert found + found == Counts(8, 6, 6, tuple(sorted(found.slowest * 2, reverse=True)))


def test_a_run_that_was_killed_counts_for_nothing(tmp_path: Path) -> None:
    assert report.read(tmp_path / "missing.xml") == Counts()
    (tmp_path / "half.xml").write_text(XML[:100])
    assert report.read(tmp_path / "half.xml") == Counts()


def test_what_ended_a_run_that_could_not_say_so_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    log.write_text("half a word")
    run._told(run.Outcome(run.Task("kernel 1/6", (), "kernel"), -9, 1.0, 0.0, Counts()), log)
    told = capsys.readouterr().out
    assert "half a word" in told and "SIGKILL ended it" in told
