"""What this machine is: read once (identity) or on every status (memory, disk, huge pages)."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True)
class MachineFacts:
    """Capacity in cores and bytes; identity as the Node's nodeInfo wants it."""

    cpus: int
    memory: int
    disk: int
    huge_pages: Mapping[str, int] = field(default_factory=dict)
    """Bytes by resource suffix, e.g. {"2Mi": 0}."""
    swap: int = 0
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    kernel: str = ""
    os_image: str = ""
    architecture: str = "amd64"
    available_memory: int = 0
    available_disk: int = 0


def read_facts(root_dir: Path, root: Path = Path("/")) -> MachineFacts:
    """Facts of the machine whose /proc and /etc lie under `root`; the disk is the one of `root_dir`."""
    memory = parse_meminfo(_text(root / "proc/meminfo"))
    disk = os.statvfs(root_dir if root_dir.exists() else "/")
    return MachineFacts(
        cpus=os.cpu_count() or 1,
        memory=memory.get("MemTotal", 0),
        disk=disk.f_blocks * disk.f_frsize,
        huge_pages=read_huge_pages(root / "sys/kernel/mm/hugepages"),
        swap=memory.get("SwapTotal", 0),
        machine_id=_text(root / "etc/machine-id") or _text(root / "var/lib/dbus/machine-id"),
        system_uuid=_text(root / "sys/class/dmi/id/product_uuid") or _text(root / "etc/machine-id"),
        boot_id=_text(root / "proc/sys/kernel/random/boot_id"),
        kernel=_text(root / "proc/sys/kernel/osrelease"),
        os_image=parse_os_release(_text(root / "etc/os-release")),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        available_memory=memory.get("MemAvailable", 0),
        available_disk=disk.f_bavail * disk.f_frsize,
    )


def parse_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo in bytes."""
    out: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            out[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return out


def parse_os_release(text: str) -> str:
    """PRETTY_NAME of an os-release file."""
    for line in text.splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return "Linux"


def read_huge_pages(directory: Path) -> dict[str, int]:
    """Bytes reserved by page size, named as resources name them (2Mi, 1Gi)."""
    out: dict[str, int] = {}
    if not directory.is_dir():
        return out
    for entry in sorted(directory.iterdir()):
        size = entry.name.removeprefix("hugepages-").removesuffix("kB")
        count = _text(entry / "nr_hugepages")
        if size.isdigit() and count.isdigit():
            out[page_size_name(int(size))] = int(size) * 1024 * int(count)
    return out


def page_size_name(kib: int) -> str:
    """A page size in KiB as a binary quantity: 2048 is 2Mi."""
    for unit in ("Ki", "Mi", "Gi"):
        if kib < 1024 or kib % 1024:
            return f"{kib}{unit}"
        kib //= 1024
    return f"{kib}Ti"


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
