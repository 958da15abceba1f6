"""kill -9 while writing: nothing acknowledged is lost, no change is missing, doubled or out of order."""

import asyncio
import random
import sys
from pathlib import Path

from controlplane.store.sqlite import SqliteStore
from tests.waiting import WHOLE

ROUNDS = 5
ROOT = Path(__file__).resolve().parents[3]


async def kill_a_writer(path: Path, writes: int) -> dict[str, int]:
    """Run a writer, kill it once it has written so much; what it said was durable, key -> revision."""
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.controlplane.store.writer",
        str(path),
        "8",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert writer.stdout is not None
    said = [await writer.stdout.readline() for _ in range(writes)]
    writer.kill()
    said.append(await writer.stdout.read())
    await writer.wait()
    # A last line without its end was cut off in the pipe, not in the store.
    lines = b"".join(said).decode().rpartition("\n")[0].splitlines()
    return {key: int(revision) for revision, key in (line.split() for line in lines)}


async def crash_and_check(path: Path) -> None:
    acknowledged: dict[str, int] = {}
    for _ in range(ROUNDS):
        acknowledged |= await kill_a_writer(path, random.randint(2, 400))
        store = SqliteStore(path)
        await store.open()
        changes = await store.history()
        await store.close()
        revisions = [change.revision for change in changes]
        assert revisions == sorted(set(revisions))
        stored = {change.key: change for change in changes}
        assert len(stored) == len(changes), "every key was written once"
        for key, revision in acknowledged.items():
            assert stored[key].revision == revision
            assert stored[key].value == key.encode() * 20
    assert len(acknowledged) > ROUNDS


def test_a_killed_writer_loses_nothing_acknowledged(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(crash_and_check(tmp_path / "state.db"), WHOLE))
