"""What kube-proxy sets on its host besides rules: how much the connection tracker takes and how long it remembers, and
how soon the kernel ends this process for memory.

What cannot be set (a read-only /proc/sys in a container, a limit that only the host's own network namespace has) is
told and left: Services work without it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apimachinery.kit import netns

log = logging.getLogger(__name__)
HASHSIZE = Path("/sys/module/nf_conntrack/parameters/hashsize")
OOM_SCORE = Path("/proc/self/oom_score_adj")
_ENTRIES_IN_BUCKET = 4
_MOST_SCALED = 1 << 20
"""entries, however many cores there are: each takes memory (as kube-proxy 1.36 has it)"""
_SYSCTLS = "net.netfilter.nf_conntrack_"


@dataclass(frozen=True)
class Conntrack:
    """0 and false leave the kernel's own. Times are seconds."""

    max_per_core: int = 0
    """connections that may be tracked, for each core"""
    min: int = 0
    """but so many at least; without max_per_core it says nothing, nor where that comes to more than 1,048,576, which is
    the most"""
    tcp_established_timeout: int = 0
    tcp_close_wait_timeout: int = 0
    tcp_be_liberal: bool = False
    """take packets outside of a connection's window for its own"""
    udp_timeout: int = 0
    udp_stream_timeout: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError naming the field."""
        for name, value in vars(self).items():
            if value < 0:
                raise ValueError(f"conntrack.{name}: {value} is below 0")

    def entries(self, cores: int) -> int:
        """Connections that may be tracked on a host with so many cores; 0: as many as now."""
        scaled = self.max_per_core * cores
        if scaled > _MOST_SCALED:
            return _MOST_SCALED
        return max(scaled, self.min) if scaled else 0

    def sysctls(self, cores: int) -> Mapping[str, int]:
        """What to write, by name."""
        wanted = {
            "max": self.entries(cores),
            "tcp_timeout_established": self.tcp_established_timeout,
            "tcp_timeout_close_wait": self.tcp_close_wait_timeout,
            "tcp_be_liberal": int(self.tcp_be_liberal),
            "udp_timeout": self.udp_timeout,
            "udp_timeout_stream": self.udp_stream_timeout,
        }
        return {_SYSCTLS + name: value for name, value in wanted.items() if value}


def apply(conntrack: Conntrack, cores: int) -> None:
    """Set what `conntrack` asks for, in this thread's network namespace."""
    for name, value in conntrack.sysctls(cores).items():
        try:
            netns.write_sysctl(None, name, value)
        except OSError as error:
            log.warning("%s stays as it is, %d was wanted: %s", name, value, error.strerror)
    buckets = conntrack.entries(cores) // _ENTRIES_IN_BUCKET
    try:
        if buckets and int(HASHSIZE.read_text()) < buckets:
            HASHSIZE.write_text(str(buckets))
    except OSError as error:
        log.warning("%s stays as it is, %d was wanted: %s", HASHSIZE, buckets, error.strerror)


def is_liberal() -> bool:
    """Whether the kernel takes packets outside of a connection's window, whoever told it so."""
    try:
        return netns.read_sysctl(None, f"{_SYSCTLS}tcp_be_liberal") != "0"
    except OSError:
        return False


def set_oom_score(score: int) -> None:
    """-1000: never ended for memory, 1000: the first. To be spared more than now needs CAP_SYS_RESOURCE."""
    try:
        OOM_SCORE.write_text(str(score))
    except OSError as error:
        log.warning("%s stays as it is, %d was wanted: %s", OOM_SCORE, score, error.strerror)
