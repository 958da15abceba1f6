"""The checker accepts what a good store shows, and finds each fault that is planted into that."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.robustness.checker import violations
from tests.robustness.history import Event, History, Listing, Outcome, Read, Watch, Write


def good(seed: int, length: int = 120) -> History:
    """What clients of a store without faults saw: writes that take a while, in the order of their revisions."""
    rng, made = random.Random(seed), History()
    current: dict[str, tuple[int, str]] = {}
    watch, late = Watch(0), Watch(40)
    for at in range(1, length):
        key, time = f"k{rng.randrange(5)}", float(at)
        stood = current.get(key, (0, ""))
        value = "" if stood[0] and rng.random() < 0.3 else f"v{at}"
        outcome = rng.choices((Outcome.DONE, Outcome.UNKNOWN), (9, 1))[0]
        told = at if value and outcome is Outcome.DONE else 0
        made.writes.append(Write(key, value, stood[0], time - 0.4, time + 0.4, outcome, told))
        made.writes.append(Write(key, f"no{at}", 10**6, time - 0.3, time + 0.3, Outcome.REFUSED))
        if value:
            current[key] = (at, value)
        else:
            current.pop(key)
        for each in (watch, late):
            if at > each.begun:
                each.told.append(Event(at, key, value))
        if at % 10 == 0:
            watch.told.append(at)
            made.reads.append(Read(key, time + 0.41, time + 0.45, *current.get(key, (0, ""))))
            made.lists.append(Listing(time + 0.41, time + 0.45, at, dict(current)))
    made.watches += [watch, late]
    return made


@pytest.mark.parametrize("seed", range(20))
def test_a_good_history_passes(seed: int) -> None:
    assert violations(good(seed)) == []


def lose_write(found: History) -> None:
    """Acknowledged, and nowhere afterwards: everybody else goes on as if it had never been."""
    last = next(w for w in reversed(found.writes) if w.outcome is Outcome.DONE and w.revision)
    found.writes[found.writes.index(last)] = replace(last, revision=last.revision, value="vlost")


def lose_deletion(found: History) -> None:
    gone = next(w for w in found.writes if w.outcome is Outcome.DONE and not w.value)
    for watch in found.watches:
        watch.told = [e for e in watch.told if not (isinstance(e, Event) and not e.value and e.key == gone.key)]


def share_deletion(found: History) -> None:
    """One object, and two who were told that they deleted it."""
    gone = next(w for w in found.writes if w.outcome is Outcome.DONE and not w.value)
    found.writes.append(replace(gone, begun=gone.begun + 1, ended=gone.ended + 1))


def come_back(found: History) -> None:
    """What was created, and deleted by somebody, is created once more by the same request."""
    last = max(event.revision for event in found.watches[0].events)
    write = Write("k9", "vback", 0, last + 1.1, last + 1.2, Outcome.DONE, last + 1)
    found.writes += [write, Write("k9", "", last + 1, last + 2.1, last + 2.2, Outcome.DONE)]
    for watch in found.watches:
        watch.told += [Event(last + at, "k9", value) for at, value in ((1, "vback"), (2, ""), (3, "vback"))]


def swap_events(found: History) -> None:
    told = found.watches[0].told
    at = next(n for n in range(len(told) - 1) if isinstance(told[n], Event) and isinstance(told[n + 1], Event))
    told[at], told[at + 1] = told[at + 1], told[at]


def lose_event(found: History) -> None:
    events = [each for each in found.watches[1].told if isinstance(each, Event)]
    found.watches[1].told.remove(events[len(events) // 2])


def repeat_event(found: History) -> None:
    event = found.watches[1].events[3]
    found.watches[1].told.insert(found.watches[1].told.index(event), event)


def reuse_revision(found: History) -> None:
    done = [w for w in found.writes if w.outcome is Outcome.DONE and w.revision]
    found.writes[found.writes.index(done[5])] = replace(done[5], revision=done[4].revision)


def early_bookmark(found: History) -> None:
    told = found.watches[0].told
    told.insert(4, found.watches[0].events[8].revision)


def stale_read(found: History) -> None:
    """Of an object that was changed, and the change answered, before the read began."""
    done = [w for w in found.writes if w.outcome is Outcome.DONE and w.value]
    new = next(w for w in done if w.expect)
    old = next(e for e in found.watches[0].events if e.revision == new.expect)
    found.reads.append(Read(new.key, new.ended + 0.01, new.ended + 0.02, old.revision, old.value))


def stale_list(found: History) -> None:
    found.lists.append(replace(found.lists[2], begun=found.lists[5].begun, ended=found.lists[5].ended))


def wrong_list(found: History) -> None:
    objects = dict(found.lists[3].objects)
    objects.pop(next(iter(objects)))
    found.lists[3] = replace(found.lists[3], objects=objects)


def refused_but_done(found: History) -> None:
    done = next(w for w in found.writes if w.outcome is Outcome.DONE and w.revision)
    found.writes[found.writes.index(done)] = replace(done, outcome=Outcome.REFUSED, revision=0)


def blind_overwrite(found: History) -> None:
    """Two that expected the same were both told that they replaced it."""
    done = next(w for w in found.writes if w.outcome is Outcome.DONE and w.revision and w.expect)
    found.writes[found.writes.index(done)] = replace(done, expect=done.expect - 1)


def from_nowhere(found: History) -> None:
    event = found.watches[0].events[-1]
    found.watches[0].told.append(Event(event.revision + 1, event.key, "nobody's"))


def back_in_time(found: History) -> None:
    """A later write got an earlier revision."""
    done = [w for w in found.writes if w.outcome is Outcome.DONE and w.revision]
    one, two = done[6], done[9]
    found.writes[found.writes.index(one)] = replace(one, begun=two.begun + 50, ended=two.ended + 50)


def forget_early(found: History) -> None:
    watch = found.watches[0]
    watch.heard, watch.expired = 10.0, 10.0 + found.kept - 1


FAULTS: dict[Callable[[History], None], str] = {
    lose_write: "twice",
    lose_deletion: "deletion",
    share_deletion: "two were told",
    come_back: "again",
    swap_events: "after",
    lose_event: "never told",
    repeat_event: "after",
    reuse_revision: "twice",
    early_bookmark: "before revision",
    stale_read: "showed revision",
    stale_list: "had been answered",
    wrong_list: "the watches say",
    refused_but_done: "was refused",
    blind_overwrite: "expected",
    from_nowhere: "nobody wrote",
    back_in_time: "after",
    forget_early: "could not go on",
}


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("seed", range(5))
def test_each_planted_fault_is_found(plant: Callable[[History], None], seed: int) -> None:
    history = copy.deepcopy(good(seed))
    plant(history)
    found = violations(history)
    assert any(FAULTS[plant] in fault for fault in found), found
