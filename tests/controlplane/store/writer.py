"""A process that writes as fast as it can and tells its parent what was acknowledged: killed by test_crash."""

import asyncio
import os
import sys
from pathlib import Path

from controlplane.store import Put
from controlplane.store.sqlite import SqliteStore


async def main(path: Path, clients: int) -> None:
    store = SqliteStore(path)
    await store.open()

    async def client(number: int) -> None:
        count = 0
        while True:
            key = f"{os.getpid()}/{number}/{count}"
            (revision,) = await store.txn([Put(key, key.encode() * 20, 0)])
            os.write(1, f"{revision} {key}\n".encode())
            count += 1

    await asyncio.gather(*(client(number) for number in range(clients)))


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
