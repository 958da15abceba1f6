"""Whether a history can be one of a store that loses nothing and orders everything. Pure: a history in, faults out.

The order is the revisions': what watchers were told and what writers were answered make one log. Then a key is
linearizable when each write replaced what it expected, each read shows the newest change that was answered before it
began or a later one, and no answer came before its cause.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from tests.robustness.history import Event, History, Listing, Outcome, Read, Watch, Write

_TOLD = 20


def violations(history: History) -> list[str]:
    """Every fault, for a person; at most some of each kind."""
    found: list[str] = []
    log, problems = merged(history)
    checks = (
        problems,
        _acknowledged(history.writes, log),
        _expectations(history.writes, log),
        _real_time(history.writes, log),
        *(_watch(watch, log) for watch in history.watches),
        _kept(history.watches, history.kept),
        _reads(history.reads, history.writes, log),
        _lists(history.lists, history.writes, log),
    )
    for check in checks:
        for number, fault in enumerate(check):
            if number >= _TOLD:
                found.append("… and more of these")
                break
            found.append(fault)
    return found


def merged(history: History) -> tuple[list[Event], list[str]]:
    """The log by revision, and where two accounts of one revision differ."""
    log: dict[int, Event] = {}
    faults = []
    written = (
        Event(write.revision, write.key, write.value)
        for write in history.writes
        if write.outcome is Outcome.DONE and write.revision
    )
    told = (event for watch in history.watches for event in watch.events)
    for event in (*written, *told):
        known = log.setdefault(event.revision, event)
        if known != event:
            faults.append(f"revision {event.revision} was given out twice: {known} and {event}")
    return [log[revision] for revision in sorted(log)], faults


def _acknowledged(writes: Iterable[Write], log: list[Event]) -> Iterator[str]:
    """What was answered happened: creations and changes say when, deletions must follow what they removed."""
    deleted = {before.revision for before, event in _steps(log) if before and not event.value}
    acknowledged = set[int]()
    for write in writes:
        if write.outcome is not Outcome.DONE or write.value:
            continue
        if write.expect not in deleted:
            yield f"the acknowledged deletion of {write.key} at {write.expect} was never told of"
        elif write.expect in acknowledged:
            yield f"two were told that they deleted {write.key} at {write.expect}"
        acknowledged.add(write.expect)


def _steps(log: list[Event]) -> Iterator[tuple[Event | None, Event]]:
    """Each change with what it replaced."""
    current: dict[str, Event] = {}
    for event in log:
        yield current.get(event.key), event
        if event.value:
            current[event.key] = event
        else:
            current.pop(event.key, None)


def _expectations(writes: Iterable[Write], log: list[Event]) -> Iterator[str]:
    """Whatever changed replaced just what its writer expected, once; and what nobody wrote is nowhere."""
    by_value = {write.value: write for write in writes if write.value}
    removing = {(write.key, write.expect) for write in writes if not write.value}
    done = set[str]()
    for before, event in _steps(log):
        stood = before.revision if before else 0
        if not event.value:
            if (event.key, stood) not in removing:
                yield f"{event.key} was deleted at revision {event.revision}, where it stood at {stood}: nobody asked"
            continue
        write = by_value.get(event.value)
        if write is None or write.key != event.key:
            yield f"{event.key} has {event.value!r} at revision {event.revision}, which nobody wrote there"
        elif write.outcome is Outcome.REFUSED:
            yield f"{event.key} has {event.value!r} at revision {event.revision}, whose writer was refused"
        elif write.expect != stood:
            yield f"{event.key} was replaced at revision {event.revision}: expected {write.expect}, stood at {stood}"
        elif event.value in done:
            yield f"{event.key} has {event.value!r} at revision {event.revision} again: it was written once"
        done.add(event.value)


def _real_time(writes: Iterable[Write], log: list[Event]) -> Iterator[str]:
    """What was answered before another began has the smaller revision."""
    done = [write for write in writes if write.outcome is Outcome.DONE and write.revision]
    by_end = sorted(done, key=lambda write: write.ended)
    highest, at = 0, 0
    for write in sorted(done, key=lambda write: write.begun):
        while at < len(by_end) and by_end[at].ended < write.begun:
            highest = max(highest, by_end[at].revision)
            at += 1
        if write.revision <= highest:
            yield f"{write.key} got revision {write.revision} after {highest} had been answered"


def _watch(watch: Watch, log: list[Event]) -> Iterator[str]:
    """In order, without gaps, and no bookmark before what it vouches for."""
    revisions = [event.revision for event in log]
    at, told, missing = watch.begun, set[int](), set[int]()
    vouched = begin = bisect_right(revisions, watch.begun)
    for each in watch.told:
        if isinstance(each, Event):
            if each.revision <= at:
                yield f"a watch was told of revision {each.revision} after {at}"
            told.add(each.revision)
            missing.discard(each.revision)
            at = max(at, each.revision)
            continue
        # What an earlier bookmark vouched for is known.
        end = max(vouched, bisect_right(revisions, each))
        missing.update(revision for revision in revisions[vouched:end] if revision not in told)
        vouched = end
        if missing:
            yield f"a watch was told that {each} is reached, before revision {min(missing)}"
        at = max(at, each)
    for revision in revisions[begin : bisect_right(revisions, watch.last)]:
        if revision not in told:
            yield f"a watch from {watch.begun} to {watch.last} was never told of revision {revision}"


def _kept(watches: Iterable[Watch], seconds: float) -> Iterator[str]:
    """Whoever was away for less than what is kept goes on where he was."""
    for watch in watches:
        if watch.expired and watch.expired - watch.heard < seconds:
            away = watch.expired - watch.heard
            yield f"a watch could not go on from {watch.last} after {away:.1f} s, though {seconds:.0f} s are kept"


def _reads(reads: Iterable[Read], writes: list[Write], log: list[Event]) -> Iterator[str]:
    begun = {write.value: write.begun for write in writes if write.value}
    floors = _Floors(writes)
    states = _States(log)
    for read in reads:
        floor = floors.before(read.begun)
        stood = states.of(read.key, floor)
        fits = read.revision == stood or states.stood(read.key, read.revision, floor)
        if not fits and not (read.revision == 0 and states.is_gone(read.key, floor)):
            yield f"a read of {read.key} showed revision {read.revision}, though {floor} had been answered ({stood})"
        if read.value and begun.get(read.value, read.ended) > read.ended:
            yield f"a read of {read.key} showed {read.value!r} before it was written"


def _lists(lists: Iterable[Listing], writes: list[Write], log: list[Event]) -> Iterator[str]:
    floors, events = _Floors(writes), iter(log)
    wanted, ahead = dict[str, tuple[int, str]](), next(events, None)
    for listing in sorted(lists, key=lambda listing: listing.revision):
        if listing.revision < (floor := floors.before(listing.begun)):
            yield f"a list is of revision {listing.revision}, though {floor} had been answered before it began"
        while ahead is not None and ahead.revision <= listing.revision:
            wanted.pop(ahead.key, None)
            if ahead.value:
                wanted[ahead.key] = (ahead.revision, ahead.value)
            ahead = next(events, None)
        for key in sorted(wanted.keys() | listing.objects.keys()):
            if wanted.get(key) != listing.objects.get(key):
                shown, right = listing.objects.get(key), wanted.get(key)
                yield f"a list at revision {listing.revision} shows {key} as {shown}; the watches say {right}"


class _Floors:
    """The highest revision that had been answered before a time."""

    def __init__(self, writes: Iterable[Write]) -> None:
        done = sorted((w.ended, w.revision) for w in writes if w.outcome is Outcome.DONE and w.revision)
        self._times = [ended for ended, _ in done]
        self._highest: list[int] = []
        for _, revision in done:
            self._highest.append(max(revision, self._highest[-1] if self._highest else 0))

    def before(self, time: float) -> int:
        at = bisect_right(self._times, time)
        return self._highest[at - 1] if at else 0


def _revision(event: Event) -> int:
    return event.revision


class _States:
    """What stood where, at any revision."""

    def __init__(self, log: list[Event]) -> None:
        self._by_key: dict[str, list[Event]] = {}
        self._last_gone: dict[str, int] = {}
        for event in log:
            self._by_key.setdefault(event.key, []).append(event)
            if not event.value:
                self._last_gone[event.key] = event.revision

    def of(self, key: str, revision: int) -> int:
        """The revision at which a key stood, 0 for none."""
        events = self._by_key.get(key, [])
        at = bisect_right(events, revision, key=_revision)
        return events[at - 1].revision if at and events[at - 1].value else 0

    def stood(self, key: str, revision: int, after: int) -> bool:
        """Whether it stood at a revision that came after another."""
        events = self._by_key.get(key, [])
        at = bisect_left(events, revision, key=_revision)
        return revision > after and at < len(events) and events[at].revision == revision and bool(events[at].value)

    def is_gone(self, key: str, after: int) -> bool:
        """Whether it was not there at that revision or at some later one."""
        return not self.of(key, after) or self._last_gone.get(key, 0) > after
