"""When a range of cluster IPs may be used, and when it may go."""

from datetime import datetime, timedelta, timezone
from ipaddress import ip_network

import pytest

from controlplane.controllers.service_ranges import GRACE_SECONDS, Range, Verdict, conditioned, judge, view

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
LONG_AGO = NOW - timedelta(seconds=GRACE_SECONDS + 1)
READY = ("", "Kubernetes Service CIDR is ready")


def a_range(name, *cidrs, guarded=True, deleted=None):
    return Range(name, tuple(map(ip_network, cidrs)), guarded, deleted)


ALL = a_range("all", "10.0.0.0/8")
SIX = a_range("six", "fd00::/64")
LEAVING = a_range("leaving", "10.96.0.0/24", deleted=LONG_AGO)


@pytest.mark.parametrize(
    ("this", "others", "addresses", "guard", "reason"),
    [
        (a_range("new", "10.1.0.0/24", guarded=False), (), (), True, ""),
        (LEAVING, (), (), False, None),
        (LEAVING, (SIX,), ("10.96.0.7",), True, "Terminating"),
        (LEAVING, (), ("10.96.1.7", "fd00::1"), False, None),
        # Another range keeps its addresses, or at least those that there are.
        (LEAVING, (ALL,), ("10.96.0.7",), False, None),
        (LEAVING, (a_range("same", "10.96.0.0/24"),), ("10.96.0.7",), False, None),
        (LEAVING, (a_range("half", "10.96.0.0/25"),), ("10.96.0.7",), False, None),
        (LEAVING, (a_range("half", "10.96.0.0/25"),), ("10.96.0.7", "10.96.0.200"), True, "Terminating"),
        (a_range("two", "10.96.0.0/24", "fd00::/64", deleted=LONG_AGO), (ALL,), ("fd00::1",), True, "Terminating"),
        (a_range("bare", "10.96.0.0/24", guarded=False, deleted=LONG_AGO), (), ("10.96.0.7",), False, None),
    ],
)
def test_verdicts(this, others, addresses, guard, reason):
    found = judge(this, (this, *others), addresses, NOW)
    assert found.guard == guard and not found.wait
    assert (found.condition[0] if found.condition else None) == reason


def test_a_range_goes_only_after_its_last_address_has_had_time_to_show():
    this = a_range("leaving", "10.96.0.0/24", deleted=NOW - timedelta(seconds=4))
    assert judge(this, (this,), (), NOW) == Verdict(True, wait=GRACE_SECONDS - 4)


def test_a_condition_moves_only_with_its_status():
    obj = {"metadata": {"name": "r"}, "spec": {"cidrs": ["10.0.0.0/24"]}}
    ready = conditioned(obj, READY, LONG_AGO)
    (condition,) = ready["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Ready", "True", "")
    assert conditioned(ready, READY, NOW) is ready
    moved = conditioned(ready, ("Terminating", "wait"), NOW)["status"]["conditions"]
    assert [(c["status"], c["lastTransitionTime"]) for c in moved] == [("False", "2026-01-02T00:00:00Z")]
    told = conditioned(ready, ("", "other words"), NOW)["status"]["conditions"]
    assert told[0]["lastTransitionTime"] == condition["lastTransitionTime"]


def test_a_view_knows_the_guard():
    metadata = {"name": "r", "finalizers": ["networking.k8s.io/service-cidr-finalizer"]}
    found = view({"metadata": metadata, "spec": {"cidrs": ["10.0.0.0/24"]}})
    assert found == a_range("r", "10.0.0.0/24")
