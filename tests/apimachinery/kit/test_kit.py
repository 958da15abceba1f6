"""The kit: settings refuse what they do not know, commands end in time, daemons end with their workers."""

import asyncio
import enum
import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from apimachinery.kit import command, files, nft, settings
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.kit.runner import BoundedFrequencyRunner
from tests import clock
from tests.deep import deep


class Mode(enum.Enum):
    FAST = "fast"
    SAFE = "safe"


@dataclass(frozen=True)
class Inner:
    path: Path
    ratio: float = 0.5


@dataclass(frozen=True)
class Example:
    name: str
    inner: Inner
    mode: Mode = Mode.SAFE
    ports: tuple[int, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class Shown:
    """What proves who one is: one pair of an own name, one of none; a key alone that is of no pair."""

    cert_file: str = ""
    key_file: str = ""
    cert_data: str = ""
    key_data: str = ""
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    signing_key_file: Path | None = None


@dataclass(frozen=True)
class Showing:
    shown: Shown = Shown()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return path


def test_settings_are_typed_values(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\ninner: {path: /x, ratio: 1}\nmode: fast\nports: [1, 2]\n")
    assert settings.load(Example, path, note="n", name=None) == Example(
        "a", Inner(Path("/x"), 1.0), Mode.FAST, (1, 2), "n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nme: a", "unknown field nme; known fields: inner, mode, name, note, ports"),
        ("name: a", "field inner is required"),
        ("name: a\ninner: {path: /x, ratio: much}", "inner.ratio must be a float, not 'much'"),
        ("name: a\ninner: {path: /x}\nmode: slow", "mode is 'slow'; use one of fast, safe"),
        ("name: a\ninner: {path: /x}\nports: [true]", r"ports\[0\] must be a int, not True"),
        ("- a", "must hold a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_bad_settings_name_the_field_and_the_fix(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(settings.SettingsError, match=message):
        settings.load(Example, write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{cert_file: a}", "shown.cert_file is given without shown.key_file; give both or neither"),
        ("{cert_file: a, key_file: ''}", "shown.cert_file is given without shown.key_file"),
        ("{key_data: a}", "shown.key_file is given without shown.cert_file"),
        ("{tls_cert_file: a}", "shown.tls_cert_file is given without shown.tls_key_file"),
        ("{tls_cert_file: null, tls_key_file: a}", "shown.tls_key_file is given without shown.tls_cert_file"),
    ],
)
def test_half_a_certificate_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(settings.SettingsError, match=message):
        settings.load(Showing, write(tmp_path, f"shown: {text}"))


@pytest.mark.parametrize(
    "given",
    [{}, {"tls_cert_file": "c", "tls_key_file": "k"}, {"signing_key_file": "k"}, {"cert_file": "c", "key_data": "k"}],
)
def test_whole_pairs_and_keys_alone_are_taken(given: dict[str, str]) -> None:
    shown = settings.of(Showing, {"shown": given}).shown
    assert all(str(getattr(shown, name)) == value for name, value in given.items())


def test_settings_that_are_no_text_say_so(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"name: \xa2\xe6")
    with pytest.raises(settings.SettingsError, match=f"settings file {path} is not text in UTF-8"):
        settings.load(Example, path)


def test_a_command_past_its_deadline_is_ended_with_its_children() -> None:
    started = time.monotonic()
    with pytest.raises(command.CommandError, match="no end after"):
        asyncio.run(command.run(["sh", "-c", "sleep 60 & sleep 60"], timeout=0.2))
    assert time.monotonic() - started < 50


def test_a_failed_command_says_what_it_was_and_what_it_was_given() -> None:
    with pytest.raises(command.CommandError) as caught:
        asyncio.run(command.run(["sh", "-c", "cat >&2; exit 3"], stdin=b"rules", timeout=10))
    assert caught.value.returncode == 3
    assert caught.value.stderr == "rules"
    assert caught.value.stdin == b"rules"


def test_a_tree_is_removed_however_deep_and_nothing_behind_its_links(tmp_path: Path) -> None:
    top, outside = tmp_path / "top", tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    deep(top, 1100)
    (top / "d/link").symlink_to(outside)
    (top / "d/file").touch()
    (top / "d/d/e").mkdir()
    files.remove_tree(top)
    assert not top.exists() and (outside / "file").exists()
    (tmp_path / "link").symlink_to(outside)
    with pytest.raises(OSError):
        files.remove_tree(tmp_path / "link")
    assert (outside / "file").exists()


def test_write_atomic_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    target = tmp_path / "a"
    files.write_atomic(target, b"1")
    files.write_atomic(target, b"2", 0o644)
    assert target.read_bytes() == b"2"
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_dead_worker_stops_the_daemon_and_cleanups_run_in_reverse() -> None:
    order: list[str] = []

    async def scenario() -> None:
        lifecycle = Lifecycle()

        async def cleanup(name: str) -> None:
            order.append(name)

        lifecycle.push("first", lambda: cleanup("first"))
        lifecycle.push("second", lambda: cleanup("second"))

        async def forever() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                order.append("worker ended")

        async def dies() -> None:
            await asyncio.sleep(0)
            raise RuntimeError("lost")

        lifecycle.spawn("forever", forever())
        lifecycle.spawn("dies", dies())
        await lifecycle.wait()

    with pytest.raises(RuntimeError, match="lost"):
        asyncio.run(scenario())
    assert order == ["worker ended", "second", "first"]


def test_the_runner_coalesces_triggers_and_retries_failures() -> None:
    async def scenario() -> int:
        runs = 0

        async def sync() -> None:
            nonlocal runs
            runs += 1
            if runs == 2:
                raise RuntimeError("once")

        runner = BoundedFrequencyRunner(sync, min_interval=0, max_interval=60, retry_interval=0.01)
        task = asyncio.ensure_future(runner.run())
        for _ in range(50):
            runner.trigger()
        await asyncio.sleep(0.05)
        assert runs == 1
        runner.trigger()
        for _ in range(200):
            await asyncio.sleep(0.01)
            if runs == 3:
                break
        task.cancel()
        return runs

    assert clock.run(scenario()) == 3


def test_nftables_are_there_to_be_opened_where_no_more_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(nft, "_spare", kept := [-1])
    monkeypatch.setattr(os, "open", full)
    nft.Nft()
    assert kept == [-1]
