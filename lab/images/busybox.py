"""Debian's static busybox as the lab's images have it: a link for each applet, and a wget that knows -T.

Debian 12's build takes `wget -T SEC` for an option and crashes on it. There wget is a script (`wget.sh`) around the
applet that does what -T says; the shell, which prefers its own applets to the path, gets a copy of the binary in which
wget is not among them, and `busybox wget -T` says that there is no such option.
"""

from __future__ import annotations

from pathlib import Path

from apimachinery.kit import command
from lab.images.oci import Entry

BINARY = Path("/bin/busybox")
DEADLINE = 30.0
_SCRIPT = Path(__file__).with_name("wget.sh")
# wget's options as the applet hands them to getopt, and its place among the applets' names, which are sorted.
_OPTIONS = b"^cqSO:o:P:Y:U:T:+t:n::"
_NAMES = b"\0wc\0wget\0which\0"


async def entries(binary: bytes) -> list[Entry]:
    """/bin of an image."""
    applets = [name for name in await _printed("--list") if name != "busybox"]
    crashes = "-T" not in await _printed("wget", "--help") and binary.count(_OPTIONS) == binary.count(_NAMES) == 1
    if not crashes:
        links = [Entry(f"bin/{name}", target="busybox") for name in applets]
        return [Entry("bin/busybox", binary, mode=0o755), *links]
    without_option = binary.replace(_OPTIONS, _OPTIONS.replace(b"T", b"\1"))
    without_wget = binary.replace(_NAMES, _NAMES.replace(b"wget", b"wgeT"))
    return [
        Entry("bin/busybox", without_option, mode=0o755),
        Entry("bin/busybox-applets", without_wget, mode=0o755),
        Entry("bin/wget", _SCRIPT.read_bytes(), mode=0o755),
        *(Entry(f"bin/{name}", target="busybox-applets") for name in applets if name != "wget"),
    ]


async def _printed(*arguments: str) -> list[str]:
    """The words that busybox prints, to either stream."""
    result = await command.run([str(BINARY), *arguments], timeout=DEADLINE, check=False)
    return (result.stdout + result.stderr).decode(errors="replace").split()
