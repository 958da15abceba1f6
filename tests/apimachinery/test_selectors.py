# ruff: noqa: E501 - tables of cases read best one to a line
import contextlib
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import selectors

LABELS = {"app": "web", "tier": "front", "n": "5", "vast": "9" * 20}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True), ("app=web", True), ("app==web", True), ("app!=web", False), ("app", True), ("!app", False), ("!zone", True),
        ("app in (web,db)", True), ("app in (db)", False), ("app notin (db)", True), ("zone notin (a)", True), ("zone!=a", True),
        ("n>4", True), ("n>5", False), ("vast>1", False), ("n<6", True), ("app>1", False), ("zone>1", False), ("app=web,tier=front", True),
        ("app=web,tier=back", False), (" app = web , tier in ( front , back )", True), ("zone in (,a)", False), ("app=", False),
        ("zone=", False), ("app notin ()", True), ("in=1", False), ("app in (in,web)", True), ("app,tier,n", True),
    ],
)  # fmt: skip
def test_label_text(text: str, matches: bool) -> None:
    assert selectors.parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a=b,,c", "found ',', expected: identifier after ','"),
        ("a,", "found '', expected: identifier after ','"),
        ("a==b=c", "found '=', expected: ',' or 'end of string'"),
        ("!!", "unable to parse requirement: found '!', expected: identifier"),
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"),
        (f"a<{1 << 63}", f"unable to parse requirement: values[0]: Invalid value: \"{1 << 63}\": for 'Gt', 'Lt' operators, the value must be an integer"),
        ("a=" + "v" * 64, f'unable to parse requirement: values[0][a]: Invalid value: "{"v" * 64}": must be no more than 63 bytes'),
    ],
)  # fmt: skip
def test_label_text_refused(text: str, error: str) -> None:
    with pytest.raises(selectors.SelectorError) as raised:
        selectors.parse_labels(text)
    assert str(raised.value) == error


@pytest.mark.parametrize(("text", "start"), [
    ("-a=b", 'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of'),
    ("x/y/z=1", 'unable to parse requirement: <nil>: Invalid value: "x/y/z": a valid label key must consist of'),
    ("a=-b", 'unable to parse requirement: values[0][a]: Invalid value: "-b": a valid label must be an empty string or'),
])  # fmt: skip
def test_bad_names(text: str, start: str) -> None:
    with pytest.raises(selectors.SelectorError) as raised:
        selectors.parse_labels(text)
    assert str(raised.value).startswith(start)


def test_object_form() -> None:
    assert not selectors.from_label_selector(None).matches({})
    assert selectors.from_label_selector({}).matches({"a": "b"})
    selector = selectors.from_label_selector(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}],
        }
    )
    assert selector.matches(LABELS) and not selector.matches({"app": "web"})
    assert str(selector) == "app=web,tier in (front)"
    with pytest.raises(selectors.SelectorError, match='"Odd" is not a valid label selector operator'):
        selectors.from_label_selector({"matchExpressions": [{"key": "a", "operator": "Odd"}]})
    with pytest.raises(selectors.SelectorError, match="values set can't be empty"):
        selectors.from_label_selector({"matchExpressions": [{"key": "a", "operator": "In", "values": []}]})
    assert selectors.from_map(None).matches({"a": "b"})


def test_fields() -> None:
    selector = selectors.parse_fields(r"metadata.name=a\,b,status.phase!=Running,spec.nodeName==")
    assert [(r.path, r.operator, r.value) for r in selector.requirements] == [
        ("metadata.name", "=", "a,b"), ("status.phase", "!=", "Running"), ("spec.nodeName", "=", ""),
    ]  # fmt: skip
    fields = {"metadata.name": "a,b", "status.phase": "Pending"}
    assert selector.matches(lambda path: fields.get(path, ""))
    assert selectors.parse_fields("").empty


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ("metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
        ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
    ],
)
def test_fields_refused(text: str, error: str) -> None:
    with pytest.raises(selectors.SelectorError) as raised:
        selectors.parse_fields(text)
    assert str(raised.value) == error


words = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)


@given(st.dictionaries(words, words), st.dictionaries(words, words))
def test_printed_selector_selects_the_same(wanted: dict[str, str], labels: dict[str, str]) -> None:
    selector = selectors.from_map(wanted)
    assert selectors.parse_labels(str(selector)).matches(labels) == selector.matches(labels)
    assert selector.matches({**labels, **wanted})


@given(st.text("ab=!(),<> in\\", max_size=12))
def test_any_text_parses_or_is_refused(text: str) -> None:
    for parse in (selectors.parse_labels, selectors.parse_fields):
        with contextlib.suppress(selectors.SelectorError):
            parse(text)


def test_many_requirements_say_what_each_of_them_says() -> None:
    texts = ("a", "!z", "a in (x,y)", "a in (y,w)", "b notin (q,r)", "c!=", "n>3", "n>5", "n<9", "n<12", "m!=1", "!y")
    objects: list[dict[str, str]] = [
        {"a": "y", "n": "7"},
        {"a": "y", "n": "7", "b": "p", "c": "d"},
        {"a": "x", "n": "7"},
        {"a": "y", "n": "5"},
        {"a": "y", "n": "9"},
        {"a": "y", "n": "few"},
        {"a": "y", "n": "7", "z": ""},
        {"a": "y", "n": "7", "b": "r"},
        {"a": "y", "n": "7", "c": ""},
        {"n": "7"},
        {},
    ]
    for left_out in (None, *range(len(texts))):
        chosen = [text for place, text in enumerate(texts) if place != left_out]
        many = selectors.parse_labels(",".join([*chosen, *(f"!k{number}" for number in range(20))]))
        for labels in objects:
            assert many.matches(labels) is all(each.matches(labels) for each in many.requirements), (chosen, labels)


def test_an_object_costs_by_its_labels_not_by_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    many = selectors.parse_labels(",".join(["a=b", *(f"k{number}!=v" for number in range(2000)), *["a"] * 2000]))
    assert many.matches({"a": "b"})
    looked: list[object] = []

    def noted(requirement: selectors.Requirement, labels: object) -> bool:
        looked.append(requirement)
        return True

    monkeypatch.setattr(selectors.Requirement, "matches", noted)
    assert many.matches({"a": "b", "k1": "w"}) and not many.matches({"a": "b", "k1": "v"})
    assert not looked


def test_long_selectors_are_not_remembered() -> None:
    for parse, text in ((selectors.parse_labels, "a=b,"), (selectors.parse_fields, "a=b,")):
        assert parse(text + "c=d") is parse(text + "c=d")
        assert parse(text * 500 + "c=d") is not parse(text * 500 + "c=d")


@pytest.mark.parametrize("check", [selectors.check_labels, selectors.check_fields])
def test_of_a_selector_that_is_only_looked_at_nothing_is_kept(check: Callable[[str], None]) -> None:
    text = "a=b," * 5000 + "c=d"
    tracemalloc.start()
    try:
        check(text)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(text)
    finally:
        tracemalloc.stop()
    with pytest.raises(selectors.SelectorError):
        check(text + ",a b")
