"""An upgrade takes over what stayed the same: times by which caches know a file, and bytecode."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent.parent / "vagrant" / "inherit.py"


def tree(root: Path, files: dict[str, str], at: int) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (at, at))
    return root


def compiled(path: Path) -> tuple[int, int]:
    status = Path(cache_from_source(str(path))).stat()
    return status.st_mtime_ns, status.st_size


def test_only_what_changed_is_compiled_again(tmp_path: Path):
    # Made by another checkout, at another time; one file changed without changing its length.
    old = tree(tmp_path / "old", {"a/same.py": "x = 1\n", "a/other.py": "x = 1\n", "gone.py": "", "text": "t"}, 1000)
    new = tree(tmp_path / "new", {"a/same.py": "x = 1\n", "a/other.py": "x = 2\n", "text": "t"}, 2000)
    compileall.compile_dir(old, quiet=1)
    before = compiled(old / "a/same.py")
    subprocess.run([sys.executable, str(SCRIPT), str(old), str(new)], check=True, timeout=60, capture_output=True)
    assert {path.name for path in new.rglob("*.pyc")} == {Path(cache_from_source("same.py")).name}
    assert [int((new / name).stat().st_mtime) for name in ("a/same.py", "a/other.py", "text")] == [1000, 2000, 1000]
    compileall.compile_dir(new, quiet=1)
    assert compiled(new / "a/same.py") == before
    run = [sys.executable, "-c", "import a.same, a.other; print(a.same.x, a.other.x)"]
    assert subprocess.run(run, cwd=new, check=True, timeout=60, capture_output=True, text=True).stdout == "1 2\n"
