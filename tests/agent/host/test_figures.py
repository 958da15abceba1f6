"""What is read of a cgroup and of processes: the same series of v1 and v2, and nothing of what is not there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from agent.host import processes
from agent.host.cgroups import Hierarchy
from agent.host.figures import Figures
from agent.server.families import FAMILIES

_TICK = os.sysconf("SC_CLK_TCK")
V1 = {
    "cpu,cpuacct": {
        "cpuacct.usage": "5000000000",
        "cpuacct.stat": f"user {3 * _TICK}\nsystem {_TICK}",
        "cpu.shares": "512",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
        "cpu.stat": "nr_periods 7\nnr_throttled 2\nthrottled_time 1500000000",
    },
    "memory": {
        "memory.stat": "cache 1\nrss 2\npgfault 3\ntotal_cache 4096\ntotal_rss 8192\ntotal_mapped_file 10\n"
        "total_swap 0\ntotal_pgfault 30\ntotal_pgmajfault 1\ntotal_inactive_file 1000\ntotal_active_file 5",
        "memory.usage_in_bytes": "20000",
        "memory.max_usage_in_bytes": "30000",
        "memory.failcnt": "4",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2",
        "memory.limit_in_bytes": "9223372036854771712",
        "memory.memsw.limit_in_bytes": "65536",
        "cgroup.procs": "11\n12",
    },
    "blkio": {
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 0\n8:0 Total 4096\nTotal 4096",
        "blkio.throttle.io_serviced_recursive": "8:0 Read 3\n8:0 Write 0\nTotal 3",
    },
    "pids": {"pids.current": "9", "pids.max": "max"},
}
V2 = {
    "": {
        "cpu.stat": "usage_usec 5000000\nuser_usec 3000000\nsystem_usec 1000000\nnr_periods 7\nnr_throttled 2\n"
        "throttled_usec 1500000",
        "cpu.weight": "20",
        "cpu.max": "50000 100000",
        "memory.stat": "anon 8192\nfile 4096\nfile_mapped 10\ninactive_file 1000\nactive_file 5\n"
        "pgfault 30\npgmajfault 1",
        "memory.current": "20000",
        "memory.peak": "30000",
        "memory.swap.current": "0",
        "memory.events": "low 0\nhigh 0\nmax 4\noom 1\noom_kill 2",
        "memory.max": "max",
        "memory.swap.max": "65536",
        "io.stat": "8:0 rbytes=4096 wbytes=0 rios=3 wios=0 dbytes=0 dios=0",
        "pids.current": "9",
        "pids.max": "max",
        "cgroup.procs": "11\n12",
    }
}
SAME = {
    'container_cpu_usage_seconds_total cpu="total"': 5.0,
    "container_cpu_user_seconds_total": 3.0,
    "container_cpu_system_seconds_total": 1.0,
    "container_spec_cpu_quota": 50000,
    "container_spec_cpu_period": 100000,
    "container_cpu_cfs_periods_total": 7,
    "container_cpu_cfs_throttled_periods_total": 2,
    "container_cpu_cfs_throttled_seconds_total": 1.5,
    "container_memory_cache": 4096,
    "container_memory_rss": 8192,
    "container_memory_mapped_file": 10,
    "container_memory_swap": 0,
    "container_memory_usage_bytes": 20000,
    "container_memory_working_set_bytes": 19000,
    "container_memory_max_usage_bytes": 30000,
    "container_memory_failcnt": 4,
    'container_memory_failures_total failure_type="pgfault",scope="hierarchy"': 30,
    "container_oom_events_total": 2,
    "container_spec_memory_limit_bytes": 0,
    "container_spec_memory_swap_limit_bytes": 65536,
    'container_fs_reads_bytes_total device="/dev/sda"': 4096,
    'container_fs_reads_total device="/dev/sda"': 3,
    'container_fs_writes_bytes_total device="/dev/sda"': 0,
    'container_blkio_device_usage_total device="/dev/sda",major="8",minor="0",operation="Read"': 4096,
    "container_threads": 9,
    "container_threads_max": 0,
}


def figures(base: Path, tree: dict[str, dict[str, str]]) -> Figures:
    device = base / "devices/8:0"
    device.mkdir(parents=True)
    (device / "uevent").write_text("MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n")
    for mount, files in tree.items():
        directory = base / "tree" / mount / "node/pod"
        directory.mkdir(parents=True)
        for name, text in files.items():
            (directory / name).write_text(f"{text}\n")
    mounts = tuple(base / "tree" / mount for mount in tree)
    return Figures(Hierarchy("" in tree, mounts, mounts), base / "devices")


def test_both_versions_tell_the_same(tmp_path: Path) -> None:
    for name, tree, share in (("v1", V1, 512), ("v2", V2, 500)):
        read = figures(tmp_path / name, tree)
        samples = read.of("/node/pod")
        told = {f"{metric} {labels}".strip(): value for metric, rows in samples.items() for labels, value in rows}
        assert {key: told.get(key) for key in SAME} == SAME, name
        assert told["container_spec_cpu_shares"] == share
        assert read.pids("/node/pod") == [11, 12] and read.born("/node/pod")
        assert samples.keys() <= FAMILIES.keys()


def test_of_what_is_not_there_nothing_is_told(tmp_path: Path) -> None:
    read = figures(tmp_path, {"memory": {"memory.stat": "", "memory.usage_in_bytes": ""}})
    assert read.of("/node/pod") == {} and read.of("/gone") == {}
    assert read.born("/gone") is None and read.pids("/gone") == []


def test_processes_and_their_network() -> None:
    with socket.socket(), Path("/dev/null").open():
        told = processes.counted([os.getpid(), 1 << 22])
        assert told["container_processes"] == [("", 2)]
        ((_, opened),), ((_, sockets),) = told["container_file_descriptors"], told["container_sockets"]
        assert 1 <= sockets < opened
    assert told["container_ulimits_soft"][0][0] == 'ulimit="max_open_files"'


def test_a_descriptor_that_is_closed_meanwhile_takes_no_other_along(tmp_path: Path) -> None:
    (tmp_path / "7/fd").mkdir(parents=True)
    (tmp_path / "7/fd/0").touch()  # no link: as one that is gone, it cannot be read
    (tmp_path / "7/fd/1").symlink_to("socket:[1]")
    told = processes.counted([7], tmp_path)
    assert (told["container_file_descriptors"], told["container_sockets"]) == ([("", 2)], [("", 1)])


def test_traffic_is_that_of_interfaces_that_carry_it(tmp_path: Path) -> None:
    (tmp_path / "7/net").mkdir(parents=True)
    (tmp_path / "7/net/dev").write_text(
        "Inter-|   Receive\n face |bytes\n"
        "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
        "veth1a: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
        "  eth0: 100 2 3 4 0 0 0 0 500 6 7 8 0 0 0 0\n"
    )
    told = processes.network(7, tmp_path)
    assert told == {
        f"container_network_{kind}_total": [('interface="eth0"', value)]
        for kind, value in {
            "receive_bytes": 100,
            "receive_packets": 2,
            "receive_errors": 3,
            "receive_packets_dropped": 4,
            "transmit_bytes": 500,
            "transmit_packets": 6,
            "transmit_errors": 7,
            "transmit_packets_dropped": 8,
        }.items()
    }
    assert processes.network(8, tmp_path) == {}
