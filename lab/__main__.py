"""`python -m lab`: the `wherry` command, once the bootstrap script has what it needs.

The last word on whatever nobody else told in a line: a person never sees a traceback that they did not ask for.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from lab import inherited

SHOW = "WHERRY_TRACEBACK"
INTERRUPTED = 130


def main() -> int:
    """Run the command; the exit status."""
    sys.unraisablehook = _unraisable
    try:
        inherited.settle()
        from lab.cli import main as command

        command(prog_name="wherry")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except ModuleNotFoundError as error:
        # The checkout is newer than the environment. Commands that look install nothing, so that they work offline.
        return _told(f"{error}; `sudo ./wherry up` installs what is new")
    except KeyboardInterrupt:
        # Outside a command's own work: while modules load, or between steps.
        return _told("interrupted; run the same command again to go on", INTERRUPTED)
    except OSError as error:
        return _told(str(error))
    except Exception as error:
        if os.environ.get(SHOW):
            raise
        return _told(f"unexpected: {type(error).__name__}: {error}\nThis is a fault of wherry; {SHOW}=1 shows where.")
    return 0


def _unraisable(problem: sys.UnraisableHookArgs) -> None:
    """Ctrl-C that came where Python runs a callback of its own would be shown and then forgotten."""
    if problem.exc_type is KeyboardInterrupt:
        os._exit(_told("interrupted; run the same command again to go on", INTERRUPTED))
    sys.__unraisablehook__(problem)


def _told(text: str, status: int = 1) -> int:
    with suppress(OSError):
        print(f"Error: {text}", file=sys.stderr, flush=True)
    return status


def _flushed(status: int) -> int:
    """What was printed reaches its reader, or it is told why not; a reader that had enough is no error to tell."""
    try:
        sys.stdout.flush() if sys.stdout else None
    except BrokenPipeError:
        status = status or 141
    except OSError as error:
        status = _told(f"cannot write the answer: {error.strerror}")
    else:
        if status != INTERRUPTED and _progress_read():
            return status
    # Nothing is left to say: Python would try to write the rest once more, wait for threads whose work nobody wants any
    # more, and die of SIGINT after all when that had come at some moments.
    os._exit(status)


def _progress_read() -> bool:
    """Whether all that was told reached its reader: what is left over would make Python end with status 120."""
    try:
        sys.stderr.flush() if sys.stderr else None
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(_flushed(main()))
