"""Directories deeper than what calls itself for every level can follow."""

from __future__ import annotations

import os
from pathlib import Path


def deep(top: Path, levels: int) -> None:
    """Directories called `d` in each other below `top`, made by the way down: a path may be too long for the kernel."""
    top.mkdir()
    at = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
