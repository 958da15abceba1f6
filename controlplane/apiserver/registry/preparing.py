"""What becomes of an object between its writer's hand and the store, admission aside: defaults, owners, its strategy's
word, and the rules that it must keep.

A write is prepared in two stages, for admission sees the first one's work and may change it.
"""

from __future__ import annotations

from collections.abc import Callable

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from apimachinery.schema import as_before
from apimachinery.timestamps import now as clock
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.advice.gaps import Gaps
from controlplane.apiserver.catalog.catalog import Catalog
from controlplane.apiserver.catalog.strategy import Strategy
from controlplane.apiserver.defaults.empties import Empties, known
from controlplane.apiserver.registry import metadata, upkeep
from controlplane.apiserver.registry.checks import check_change, check_new
from controlplane.apiserver.registry.context import Context
from controlplane.apiserver.replies import nothing_there

# Writes down in `new` who owns what: old, new, context, subresource.
Track = Callable[["Obj | None", Obj, Context, str], None]
# Whether there is an object of a kind, in a namespace, with a name.
Taken = Callable[[Kind, str, str], bool]
_NAME_TRIES = 8


class Preparation:
    """Objects given are private and changed in place; large ones in a thread, so nothing here is awaited."""

    def __init__(self, catalog: Catalog, track: Track, gaps: Gaps, taken: Taken) -> None:
        self._catalog = catalog
        self._track = track
        self._gaps = gaps
        self._taken = taken

    def strategy(self, kind: Kind) -> Strategy:
        """Raises NotFound for a kind that is served no more."""
        try:
            return self._catalog.of(kind).strategy
        except KeyError:
            raise nothing_there() from None

    def begin_new(self, kind: Kind, obj: Obj, namespace: str, context: Context) -> tuple[bool, list[str]]:
        """Up to admission; whether the client chose the name, and what nobody acts on."""
        strategy = self.strategy(kind)
        metadata.begin(kind, obj, namespace, not context.dry_run)
        chosen = bool(obj["metadata"].get("name"))
        if upkeep.has_status(kind) and not strategy.keep_status_on_create:
            obj.pop("status", None)
        gaps = self._gaps.told(kind, self._catalog.schema, obj)
        context.warnings.extend(strategy.warn_sent(obj))
        with known(context.empties):
            strategy.default(obj)
            self._own(strategy, None, obj, context, "")
        return chosen, gaps

    def finish_new(self, kind: Kind, obj: Obj, namespace: str, context: Context, chosen: bool) -> None:
        """From admission to a valid object; may be begun once more. Raises Invalid and Unfinished."""
        strategy = self.strategy(kind)
        context.warnings.extend(metadata.single_owners(obj, admitted=True))
        metadata.complete(obj, clock())
        if not chosen:
            self._avoid_collision(kind, obj["metadata"], namespace)
        _preparing(strategy, context).prepare_create(obj)
        if strategy.generation:
            obj["metadata"]["generation"] = 1
        with known(context.empties):
            check_new(kind, self._spoken(kind, context), obj, context.version, context.warnings.append)
        strategy.finish(obj)

    def begin_change(self, kind: Kind, old: Obj, new: Obj, context: Context, subresource: str) -> list[str]:
        """Up to admission; what nobody acts on. May be begun once more. Raises Unconverted."""
        strategy = self.strategy(kind)
        metadata.fill_changed(kind, new, old, not context.dry_run)
        gaps = [] if subresource else self._gaps.told(kind, self._catalog.schema, new, old)
        # A change is tried again where somebody was faster.
        context.empties = Empties()
        with known(context.empties):
            if subresource != "binding":
                # A binding is the server's own change of a pod that has its defaults.
                strategy.default(new)
            if upkeep.has_status(kind) and not subresource:
                upkeep.keep_status(new, old)
            self._own(strategy, old, new, context, subresource)
        return gaps

    def finish_change(self, kind: Kind, old: Obj, new: Obj, context: Context, admission: Admission) -> None:
        """From admission to a valid object; may be begun once more. Raises Invalid and Unfinished."""
        strategy, subresource = self.strategy(kind), admission.subresource
        context.warnings.extend(metadata.single_owners(new, admitted=True))
        if admission.changed:
            metadata.fill_changed(kind, new, old, not context.dry_run)
            if upkeep.has_status(kind) and not subresource:
                upkeep.keep_status(new, old)
        if subresource == "status":
            strategy.prepare_status(new, old)
            metadata.put_back(new, old, strategy.status_keeps)
        elif subresource == "finalize":
            strategy.prepare_finalize(new, old)
        elif subresource not in upkeep.WHOLE:
            if strategy.counts_dropped:
                upkeep.count_generation(strategy, self._seen(kind, new, old), old, subresource, context.empties)
            _preparing(strategy, context).prepare_update(new, old)
        seen = self._seen(kind, new, old)
        if not strategy.counts_dropped:
            upkeep.count_generation(strategy, seen, old, subresource, context.empties)
        if subresource == "binding":
            # Upstream writes a binding past what it asks of other changes.
            return
        with known(context.empties):
            spoken, warn = self._spoken(kind, context), context.warnings.append
            check_change(kind, spoken, seen, old, subresource, context.version, warn)
        strategy.finish(new)

    def _seen(self, kind: Kind, new: Obj, old: Obj) -> Obj:
        """The new object as it is compared with the old one."""
        custom = self._catalog.of(kind).custom is not None
        node = None if custom else self._catalog.schema.node(kind.api_version, kind.kind)
        seen: Obj = new if node is None else as_before(node, new, old)
        return seen

    def _spoken(self, kind: Kind, context: Context) -> Strategy:
        """That of the version that the client speaks: upstream validates objects of two groups by two sets of rules."""
        spoken = self._catalog.find(context.version, kind.kind) if context.version else None
        return self.strategy(spoken or kind)

    def _own(self, strategy: Strategy, old: Obj | None, new: Obj, context: Context, subresource: str) -> None:
        """Write down who owns what, between defaults and what the server itself puts in."""
        if not context.settled:
            self._track(old, new, context, subresource)
        strategy.settle(new)

    def _avoid_collision(self, kind: Kind, given: Obj, namespace: str) -> None:
        """A generated name that is taken is generated anew, a few times, as upstream does."""
        for _ in range(_NAME_TRIES):
            if not given.get("name") or not self._taken(kind, namespace, given["name"]):
                return
            given["name"] = metadata.generated(given["generateName"])


def _preparing(strategy: Strategy, context: Context) -> Strategy:
    return strategy.trial if context.dry_run and strategy.trial is not None else strategy
