"""What a record of the log is as a line."""

from __future__ import annotations

import logging
import sys

from apimachinery.kit.logs import _LineFormatter


def line(text: str, *args: object, error: BaseException | None = None) -> str:
    about = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord("some.where", logging.WARNING, "", 0, text, args, about)
    return _LineFormatter("agent").format(record)


def test_a_record_is_a_line_that_begins_with_its_level() -> None:
    told = line("pod %s", "x")
    assert told.startswith("W") and told.endswith(" agent some.where] pod x")


def test_nothing_that_others_have_a_say_in_is_told_at_any_length() -> None:
    """However it comes: as an error in a message, or in what an exception says of itself."""
    try:
        raise RuntimeError("because " + "x" * 1_000_000 + " at last")
    except RuntimeError:
        error = sys.exc_info()[1]
    told = line("failed: %s", error)
    assert "] failed: because xxx" in told and told.endswith("xxx at last") and len(told) < 10_000
    told = line("failed", error=error)
    assert "\nRuntimeError: because xxx" in told and told.endswith("xxx at last") and len(told) < 40_000
