"""Every test runs in one run of its tier, and no run is much longer than the others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lab.testing import plan

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("text", "tiers"),
    [
        ("def test_x(): ...", {"unit"}),
        ("pytestmark = pytest.mark.cluster\ndef test_x(): ...", {"cluster"}),
        ("pytestmark = [pytest.mark.skipif(x, reason='y'), pytest.mark.kernel]\n", {"kernel"}),
        ("pytestmark = [\n    pytest.mark.kernel,\n    pytest.mark.skipif(x),\n]\n", {"kernel"}),
        ("pytestmark = pytest.mark.skipif(x)\n@pytest.mark.kernel\ndef test_x(): ...", {"unit", "kernel"}),
        ("@pytest.mark.kernel\ndef test_x(): ...\ndef test_y(): ...", {"unit", "kernel"}),
        ("pytestmark = pytest.mark.vm\n", {"vm"}),
    ],
)
def test_a_files_tiers_are_those_of_its_markers(text: str, tiers: set[str]) -> None:
    assert plan.source("tests/test_x.py", text).tiers == tiers


def sources() -> list[plan.Source]:
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [plan.source(str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")) for file in files]


def test_each_file_is_in_one_run_of_each_of_its_tiers() -> None:
    found = sources()
    runs = plan.deal(found, (plan.EMULATED, *plan.TIERS))
    dealt = Counter((run.tier, file) for run in runs for file in run.files)
    assert dealt == Counter((tier, each.path) for each in found for tier in each.tiers)
    assert set(dealt.values()) == {1}
    assert len({run.name for run in runs}) == len(runs)


def test_only_the_tiers_that_were_asked_for_are_dealt() -> None:
    runs = plan.deal(sources(), ("kernel",))
    assert {run.tier for run in runs} == {run.selection for run in runs} == {"kernel"}
    assert plan.deal([], plan.TIERS) == ()


def test_labs_do_not_come_up_together_and_what_only_computes_comes_last() -> None:
    made = [plan.Source(f"tests/test_{n}.py", 100, frozenset(plan.TIERS)) for n in range(20)]
    order = [run.tier for run in plan.deal(made, plan.TIERS)]
    first_unit = order.index("unit")
    assert set(order[first_unit:]) == {"unit"}
    assert order[0] == "cluster" and "cluster" not in order[1:3]


def test_shares_are_of_about_one_size() -> None:
    made = [plan.Source(f"tests/test_{n}.py", 100 + 7 * n, frozenset({"unit"})) for n in range(100)]
    sizes = {each.path: each.size for each in made}
    totals = [sum(sizes[file] for file in run.files) for run in plan.deal(made, ("unit",))]
    assert max(totals) - min(totals) <= max(sizes.values())
