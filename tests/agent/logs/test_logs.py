"""Reading and rotating container logs."""

import asyncio
import gzip
import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.logs.lines import Formatter, Options, fixed_stamp, parse, since_of, stamp_ns
from agent.logs.read import read_log, tail_start
from agent.logs.rotate import LogRotator, RotationPlan, plan_rotation
from agent.settings import AgentSettings
from agent.view import ContainerRef
from apimachinery import timestamps
from tests import waiting
from tests.waiting import SECONDS, WHOLE

A = b"2026-01-01T00:00:00.1Z stdout F one\n"
B = b"2026-01-01T00:00:01Z stderr F two\n"
C = b"2026-01-01T01:00:02.000000003+01:00 stdout P thr\n"
D = b"2026-01-01T00:00:03Z stdout F ee\n"


def text(options: Options, *lines: bytes) -> bytes:
    formatter = Formatter(options)
    return b"".join(formatter.format(line) for line in lines)


def test_lines_split_by_the_runtime_are_joined() -> None:
    assert text(Options(), A, B, C, D) == b"one\ntwo\nthree\n"
    # Each stream has its own split line.
    assert text(Options(stream="stdout"), C, B, D) == b"three\n"


def test_stamps_have_nine_digits_and_stand_at_line_starts_only() -> None:
    assert text(Options(timestamps=True), A, C, D) == (
        b"2026-01-01T00:00:00.100000000Z one\n2026-01-01T01:00:02.000000003+01:00 three\n"
    )
    assert fixed_stamp(b"nonsense") == b"nonsense"


def test_since_and_limit() -> None:
    since = since_of(timestamps.now(), None, timestamps.parse_time("2026-01-01T00:00:01Z"))
    assert text(Options(since_ns=since), A, B, C, D) == b"two\nthree\n"
    assert text(Options(limit_bytes=6), A, B) == b"one\ntw"
    now = timestamps.parse_time("2026-01-01T00:00:11Z")
    assert since_of(now, 10, None) == stamp_ns(b"2026-01-01T00:00:01Z")
    assert stamp_ns(b"2026-01-01T01:00:00.5+01:00") == stamp_ns(b"2026-01-01T00:00:00.5Z")


@pytest.mark.parametrize("raw", [b"", b"\n", b"x\n", b"t nostream F x\n", b"t stdout F"])
def test_what_is_no_log_line_is_passed_over(raw: bytes) -> None:
    assert parse(raw) is None


@given(
    st.lists(st.binary(max_size=6).map(lambda b: b.replace(b"\n", b"")), max_size=9),
    st.integers(0, 12),
    st.booleans(),
)
def test_tail_counts_from_the_end(lines: list[bytes], count: int, ended: bool) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    if not ended:
        whole = whole[:-1]
    file = io.BytesIO(whole)
    start = tail_start(file, count)
    parts = whole.split(b"\n")
    pieces = [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
    assert whole[start:] == b"".join(pieces[-count:] if count else [])


def test_tail_over_many_blocks(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(b"2026-01-01T00:00:00Z stdout F %d\n" % n for n in range(20000)))

    async def scenario() -> bytes:
        return b"".join([c async for c in read_log(path, Options(tail_lines=7000), lambda: False)])

    assert asyncio.run(scenario()).split() == [b"%d" % n for n in range(13000, 20000)]


def test_following_sees_growth_rotation_and_the_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        path, alive, got, looks = tmp_path / "0.log", [True], bytearray(), 0
        path.write_bytes(A)
        changed = asyncio.Event()

        def running() -> bool:
            nonlocal looks
            looks += 1
            return alive[0]

        async def follow() -> None:
            async for chunk in read_log(path, Options(follow=True), running):
                got.extend(chunk)
                changed.set()

        async def until(expected: bytes) -> None:
            while bytes(got) != expected:
                changed.clear()
                await asyncio.wait_for(changed.wait(), SECONDS)

        task = asyncio.ensure_future(follow())
        await until(b"one\n")
        with path.open("ab") as file:
            file.write(B[:20])
            file.flush()
            seen = looks
            await waiting.until(lambda: looks > seen + 1)
            assert bytes(got) == b"one\n", "half a line waits for its end"
            file.write(B[20:])
        await until(b"one\ntwo\n")
        old = path.rename(tmp_path / "0.log.1")
        with old.open("ab") as file:
            file.write(A)
        path.write_bytes(D)
        await until(b"one\ntwo\none\nee\n")
        with path.open("ab") as file:
            file.write(A)
        alive[0] = False
        await asyncio.wait_for(task, SECONDS)
        assert bytes(got) == b"one\ntwo\none\nee\none\n"

    asyncio.run(scenario())


def test_follow_starts_at_the_tail_and_stops_at_the_limit(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        path = tmp_path / "0.log"
        path.write_bytes(A + B + D)
        options = Options(follow=True, tail_lines=2, limit_bytes=5)
        return b"".join([c async for c in read_log(path, options, lambda: True)])

    assert asyncio.run(asyncio.wait_for(scenario(), WHOLE)) == b"two\ne"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0.log"], RotationPlan((), ())),
        (["0.log", "0.log.1"], RotationPlan((), ("0.log.1",))),
        (
            ["0.log", "0.log.1.gz", "0.log.2.gz", "0.log.3.gz", "0.log.4"],
            RotationPlan(("0.log.1.gz",), ("0.log.4",)),
        ),
        (["0.log", "0.log.1.tmp", "0.log.1", "1.log.1"], RotationPlan(("0.log.1.tmp",), ("0.log.1",))),
        (["0.log", "0.log.1", "0.log.1.gz"], RotationPlan(("0.log.1",), ())),
    ],
)
def test_rotation_plans(names: list[str], expected: RotationPlan) -> None:
    assert plan_rotation("0.log", names, 5) == expected


class View:
    def __init__(self, path: Path, works: bool) -> None:
        self.path, self.works = path, works

    def all_containers(self) -> list[ContainerRef]:
        return [ContainerRef("id", "c", "u", "running", self.path, 0)]

    async def reopen_log(self, container_id: str) -> None:
        if not self.works:
            raise RuntimeError("refused")
        self.path.touch()


def test_a_log_is_rotated_packed_and_given_back_when_the_runtime_refuses(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    settings = replace(AgentSettings(node_name="n"), container_log_max_files=3)

    def rotate(works: bool) -> None:
        view: Any = View(path, works)
        asyncio.run(LogRotator(settings, view).rotate(view.all_containers()[0]))

    path.write_text("first")
    rotate(True)
    (rotated,) = [p for p in tmp_path.iterdir() if p != path]
    assert (rotated.read_text(), path.read_text()) == ("first", "")
    older = rotated.rename(tmp_path / "0.log.20200101-000000")
    path.write_text("second")
    with pytest.raises(RuntimeError):
        rotate(False)
    assert path.read_text() == "second"
    rotate(True)
    packed = older.with_name(older.name + ".gz")
    assert gzip.decompress(packed.read_bytes()) == b"first"
    path.write_text("third")
    newest = next(p for p in tmp_path.iterdir() if p.name.startswith("0.log.2") and p != packed)
    newest.rename(tmp_path / "0.log.20210101-000000")
    rotate(True)
    assert not packed.exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_since_seconds_counts_back_from_now() -> None:
    now = timestamps.now()
    assert since_of(now, 60, None) == since_of(now - timedelta(seconds=60), 0, None)
