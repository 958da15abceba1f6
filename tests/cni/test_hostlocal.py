"""host-local: ranges (pure) and the store on disk, its crashes included."""

import threading
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies

from cni.hostlocal import plugin, ranges
from cni.hostlocal.store import DiskStore, Note, Owner, sweep
from cni.skel import Request
from cni.types import CniError

HOST: Any = None
Make = Callable[..., Request]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(container: str = "c1", ifname: str = "eth0", arguments: str = "", **more: Any) -> Request:
        ipam = {
            "type": "host-local",
            "dataDir": str(tmp_path),
            "subnet": "10.1.2.0/29",
            **more.pop("ipam", {}),
        }
        ipam = {k: v for k, v in ipam.items() if v is not None}
        pairs = dict([arguments.split("=", 1)]) if arguments else {}
        config = {"name": "net", "ipam": ipam, **more}
        return Request("ADD", container, "/proc/self/ns/net", ifname, pairs, (), config)

    return build


def given_ips(result: dict[str, Any]) -> list[str]:
    return [ip["address"] for ip in result["ips"]]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "subnet"),
        ({"subnet": "10.1.2.3/24"}, "host bits"),
        ({"subnet": "10.1.2.0/31"}, "too small"),
        ({"subnet": "10.1.2.0/24", "rangeStart": "10.1.3.1"}, "not in network"),
        ({"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.8"}, "after"),
        ({"subnet": "10.1.2.0/24", "gateway": "fd00::1"}, "IP version"),
        ({"subnet": "10.1.2.0/24", "gateway": "x"}, "gateway"),
    ],
)
def test_wrong_ranges_are_refused(wrong: dict[str, str], words: str) -> None:
    with pytest.raises(CniError, match=words) as refused:
        ranges.parse_range(wrong)
    assert refused.value.code == 7


def test_sets_that_overlap_or_mix_families_are_refused() -> None:
    with pytest.raises(CniError, match="overlap"):
        ranges.parse_sets({"ranges": [[{"subnet": "10.0.0.0/8"}], [{"subnet": "10.1.0.0/16"}]]})
    with pytest.raises(CniError, match="mixes"):
        ranges.parse_sets({"ranges": [[{"subnet": "10.0.0.0/8"}, {"subnet": "fd00::/64"}]]})
    with pytest.raises(CniError, match="no IP ranges"):
        ranges.parse_sets({})


@given(
    strategies.integers(0, 40),
    strategies.integers(2, 5),
    strategies.integers(6, 14),
    strategies.integers(1, 14),
)
def test_a_walk_visits_each_address_once_and_the_last_one_last(last: int, low: int, high: int, gateway: int) -> None:
    one = ranges.parse_range(
        {
            "subnet": "10.0.0.0/28",
            "rangeStart": f"10.0.0.{low}",
            "rangeEnd": f"10.0.0.{high}",
            "gateway": f"10.0.0.{gateway}",
        }
    )
    two = ranges.parse_range({"subnet": "10.0.0.16/29"})
    start = ip_address(f"10.0.0.{last}")
    walked = [a for a, _ in ranges.candidates((one, two), start)]
    expected = {ip_address(f"10.0.0.{n}") for n in range(low, high + 1) if n != gateway}
    expected |= {ip_address(f"10.0.0.{n}") for n in range(18, 23)}
    assert len(walked) == len(set(walked)) and set(walked) == expected
    if start in expected:
        assert walked[-1] == start


def test_addresses_go_round_and_are_not_reused_at_once(make: Make) -> None:
    assert given_ips(plugin.add(make("a"), HOST)) == ["10.1.2.2/29"]
    assert given_ips(plugin.add(make("b"), HOST)) == ["10.1.2.3/29"]
    plugin.delete(make("b"), HOST)
    assert given_ips(plugin.add(make("c"), HOST)) == ["10.1.2.4/29"]
    for name in "def":
        plugin.add(make(name), HOST)
    with pytest.raises(CniError, match=r"no IP addresses available in range set: 10\.1\.2\.1-10\.1\.2\.6"):
        plugin.add(make("g"), HOST)
    with pytest.raises(CniError, match="no IP addresses available") as full:
        plugin.status(make("g"), HOST)
    assert full.value.code == 51


def test_the_directory_is_the_reference_plugins(make: Make, tmp_path: Path) -> None:
    plugin.add(make("a"), HOST)
    assert (tmp_path / "net" / "10.1.2.2").read_bytes() == b"a\r\neth0"
    assert (tmp_path / "net" / "last_reserved_ip.0").read_text() == "10.1.2.2"
    plugin.check(make("a"), HOST)
    with pytest.raises(CniError):
        plugin.check(make("b"), HOST)


def test_a_failed_add_reserves_nothing(make: Make, tmp_path: Path) -> None:
    sets = [[{"subnet": "10.1.2.0/29"}], [{"subnet": "10.9.0.0/30", "rangeStart": "10.9.0.2"}]]
    both = {"subnet": None, "ranges": sets}
    assert given_ips(plugin.add(make("a", ipam=both), HOST)) == ["10.1.2.2/29", "10.9.0.2/30"]
    with pytest.raises(CniError, match=r"10\.9\.0\.2-10\.9\.0\.2"):
        plugin.add(make("b", ipam=both), HOST)
    assert set(DiskStore(tmp_path, "net").taken()) == {"10.1.2.2", "10.9.0.2"}
    assert DiskStore(tmp_path, "net").noted() == {"a"}


def test_one_attachment_gets_one_address_of_a_set(make: Make) -> None:
    plugin.add(make("a"), HOST)
    with pytest.raises(CniError, match="duplicate allocation is not allowed"):
        plugin.add(make("a"), HOST)
    plugin.add(make("a", "eth1"), HOST)


def test_delete_is_repeatable_and_takes_only_its_own(make: Make, tmp_path: Path) -> None:
    plugin.delete(make("nobody"), HOST)
    plugin.add(make("a"), HOST)
    plugin.add(make("a", "eth1"), HOST)
    plugin.delete(make("a"), HOST)
    plugin.delete(make("a"), HOST)
    store = DiskStore(tmp_path, "net")
    assert list(store.taken().values()) == [Owner("a", "eth1")] and store.noted() == {"a"}
    plugin.delete(make("a", "eth1"), HOST)
    assert not store.taken() and not store.noted()


@pytest.mark.parametrize(
    "how",
    [
        {"runtimeConfig": {"ips": ["10.1.2.5/29"]}},
        {"args": {"cni": {"ips": ["10.1.2.5"]}}},
        {"arguments": "IP=10.1.2.5"},
    ],
)
def test_an_address_can_be_asked_for(make: Make, how: dict[str, Any]) -> None:
    assert given_ips(plugin.add(make("a", **how), HOST)) == ["10.1.2.5/29"]
    with pytest.raises(CniError, match="not available"):
        plugin.add(make("b", **how), HOST)
    with pytest.raises(CniError, match="none of the ranges"):
        plugin.add(make("b", runtimeConfig={"ips": ["10.7.7.7"]}), HOST)
    with pytest.raises(CniError, match="gateway"):
        plugin.add(make("b", runtimeConfig={"ips": ["10.1.2.1"]}), HOST)


def test_what_an_attachment_holds_is_found_without_reading_all(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node's other pods cost neither an ADD nor a DEL anything."""
    plugin.add(make("other"), HOST)

    def all_read(self: DiskStore) -> dict[str, Owner | None]:
        raise AssertionError("every address was read")

    monkeypatch.setattr(DiskStore, "taken", all_read)
    assert given_ips(plugin.add(make("a"), HOST)) == ["10.1.2.3/29"]
    plugin.check(make("a"), HOST)
    plugin.delete(make("a"), HOST)
    assert not (tmp_path / "net" / "10.1.2.3").exists() and (tmp_path / "net" / "10.1.2.2").exists()


def test_a_repeated_delete_reads_all_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runtimes repeat it, and another plugin may have reserved the address without a note."""
    plugin.add(make("other"), HOST)
    reads: list[str] = []
    taken = DiskStore.taken

    def counted(self: DiskStore) -> dict[str, Owner | None]:
        reads.append(self.directory.name)
        return taken(self)

    monkeypatch.setattr(DiskStore, "taken", counted)
    plugin.delete(make("gone"), HOST)
    assert reads == ["net"]


def test_what_a_crash_left_unnoted_is_released_all_the_same(make: Make, tmp_path: Path) -> None:
    """Killed between the reservation and its note; and a version that noted no addresses."""
    for ifname in ("eth0", "eth1"):
        plugin.add(make("a", ifname), HOST)
    store = DiskStore(tmp_path, "net")
    before = store.note_of("a")
    store.note("a", Note(before.path, before.identity))
    with pytest.raises(CniError, match="duplicate allocation"):
        plugin.add(make("a"), HOST)
    plugin.delete(make("a"), HOST)
    assert list(store.taken().values()) == [Owner("a", "eth1")] and store.noted() == {"a"}
    plugin.delete(make("a", "eth1"), HOST)
    assert not store.taken() and not store.noted()


def test_ranges_of_the_runtime_come_first_and_every_asked_address_counts(make: Make) -> None:
    runtime = {"ipRanges": [[{"subnet": "10.7.0.0/24"}]], "ips": ["10.7.0.9"]}
    result = plugin.add(make("a", runtimeConfig=runtime, args={"cni": {"ips": ["10.1.2.5"]}}), HOST)
    assert given_ips(result) == ["10.7.0.9/24", "10.1.2.5/29"]


def test_gc_keeps_the_valid(make: Make, tmp_path: Path) -> None:
    for name in "abc":
        plugin.add(make(name), HOST)
    valid = [{"containerID": "b", "ifname": "eth0"}]
    plugin.gc(make(**{"cni.dev/valid-attachments": valid}), HOST)
    assert list(DiskStore(tmp_path, "net").taken().values()) == [Owner("b", "eth0")]
    assert DiskStore(tmp_path, "net").noted() == {"b"}


def test_a_file_torn_by_a_crash_is_usable_again(make: Make, tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "10.1.2.2").touch()
    assert given_ips(plugin.add(make("a"), HOST)) == ["10.1.2.2/29"]


def test_a_torn_file_takes_no_address_away(make: Make, tmp_path: Path) -> None:
    for number in range(5):
        plugin.add(make(f"c{number}"), HOST)
    torn = tmp_path / "net" / "10.1.2.4"
    with pytest.raises(CniError, match="no IP addresses available"):
        plugin.status(make(), HOST)
    torn.write_text("")
    plugin.status(make(), HOST)
    assert given_ips(plugin.add(make("next"), HOST)) == ["10.1.2.4/29"]


def test_sweep_by_namespace(make: Make, tmp_path: Path) -> None:
    plugin.add(make("alive"), HOST)
    plugin.add(make("dead"), HOST)
    store = DiskStore(tmp_path, "net")
    (store.directory / "netns.dead").write_text("/run/netns/whtno-such\n4:99\n")
    (store.directory / "10.1.2.6").write_text("foreign\r\neth0")
    assert sweep(store) == ["10.1.2.3"]
    assert {o.container_id for o in store.taken().values() if o} == {"alive", "foreign"}
    assert store.noted() == {"alive"}


def test_sweep_by_what_the_runtime_knows(make: Make, tmp_path: Path) -> None:
    for name in "abc":
        plugin.add(make(name), HOST)
    store = DiskStore(tmp_path, "net")
    assert sorted(sweep(store, {"b"}.__contains__)) == ["10.1.2.2", "10.1.2.4"]
    assert store.noted() == {"b"}


def test_threads_never_share_an_address(make: Make) -> None:
    wide = {"subnet": "10.5.0.0/24"}
    results: list[str] = []

    def work(number: int) -> None:
        for turn in range(10):
            results.extend(given_ips(plugin.add(make(f"c{number}x{turn}", ipam=wide), HOST)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == len(set(results)) == 80


def test_resolv_conf_becomes_dns(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# x\nnameserver 10.0.0.10\nsearch a b\noptions ndots:5\ndomain d\nnameserver\n")
    dns = plugin.add(make(ipam={"resolvConf": str(path)}), HOST)["dns"]
    assert dns == {"nameservers": ["10.0.0.10"], "search": ["a", "b"], "options": ["ndots:5"], "domain": "d"}
