"""`python -m tests.vm COMMAND …`: run a command as root in the checkout, in a guest; its output, once it has ended."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.vm import guest, machine

SECONDS = float(os.environ.get("WHERRY_GUEST_SECONDS", "3600"))
"""of the guest's own that a command may take"""


def main(argv: list[str]) -> int:
    """The command's exit status; 2 where no machine can be made here."""
    if problem := machine.missing():
        print(problem, file=sys.stderr)
        return 2
    guest.compile_packages("apimachinery", "benchmarks", "controlplane", "lab", "netproxy")
    with tempfile.TemporaryDirectory(prefix="wht-vm-", dir="/var/tmp") as directory:
        try:
            done = machine.run(machine.prepare(), argv, guest.ROOT, Path(directory), SECONDS)
        except machine.MachineError as error:
            print(error, file=sys.stderr)
            return 2
    print(done.output)
    return done.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
