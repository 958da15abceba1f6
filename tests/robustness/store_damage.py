"""Damages a store that was killed in the middle of its work, and looks whether the next start says so.

    python -m tests.robustness.store_damage [--rounds 100] [--seed N]

Each round damages a copy of the files of a real store (bits flipped, pages zeroed or full of noise, files cut off,
emptied, removed, or swapped with those of an earlier day) and opens it. What may come of it:

    healed   it opens, with every acknowledged write and no revision given back
    refused  it does not, the message names a file, what is lost and what to do, and no file was changed
    silent   anything else: a fault
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from controlplane.store import Corrupt, Delete, Put
from controlplane.store.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[2]
DATABASE, LOG, WITNESS = "state.db", "state.db-wal", "state.witness"
FILES = (DATABASE, LOG, WITNESS)
PAGE = 4096


@dataclass(frozen=True)
class Truth:
    """What a store acknowledged: key -> (revision, digest of the value, "" when deleted), and the newest revision."""

    keys: dict[str, tuple[int, str]]
    head: int


@dataclass(frozen=True)
class Day:
    """The files of a store at one time, and what had been acknowledged by then."""

    folder: Path
    truth: Truth


def digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


async def write(path: Path, writes: int, compact: bool, seed: int) -> None:
    """The process that is killed: writes, changes and deletes, and says what was acknowledged."""
    rng = random.Random(seed)
    store = SqliteStore(path)
    await store.open()
    there: dict[str, int] = {}
    for change in await store.history():
        there[change.key] = change.revision
        if change.value is None:
            del there[change.key]
    for count in range(writes):
        key = f"pods/default/p{rng.randrange(150)}"
        value = rng.randbytes(rng.randrange(10, 6000))
        if key in there and rng.random() < 0.2:
            (at,) = await store.txn([Delete(key, there.pop(key))])
            told = f"{at} {key} -\n"
        else:
            (at,) = await store.txn([Put(key, value, there.get(key, 0))])
            there[key] = at
            told = f"{at} {key} {digest(value)}\n"
        os.write(1, told.encode())
        if compact and count == writes * 2 // 3:
            await store.compact(store.revision - 20)
    os.write(1, b"done\n")
    await asyncio.Event().wait()


def run_until_killed(path: Path, writes: int, compact: bool, seed: int, truth: Truth) -> Truth:
    """Let the process write so much and kill it; what is known to be acknowledged then."""
    argv = [sys.executable, "-m", "tests.robustness.store_damage", "--write", str(path)]
    argv += ["--rounds", str(writes), "--seed", str(seed), *(["--compact"] if compact else [])]
    keys, head = dict(truth.keys), truth.head
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "done\n":
                break
            at, key, told = line.split()
            keys[key], head = (int(at), "" if told == "-" else told), int(at)
        process.kill()
    return Truth(keys, head)


def close_cleanly(path: Path) -> None:
    async def main() -> None:
        store = SqliteStore(path)
        await store.open()
        await store.close()

    asyncio.run(main())


def days(folder: Path, seed: int) -> list[Day]:
    """A store at three times: yesterday, today after kill -9, today after an orderly stop."""
    live = folder / "live"
    found = []
    truth = Truth({}, 0)
    for number, (writes, compact) in enumerate(((260, False), (340, True))):
        truth = run_until_killed(live / DATABASE, writes, compact, seed + number, truth)
        found.append(Day(shutil.copytree(live, folder / f"day{number}"), truth))
    close_cleanly(live / DATABASE)
    found.append(Day(shutil.copytree(live, folder / "stopped"), truth))
    return found


# --- damage ---

Damage = Callable[[Path, Day, random.Random], str]


def _some_file(folder: Path, rng: random.Random) -> Path:
    return folder / rng.choice([name for name in FILES if (folder / name).exists() and (folder / name).stat().st_size])


def flip(folder: Path, _day: Day, rng: random.Random) -> str:
    """One to three bits of a file."""
    path = _some_file(folder, rng)
    body = bytearray(path.read_bytes())
    places = [rng.randrange(len(body)) for _ in range(rng.randint(1, 3))]
    for at in places:
        body[at] ^= 1 << rng.randrange(8)
    path.write_bytes(body)
    return f"bits flipped in {path.name} at {places}"


def _overwrite(folder: Path, rng: random.Random, noise: bool) -> str:
    path = _some_file(folder, rng)
    body = bytearray(path.read_bytes())
    first, pages = rng.randrange((len(body) + PAGE - 1) // PAGE), rng.randint(1, 4)
    end = min(len(body), (first + pages) * PAGE)
    body[first * PAGE : end] = rng.randbytes(end - first * PAGE) if noise else bytes(end - first * PAGE)
    path.write_bytes(body)
    return f"{pages} pages {'of noise' if noise else 'zeroed'} in {path.name} from page {first}"


def zero(folder: Path, _day: Day, rng: random.Random) -> str:
    return _overwrite(folder, rng, noise=False)


def noise(folder: Path, _day: Day, rng: random.Random) -> str:
    return _overwrite(folder, rng, noise=True)


def cut(folder: Path, _day: Day, rng: random.Random) -> str:
    path = _some_file(folder, rng)
    size = rng.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"{path.name} cut off at {size}"


def empty(folder: Path, _day: Day, rng: random.Random) -> str:
    path = _some_file(folder, rng)
    os.truncate(path, 0)
    return f"{path.name} emptied"


def remove(folder: Path, _day: Day, rng: random.Random) -> str:
    path = _some_file(folder, rng)
    path.unlink()
    return f"{path.name} removed"


def swap(folder: Path, other: Day, rng: random.Random) -> str:
    """Some of the files, never all, come from another day."""
    names = rng.sample(FILES, rng.randint(1, 2))
    for name in names:
        (folder / name).unlink(missing_ok=True)
        if (other.folder / name).exists():
            shutil.copy2(other.folder / name, folder / name)
    return f"{' and '.join(names)} from {other.folder.name}"


DAMAGES: Sequence[Damage] = (flip, flip, zero, noise, cut, empty, remove, swap, swap)


# --- what came of it ---


@dataclass(frozen=True)
class Outcome:
    kind: str
    damage: str
    told: str


def _prints(folder: Path) -> dict[str, str]:
    return {name: digest((folder / name).read_bytes()) for name in FILES if (folder / name).exists()}


def _wrong(store: SqliteStore, keys: dict[str, tuple[int, str]], truth: Truth) -> str:
    if store.revision < truth.head:
        return f"the revision went back from {truth.head} to {store.revision}"
    for key, (revision, told) in truth.keys.items():
        if told and keys.get(key) != (revision, told):
            return f"{key} of revision {revision} is {keys.get(key)}"
        if not told and key in keys:
            return f"{key}, deleted at revision {revision}, is back"
    return f"{len(keys)} keys" if len(keys) != sum(1 for _, told in truth.keys.values() if told) else ""


async def start(folder: Path, truth: Truth) -> tuple[str, str]:
    """("healed" | "refused" | "silent", what was told)."""
    before = _prints(folder)
    store = SqliteStore(folder / DATABASE)
    try:
        await store.open()
    except Corrupt as error:
        text = str(error)
        good = str(folder) in text and "lost" in text and "restore" in text and before == _prints(folder)
        return ("refused" if good else "silent"), text
    except Exception as error:
        return "silent", repr(error)
    try:
        keys: dict[str, tuple[int, str]] = {}
        for change in await store.history():
            keys.pop(change.key, None)
            if change.value is not None:
                keys[change.key] = (change.revision, digest(change.value))
        wrong = _wrong(store, keys, truth)
        return ("silent" if wrong else "healed"), wrong
    finally:
        await store.close()


def one_round(folder: Path, found: list[Day], rng: random.Random) -> Outcome:
    day = rng.choice(found[1:])
    copy = shutil.copytree(day.folder, folder / "damaged")
    try:
        told = f"{day.folder.name}: {rng.choice(DAMAGES)(copy, rng.choice([d for d in found if d is not day]), rng)}"
        kind, text = asyncio.run(start(copy, day.truth))
        return Outcome(kind, told, text.replace(str(copy), ""))
    finally:
        shutil.rmtree(copy)


def rounds(folder: Path, count: int, seed: int) -> list[Outcome]:
    """So many damages of one store."""
    found = days(folder, seed)
    rng = random.Random(seed)
    return [one_round(folder, found, rng) for _ in range(count)]


@click.command()
@click.option("--rounds", "count", default=100, help="Damages to do.")
@click.option("--seed", default=1, help="The same seed damages the same places.")
@click.option("--write", "path", type=click.Path(path_type=Path), hidden=True)
@click.option("--compact", is_flag=True, hidden=True)
def main(count: int, seed: int, path: Path | None, compact: bool) -> None:
    """Damage a store and see what its next start says."""
    if path is not None:
        asyncio.run(write(path, count, compact, seed))
        return
    with tempfile.TemporaryDirectory(prefix="wht") as folder:
        outcomes = rounds(Path(folder), count, seed)
    for outcome in outcomes:
        click.echo(f"{outcome.kind:<8} {outcome.damage}\n         {outcome.told[:200]}")
    tally = Counter(outcome.kind for outcome in outcomes)
    click.echo(f"{count} damages: " + ", ".join(f"{tally[kind]} {kind}" for kind in ("healed", "refused", "silent")))
    sys.exit(1 if tally["silent"] else 0)


if __name__ == "__main__":
    main()
