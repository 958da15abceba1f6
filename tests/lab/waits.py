"""A daemon that says its name and arguments, and waits: `python -m tests.lab.waits [--fail] --config FILE`."""

import signal
import sys

if __name__ == "__main__":
    print("waits", *sys.argv[1:], __name__, flush=True)
    if "--fail" in sys.argv:
        sys.exit(3)
    signal.pause()
