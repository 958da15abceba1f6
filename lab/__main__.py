"""``python -m lab``: the ``wherry`` command, once the bootstrap script has what it needs."""

from lab.cli import main

main(prog_name="wherry")
