"""``python -m lab``: the ``wherry`` command, once the bootstrap script has what it needs."""

import sys

try:
    from lab.cli import main

    main(prog_name="wherry")
except ModuleNotFoundError as error:
    # The checkout is newer than the environment. Commands that look install nothing, so that they work offline.
    print(f"Error: {error}; `sudo ./wherry up` installs what is new", file=sys.stderr)
    sys.exit(1)
except KeyboardInterrupt:
    # Outside a command's own work: while modules load, or between steps.
    print("\nError: interrupted; run the same command again to go on", file=sys.stderr)
    sys.exit(130)
