"""A plugin as a program of its own, for when no daemon answers: `python -m cni.main bridge`."""

from __future__ import annotations

import os
import sys

from cni import host, plugins, skel
from cni.types import INTERNAL, LATEST, CniError


def main(name: str) -> int:
    plugin = plugins.by_name(name)
    if plugin is None:
        sys.stdout.buffer.write(CniError(INTERNAL, f"there is no plugin called {name}").to_json(LATEST))
        return 1
    code, output = skel.answer(plugin, os.environ, sys.stdin.buffer.read(), host.alone())
    sys.stdout.buffer.write(output)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
