#!/usr/bin/env python3
"""inherit.py OLD NEW: what of an older installation serves a newer one on, so that an upgrade costs what changed.

Each file of NEW that OLD has with the same content gets OLD's time, by which Python and the cache of images know it,
and its bytecode: compiling the whole program anew takes minutes on an emulated machine. Only the standard library.
"""

import filecmp
import os
import shutil
import sys
from importlib.util import cache_from_source
from pathlib import Path


def inherit(old: Path, new: Path) -> int:
    """How many files stayed the same."""
    same = 0
    for directory, _, names in os.walk(new):
        for name in names:
            path = Path(directory, name)
            before = old / path.relative_to(new)
            if path.is_symlink() or not before.is_file() or not filecmp.cmp(before, path, shallow=False):
                continue
            same += 1
            shutil.copystat(before, path)
            if path.suffix == ".py":
                _bytecode(before, path)
    return same


def _bytecode(before: Path, after: Path) -> None:
    compiled, target = (Path(cache_from_source(str(path))) for path in (before, after))
    if compiled.is_file():
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(compiled, target)


if __name__ == "__main__":
    print(f"  {inherit(Path(sys.argv[1]), Path(sys.argv[2]))} files of the program stayed the same")
