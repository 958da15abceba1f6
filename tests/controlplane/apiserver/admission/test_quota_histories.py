"""Quotas through random histories of writes that are on their way, stored, refused, finished and deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.kinds import CONFIG_MAP, POD, RESOURCE_QUOTA, Kind
from apimachinery.objects import Obj
from apimachinery.pods.totals import Amounts
from controlplane.apiserver.admission.quota import coverage, usage
from controlplane.apiserver.admission.quota.account import Account
from controlplane.apiserver.admission.quota.ledger import Ledger
from controlplane.apiserver.catalog.strategy import Reservation
from controlplane.apiserver.registry import Registry
from tests.controlplane.controllers.build import T0

SPACE = "n"
QUOTAS: dict[str, Obj] = {
    "all": {"hard": {"pods": "4", "requests.cpu": "6", "count/configmaps": "3"}},
    "best": {"hard": {"pods": "2"}, "scopes": ["BestEffort"]},
    "other": {"hard": {"requests.cpu": "4"}, "scopes": ["NotTerminating"]},
}


class Stored:
    """What the ledger sees of a registry: objects by kind and name, and who hears of them."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Obj]] = {"pods": {}, "configmaps": {}}
        self.handlers: dict[str, list[Callable[[Obj | None, Obj | None], None]]] = {}
        self.catalog = SimpleNamespace(kinds=lambda: (POD, CONFIG_MAP))
        self.shared = False

    def subscribe(self, kind: Kind, handler: Callable[[Obj | None, Obj | None], None], replay: bool = True) -> None:
        self.handlers.setdefault(kind.plural, []).append(handler)

    def collection(self, kind: Kind) -> Any:
        def scan(_space: str) -> Iterator[Any]:
            return (SimpleNamespace(name=name) for name in self.objects[kind.plural])

        return SimpleNamespace(kind=kind, scan=scan)

    def find(self, kind: Kind, _space: str, name: str) -> Obj | None:
        return self.objects[kind.plural].get(name)

    def items(self, kind: Kind, _space: str) -> list[Obj]:
        return list(self.objects[kind.plural].values())

    def put(self, kind: Kind, name: str, new: Obj | None) -> None:
        held = self.objects.setdefault(kind.plural, {})
        old = held.pop(name, None)
        if new is not None:
            held[name] = new
        for handler in self.handlers.get(kind.plural, ()):
            handler(old, new)


@dataclass
class Write:
    """A create on its way."""

    kind: Kind
    obj: Obj
    room: Reservation


@dataclass
class World:
    """The ledger, and what is on its way past it."""

    stored: Stored = field(default_factory=Stored)
    under_way: list[Write] = field(default_factory=list)
    answered: list[Write] = field(default_factory=list)
    made: int = 0

    def __post_init__(self) -> None:
        self.ledger = Ledger(cast(Registry, self.stored), lambda: T0, lambda _account: None)

    def quota(self, name: str, spec: Obj) -> None:
        meta = {"namespace": SPACE, "name": name, "uid": name}
        self.stored.put(RESOURCE_QUOTA, name, {"metadata": meta, "spec": spec})

    def asks(self, kind: Kind, obj: Obj) -> None:
        """As the admission plugin: what does not fit into every quota that covers it takes no room in any."""
        wanted: list[tuple[Account, Amounts]] = []
        for account in self.ledger.accounts(SPACE):
            amounts = counts(account, kind, obj)
            self.ledger.follow(kind)
            if any(account.used()[name] + amount > account.hard[name] for name, amount in amounts.items()):
                return
            if amounts:
                wanted.append((account, amounts))
        self.under_way.append(Write(kind, obj, self.ledger.reserve(obj["metadata"]["uid"], wanted, lambda *_: None)))

    def check(self) -> None:
        """Every quota says what is stored and what is on its way, each once."""
        for account in self.ledger.accounts(SPACE):
            there = [(kind, obj) for kind in (POD, CONFIG_MAP) for obj in self.stored.objects[kind.plural].values()]
            assert nanos(account, account.stored()) == expected(account, there)
            uids = {obj["metadata"]["uid"] for _, obj in there}
            there += [(w.kind, w.obj) for w in self.under_way if w.obj["metadata"]["uid"] not in uids]
            assert nanos(account, account.used()) == expected(account, there)


def nanos(account: Account, amounts: Amounts) -> dict[str, int]:
    return {name: amounts[name].nanos for name in account.hard}


def expected(account: Account, there: list[tuple[Kind, Obj]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for kind, obj in there:
        total.update({name: amount.nanos for name, amount in counts(account, kind, obj).items()})
    return {name: total[name] for name in account.hard}


def counts(account: Account, kind: Kind, obj: Obj) -> Amounts:
    limited = account.limits(kind)
    if not limited or not coverage.covers(account.scopes, kind, obj):
        return {}
    of = usage.of(kind, obj, T0)
    return {name: of[name] for name in limited if name in of}


EVENTS = ("pod", "bare", "brief", "map", "stored", "answered", "refused", "finished", "deleted", "quota")
HISTORY = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 7)), max_size=60)


def happens(world: World, what: str, number: int) -> None:
    name = f"o{number}"
    meta = {"name": name, "namespace": SPACE, "uid": f"u{world.made}"}
    if what in ("pod", "bare", "brief", "map"):
        world.made += 1
        requests = {} if what == "bare" else {"requests": {"cpu": str(1 + number % 3)}}
        spec: Obj = {"containers": [{"name": "c", "image": "i", "resources": requests}]}
        if what == "brief":
            spec["activeDeadlineSeconds"] = 5
        world.asks(*((CONFIG_MAP, {"metadata": meta}) if what == "map" else (POD, {"metadata": meta, "spec": spec})))
    elif what in ("stored", "refused") and world.under_way:
        write = world.under_way.pop(number % len(world.under_way))
        taken = write.obj["metadata"]["name"] in world.stored.objects[write.kind.plural]
        if what == "stored" and not taken:
            world.stored.put(write.kind, write.obj["metadata"]["name"], write.obj)
            world.answered.append(write)
        else:
            write.room.release()
    elif what == "answered" and world.answered:
        # However late: by then the object may have changed, gone, or been made again.
        world.answered.pop(number % len(world.answered)).room.release()
    elif what == "finished" and (there := world.stored.objects["pods"].get(name)):
        world.stored.put(POD, name, {**there, "status": {"phase": "Succeeded"}})
    elif what == "deleted":
        kind = POD if number % 2 else CONFIG_MAP
        if name in world.stored.objects[kind.plural]:
            world.stored.put(kind, name, None)
    elif what == "quota":
        chosen = sorted(QUOTAS)[number % len(QUOTAS)]
        world.quota(chosen, QUOTAS[chosen] | {"hard": _raised(chosen, number - 2)})


def _raised(name: str, by: int) -> dict[str, str]:
    return {key: str(int(value) + by) for key, value in QUOTAS[name]["hard"].items()}


@settings(max_examples=100, deadline=None)
@given(HISTORY)
def test_a_quota_says_what_there_is_and_is_never_passed(history: list[tuple[str, int]]) -> None:
    world = World()
    for name, spec in QUOTAS.items():
        world.quota(name, spec)
    for what, number in history:
        before = {a.name: (a.hard, a.used()) for a in world.ledger.accounts(SPACE)}
        happens(world, what, number)
        world.check()
        for account in world.ledger.accounts(SPACE):
            hard, used = before.get(account.name, (None, {}))
            for each, amount in account.used().items():
                # What a quota allows less of from now on may be there already; no write adds to it.
                assert amount <= account.hard[each] or (hard != account.hard or amount <= used[each])
    for write in (*world.under_way, *world.answered):
        write.room.release()
    world.under_way.clear()
    world.check()
