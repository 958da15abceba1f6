"""Random damage to a killed store, short form; the long form is `python -m tests.robustness.store_damage`."""

from collections import Counter
from pathlib import Path

import pytest

from controlplane.store import inspection
from controlplane.store.audit import Findings, audit
from tests.robustness.store_damage import rounds


def test_no_damage_is_silent(tmp_path: Path) -> None:
    outcomes = rounds(tmp_path, 60, seed=7)
    assert not [outcome for outcome in outcomes if outcome.kind == "silent"]
    assert set(Counter(outcome.kind for outcome in outcomes)) == {"healed", "refused"}


def test_the_checker_sees_a_store_that_does_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(*args: object) -> Findings:
        found = audit(*args)  # type: ignore[arg-type]
        return Findings(found.head, found.chain)

    monkeypatch.setattr(inspection, "audit", blind)
    assert [outcome for outcome in rounds(tmp_path, 60, seed=7) if outcome.kind == "silent"]
