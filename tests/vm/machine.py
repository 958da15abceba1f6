"""An emulated machine with Debian's own kernel, whose root is this machine's, read only, under a layer in memory.

    this machine   qemu (TCG, no KVM needed) ── 9p ── /            every program and the checkout, at the same paths
                                             ── 9p ── a directory  the command, its output, its exit status
    in the guest   Debian's kernel, all its modules (ip_vs, dummy, netem, br_netfilter, …), cgroup v2 alone

The kernel package is unpacked, not installed. A guest is some twenty times slower than this machine and takes ten
seconds to boot, many times that where others need the processors: one boot for many tests.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

CACHE = Path("/var/cache/wherry/vm")
MEMORY_MB = 2048
# One virtual processor: with two, now and then a guest hangs before its first process.
BOOT_SECONDS, BOOT_TRIES = 180.0, 3
CROWDED = 8.0
_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_rng")
_9P = "trans=virtio,version=9p2000.L,msize=524288"

_INIT = f"""#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/list
mount -t 9p -o ro,cache=loose,{_9P} machine /lower || exec sh
mount -t tmpfs -o mode=755,size=70% memory /memory; mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/lower,upperdir=/memory/upper,workdir=/memory/work overlay /root || exec sh
mkdir -p /root/proc /root/sys /root/dev /root/run /root/tmp /root/lib/modules /root/mnt/exchange
umount /proc /sys
mount --move /dev /root/dev
mount -t 9p -o rw,cache=none,{_9P} exchange /root/mnt/exchange
exec switch_root /root /mnt/exchange/start
"""

_START = """#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
export WHERRY_SLOWNESS=5
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs run /run; mount -t tmpfs tmp /tmp
mount -t tmpfs vartmp /var/tmp
touch /mnt/exchange/booted
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup; mount -t bpf bpf /sys/fs/bpf
ln -sfn /proc/self/fd /dev/fd; ln -sfn fd/0 /dev/stdin; ln -sfn fd/1 /dev/stdout; ln -sfn fd/2 /dev/stderr
mkdir -p {modules}
mount --bind {kernel}/lib/modules/{version} {modules}
for tool in modprobe lsmod rmmod modinfo; do [ -e /sbin/$tool ] || ln -s {kmod}/bin/kmod /usr/sbin/$tool; done
ip link set lo up; hostname vm; echo 1 >/proc/sys/kernel/printk
bash /mnt/exchange/command >/mnt/exchange/output 2>&1 </dev/null
echo $? >/mnt/exchange/status
sync; echo o >/proc/sysrq-trigger; sleep 60
"""


class MachineError(Exception):
    """No such machine can be made here, or it did not come up; the message says why."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel package, the tool for its modules, and an initial file system."""

    version: str
    tree: Path
    kmod: Path
    initramfs: Path

    @property
    def image(self) -> Path:
        return self.tree / "boot" / f"vmlinuz-{self.version}"


@dataclass(frozen=True)
class Outcome:
    status: int
    output: str
    seconds: float


def missing() -> str:
    """Why no machine can be emulated here; "" when it can."""
    for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static")):
        if shutil.which(program) is None:
            return f"{program} is missing: apt-get install {package}"
    return ""


def prepare(cache: Path = CACHE) -> Kernel:
    """The kernel, fetched and unpacked where it was not yet."""
    cache.mkdir(parents=True, exist_ok=True)
    real = _depends("linux-image-amd64", "linux-image-")
    version = real.removeprefix("linux-image-")
    tree, kmod, initramfs = cache / real, cache / "kmod", cache / f"{real}.initramfs"
    if not initramfs.exists():
        for package, target in ((real, tree), ("kmod", kmod)):
            shutil.rmtree(target, ignore_errors=True)
            _unpack(package, target, cache)
        # By its name it knows what to do.
        subprocess.run(["depmod", "-b", tree, version], executable=kmod / "bin" / "kmod", check=True, timeout=120)
        beside = initramfs.with_suffix(".new")
        beside.write_bytes(_initramfs(tree / "lib" / "modules" / version, cache / "scratch"))
        beside.rename(initramfs)
    return Kernel(version, tree, kmod, initramfs)


def _depends(package: str, prefix: str) -> str:
    told = subprocess.run(["apt-cache", "depends", package], capture_output=True, text=True, timeout=60, check=False)
    words = told.stdout.split()
    found = [word for word in words if word.startswith(prefix) and word != package]
    if not found:
        raise MachineError(f"apt-cache knows no {package}: apt-get update")
    return found[0]


def _unpack(package: str, target: Path, scratch: Path) -> None:
    argv = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package]
    done = subprocess.run(argv, cwd=scratch, capture_output=True, text=True, timeout=600, check=False)
    archives = sorted(scratch.glob(f"{package}_*.deb"))
    if done.returncode or not archives:
        raise MachineError(f"{package} cannot be fetched: {done.stderr.strip()[-500:]}")
    subprocess.run(["dpkg", "-x", archives[-1], target], check=True, timeout=300)
    for archive in archives:
        archive.unlink()


def _initramfs(modules: Path, scratch: Path) -> bytes:
    shutil.rmtree(scratch, ignore_errors=True)
    for name in ("bin", "proc", "sys", "dev", "lower", "memory", "root", "modules"):
        (scratch / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", scratch / "bin" / "busybox")
    wanted = _load_order(modules)
    for module in wanted:
        shutil.copy(modules / module, scratch / "modules")
    (scratch / "modules" / "list").write_text("".join(f"{Path(module).name}\n" for module in wanted))
    init = scratch / "init"
    init.write_text(_INIT)
    init.chmod(0o755)
    names = "\n".join(str(path.relative_to(scratch)) for path in sorted(scratch.rglob("*")))
    packed = subprocess.run(
        ["busybox", "cpio", "-o", "-H", "newc"],
        cwd=scratch,
        input=names.encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    shutil.rmtree(scratch)
    return gzip.compress(packed.stdout, 1)


def _load_order(modules: Path) -> list[str]:
    """What the initial file system itself loads, each after what it needs (modules.dep names that nearest first)."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        file, _, rest = line.partition(":")
        needs[Path(file).name.partition(".ko")[0]] = [*reversed(rest.split()), file]
    found = [file for name in _MODULES for file in needs.get(name, ())]
    return list(dict.fromkeys(found))


def run(kernel: Kernel, argv: list[str], directory: Path, exchange: Path, seconds: float) -> Outcome:
    """Run a command as root in `directory` on a machine of that kernel; `exchange` is shared with it and new.

    `seconds` does not count while others have the processor, up to CROWDED times as long. A guest that shows no sign of
    life is ended and started again: the command has not begun then.
    """
    start = _START.format(
        modules=f"/lib/modules/{kernel.version}", kernel=kernel.tree, version=kernel.version, kmod=kernel.kmod
    )
    (exchange / "start").write_text(start)
    (exchange / "start").chmod(0o755)
    (exchange / "command").write_text(f"cd {shlex.quote(str(directory))}\n{shlex.join(argv)}\n")
    began = time.monotonic()
    for _ in range(BOOT_TRIES):
        if _boot(kernel, exchange, seconds):
            break
    try:
        status = int((exchange / "status").read_text())
    except (FileNotFoundError, ValueError) as error:
        console = (exchange / "console").read_text(errors="replace")[-3000:]
        output = (exchange / "output").read_text(errors="replace")[-3000:] if (exchange / "output").exists() else ""
        told = f"its console:\n{console}\nthe command's output:\n{output}"
        raise MachineError(f"the guest came to no end within {seconds:.0f} s of its own; {told}") from error
    return Outcome(status, (exchange / "output").read_text(errors="replace"), time.monotonic() - began)


def _boot(kernel: Kernel, exchange: Path, seconds: float) -> bool:
    """One life of the guest; False when it never came up."""
    began = time.monotonic()
    process = subprocess.Popen(_qemu(kernel, exchange), stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
                return True
            took = time.monotonic() - began
            own = took - _starved(process.pid)
            if own > seconds or took > CROWDED * seconds:
                return True
            if own > BOOT_SECONDS and not (exchange / "booted").exists():
                return False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def _starved(pid: int) -> float:
    """Seconds that the guest's processor has waited for one of this machine's (the kernel's scheduler/sched-stats)."""
    waited = [0]
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            waited.append(int(file.read_text().split()[1]))
    return max(waited) / 1e9


def _qemu(kernel: Kernel, exchange: Path) -> list[str]:
    def share(name: str, path: Path, options: str) -> list[str]:
        backend = f"local,id={name},path={path},security_model=none{options}"
        return ["-fsdev", backend, "-device", f"virtio-9p-pci,fsdev={name},mount_tag={name}"]

    line = (
        "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr tsc=reliable nowatchdog random.trust_cpu=on "
        "net.ifnames=0"
    )
    return [
        # A run of tests that is killed takes its guest along.
        *("setpriv", "--pdeathsig", "KILL"),
        *("qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=single,tb-size=512", "-cpu", "max"),
        # While it works, its time goes by what it has done, 2 ns an instruction, which is the pace of an idle machine:
        # where the processor is wanted elsewhere nothing in the guest is late for it. While it waits, by the clock.
        *("-icount", "shift=1,align=off,sleep=on"),
        *("-smp", "1", "-m", str(MEMORY_MB), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-serial", f"file:{exchange / 'console'}", "-nic", "none", "-device", "virtio-rng-pci"),
        *("-kernel", str(kernel.image), "-initrd", str(kernel.initramfs), "-append", line),
        *share("machine", Path("/"), ",readonly=on,multidevs=remap"),
        *share("exchange", exchange, ""),
    ]
