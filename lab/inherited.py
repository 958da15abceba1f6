"""What a process has from whoever started it, taken as given by nobody here: a cron job, `nohup`, a CI runner, a script
that puts a command in the background, a shell with odd limits.

Only the standard library: the script `wherry` uses it before anything is installed.
"""

from __future__ import annotations

import os
import pwd
import resource
import signal
import sys
from contextlib import suppress

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UMASK = 0o022
# Files that one command may need at once, many nodes and connections included.
FILES = 1 << 16

person_umask = UMASK
"""What the person's shell had, for a shell that is started for them."""


def settle() -> None:
    """Make the process fit to work, whatever it inherited."""
    global person_umask
    talk()
    person_umask = os.umask(UMASK)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES)), hard))
    path = os.environ.get("PATH") or SYSTEM_PATH
    os.environ["PATH"] = ":".join(dict.fromkeys([*path.split(":"), *SYSTEM_PATH.split(":")]))
    if not os.environ.get("HOME"):
        os.environ["HOME"] = _home()
    try:
        os.getcwd()  # noqa: PTH109  (one system call)
    except OSError:
        # The directory was removed meanwhile.
        os.chdir("/")


def talk() -> None:
    """Have three standard streams that take every character, and signals that arrive: Ctrl-C is caught also by what a
    script started in the background, which has it ignored. SIGHUP stays as it is, for `nohup`.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Last: what has waited arrives here.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _home() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return "/"
