"""Expressions are compiled, refused in upstream's words, and evaluated at a bounded cost."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from apimachinery.cel import door
from apimachinery.cel.types.kinds import BOOL, DYN, INT, STRING, Type, list_of, object_type
from apimachinery.cel.values.kinds import equal

STARTS = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)
ENV = door.environment({"object": DYN, "x": INT, "names": list_of(STRING)})
OBJECT = {"spec": {"replicas": 3, "name": "web", "tags": ["a", "b"]}, "ratio": 0.5}
# Lists that hold themselves twice, again and again: they take no room, but there is none to go through them.
LARGE, EMPTY, SMALL = (
    f"optional.of({leaf})" + ".optMap(l, [l, l])" * levels
    for leaf, levels in (("[1]", 60), ("dyn([])", 60), ("[1]", 12))
)
LARGE, EMPTY = f"{LARGE}.value()", f"{EMPTY}.value()"


def value(expression: str) -> Any:
    return door.compile(expression, ENV).evaluate({"object": OBJECT, "x": 4, "names": ["n", "m"]})


@pytest.mark.parametrize(
    ("expression", "at", "message"),
    [
        ("object.", 8, "Syntax error: no viable alternative at input '.'"),
        ("object.true", 8, "Syntax error: mismatched input 'true' expecting IDENTIFIER"),
        ("object[", 8, "Syntax error: mismatched input '<EOF>' expecting " + STARTS.replace("'!', ", "'!', '?', ")),
        ("(", 2, f"Syntax error: mismatched input '<EOF>' expecting {STARTS}"),
        ("(x", 3, "Syntax error: missing ')' at '<EOF>'"),
        ("x +", 4, f"Syntax error: mismatched input '<EOF>' expecting {STARTS}"),
        ("x )", 3, "Syntax error: extraneous input ')' expecting <EOF>"),
        ("x y z", 3, "Syntax error: mismatched input 'y' expecting <EOF>"),
        ("Object{", 8, "Syntax error: mismatched input '<EOF>' expecting {'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"),
        ("while", 1, "reserved identifier: while"),
        ("foo.bar", 1, "undeclared reference to 'foo' (in container '')"),
        ("x.foo", 2, "type 'int' does not support field selection"),
        ("x + 'a'", 3, "found no matching overload for '_+_' applied to '(int, string)'"),
        ("'a'.startsWith(x)", 15, "found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("[1, 'a']", 5, "expected type 'int' but found 'string'"),
        ("has(x)", 5, "invalid argument to has() macro"),
        ("[1].map(x + 1, x)", 11, "argument is not an identifier"),
        ("[1].all('a', true)", 9, "argument must be a simple name"),
        ("x && true", 1, "expected type 'bool' but found 'int'"),
        ("'a'.matches('(')", 13, "invalid matches argument"),
        ("duration('1')", 10, "invalid duration argument"),
        ("99999999999999999999", 1, "invalid int literal"),
        (
            "'%d'.format(['a'])",
            14,
            "error during formatting: decimal clause can only be used on integers, was given string",
        ),
        (
            "x.all(y, y)",
            1,
            "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(expression: str, at: int, message: str) -> None:
    with pytest.raises(door.Unfit) as refused:
        door.compile(expression, ENV)
    first = str(refused.value).split("\nERROR")[0]
    assert first == f"ERROR: <input>:1:{at}: {message}\n | {expression}\n | {'.' * (at - 1)}^"


def test_places_are_told_by_line_and_in_wide_letters() -> None:
    with pytest.raises(door.Unfit) as refused:
        door.compile("x == 1 &&\n'☺' == y", ENV)
    assert str(refused.value) == (
        "ERROR: <input>:2:8: undeclared reference to 'y' (in container '')\n | '☺' == y\n | .．.....^"
    )


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("object.spec.replicas > 2 && object.spec.name.startsWith('w')", True),
        ("has(object.spec.replicas) && !has(object.spec.paused)", True),
        ("object.spec.missing == 1 || x == 4", True),
        ("x != 4 && object.spec.missing == 1", False),
        ("object.?spec.?missing.orValue('none')", "none"),
        ("object.spec.tags.map(t, t + '!')", ["a!", "b!"]),
        ("names.exists(n, n == object.spec.missing || n == 'm')", True),
        ("names.exists_one(n, n == 'm')", True),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 10)", {"b": 20}),
        ("[3, 1, 2].sort() == [1, 2, 3] && [3, 1].sum() == 4 && [1, 2].isSorted()", True),
        ("['ab', 'a'].sortBy(t, t.size())", ["a", "ab"]),
        ("sets.contains([1, 2], [2])", True),
        ("'%s has %d'.format([object.spec.name, dyn(x)])", "web has 4"),
        ("quantity('1.5Gi').isGreaterThan(quantity('1G')) && quantity('2k').asInteger() == 2000", True),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3') && ip('::1').family() == 6", True),
        ("url('https://u@h:8080/p?a=1').getHostname() + url('https://h:8080/p').getPort()", "h8080"),
        ("semver('1.2.3').isLessThan(semver('v1.10', true))", True),
        ("format.dns1123Label().validate('A').hasValue()", True),
        ("'a/b~c'.find('[a-z]/')", "a/"),
        ("'%s %s'.format([['a', 'b'], {'a': 1.5}])", '["a", "b"] {"a":1.500000}'),
        ("'%s %e'.format([1.0 / 0.0, 1234.5])", "+Inf 1.234500×10⁰³"),
        ("has(object.spec.replicas.foo) || object.spec.replicas.?foo.hasValue()", False),
        ("string(duration('90s')) + string(timestamp('2026-01-02T03:04:05Z').getHours())", "90s3"),
        ("type(x) == int && type(1u) == uint && type(object.ratio) == double", True),
        ("1 == dyn(1.0) && {1: 'a'}[dyn(1.0)] == 'a' && !(dyn(true) == dyn(1))", True),
    ],
)
def test_values(expression: str, wanted: Any) -> None:
    assert equal(door.Budget().work, value(expression), wanted)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("object.spec.missing == 1", "no such key: missing"),
        ("[1][x] == 1", "index out of bounds: 4"),
        ("x / 0 == 1", "division by zero"),
        ("9223372036854775807 + x > 0", "integer overflow"),
        ("object.spec.name + 1", "no such overload"),
        ("object.spec.replicas.foo", "no such key: foo"),
        ("object.spec.replicas.all(y, true)", "got 'types.Int', expected iterable type"),
        ("object.spec.name.getHours()", "no such overload: getHours(string)"),
        ("object.spec.tags.foo", "unsupported index type 'string' in list"),
        ("optional.none().value()", "optional.none() dereference"),
        ("int(object.spec.name)", "type conversion error from 'string' to 'int'"),
        ("semver('1.02.3')", 'Minor number must not contain leading zeroes "02"'),
    ],
)
def test_what_has_no_value_is_told_in_upstreams_words(expression: str, message: str) -> None:
    with pytest.raises(door.EvaluationError) as error:
        value(expression)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "expression",
    [
        "[" + "0," * 999 + "0].all(a, [" + "0," * 999 + "0].all(b, [" + "0," * 999 + "0].all(c, true)))",
        "optional.of([1,2,3,4,5,6,7,8])" + ".optMap(l, l + l)" * 60 + ".hasValue()",
        "optional.of('abcdefgh')" + ".optMap(l, l + l)" * 60 + ".hasValue()",
        "optional.of('aaaaaaaa')" + ".optMap(l, l.replace('a', 'aaaaaaaa'))" * 60 + ".hasValue()",
        "optional.of([1])" + ".optMap(l, [l, l])" * 60 + " == optional.of([1])" + ".optMap(l, [l, l])" * 60,
        "optional.of(1)" + ".optMap(l, {l: l})" * 60 + ".hasValue()",
        "lists.range(1000000000).size() > 0",
        "lists.range(2000).distinct().size() > 0",
        f"'%s'.format([{LARGE}])",
        f"dyn({EMPTY}).flatten(100)",
        f"optional.of({LARGE}).optMap(l, lists.range(100000).all(i, l == [l]))",
        f"{SMALL}.optMap(l, lists.range(100000).all(i, l == l))",
        f"{SMALL}.optMap(l, lists.range(100000).all(i, l in [l]))",
        f"{SMALL}.optMap(l, lists.range(100000).all(i, '%s'.format([l]) != ''))",
        "optional.of([optional.none()])" + ".optMap(l, l + l)" * 20 + ".optMap(l, lists.range(100000).all(i, "
        "optional.unwrap(l).size() == 0))",
        "lists.range(100).all(i, !'x'.matches('(\\\\pL{30}){10}' + string(i)))",
        "optional.of('aaaaaaaa')" + ".optMap(l, l + l)" * 15 + ".optMap(l, url('/?' + l))"
        ".optMap(u, lists.range(100000).all(i, u.getQuery().size() == 1))",
    ],
)
def test_nothing_is_done_without_an_end(expression: str) -> None:
    with pytest.raises((door.CostExceeded, door.EvaluationError, door.Unfit)):
        value(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (f"object[dyn({LARGE})]", "no such key: list"),
        (f"[?dyn({LARGE})]", "cannot initialize optional list element from non-optional value list"),
        (f"{{?'a': dyn({LARGE})}}", "cannot initialize optional entry 'a' from non-optional value list"),
        (f"{{?dyn({LARGE}): dyn(1)}}", "cannot initialize optional entry 'list' from non-optional value 1"),
        (f"[dyn({LARGE})].join()", "join: invalid input: list"),
        (f"optional.unwrap([dyn({LARGE})])", "value list is not optional"),
    ],
)
def test_messages_do_not_hold_what_is_larger_than_it_looks(expression: str, message: str) -> None:
    with pytest.raises(door.EvaluationError) as error:
        value(expression)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("url('http://℀.com/a').getHost()", "℀.com"),
        ("url('HTTP://a]b/?c=d').getScheme() + url('HTTP://a]b/?c=d').getQuery()['c'][0]", "httpd"),
        ("url('/?a=1&b=2;c=3&d=%zz&e=%41+&a=').getQuery() == {'a': ['1', ''], 'e': ['A ']}", True),
        ("isURL('http://[zz]/')", True),
        ("isSemver('1.0.0-' + string(18446744073709551615u))", True),
        (f"isSemver('1.0.0-{'9' * 5000}')", False),
        (f"isIP('1.2.3.{'9' * 5000}') || isIP('1.2.3.²') || isCIDR('1.2.3.4/{'9' * 5000}')", False),
        ("'a' < 'b' && 'Z' < 'a' && 'z' < 'é' && '\uffff' < '\U0001f600'", True),
        ("dyn([[[1]], [[2], []]]).flatten(1) == [[1], [2], []] && [[], [1, 2]].flatten() == [1, 2]", True),
    ],
)
def test_odd_texts_have_values(expression: str, wanted: Any) -> None:
    assert value(expression) == wanted


def test_a_budget_is_shared_by_expressions() -> None:
    budget = door.Budget(20)
    program = door.compile("x == 4 && x < 5", ENV)
    for _ in range(3):
        assert program.evaluate({"x": 4}, budget) is True
    assert 0 < budget.spent <= 20
    with pytest.raises(door.CostExceeded):
        for _ in range(10):
            program.evaluate({"x": 4}, budget)


@pytest.mark.parametrize(
    "expression", ["(" * 3000 + "1" + ")" * 3000, "[" * 3000, "!" * 50000 + "true", "x" + ".a" * 5000]
)
def test_nesting_is_bounded(expression: str) -> None:
    try:
        door.compile(expression, ENV)
    except door.Unfit as refused:
        assert "limit" in str(refused) or "mismatched" in str(refused)


def test_reading_takes_time_in_proportion() -> None:
    with pytest.raises(door.Unfit, match="expression code point size exceeds limit"):
        door.compile("1" + " + 1" * 30000, ENV)
    with pytest.raises(door.Unfit):
        door.compile("'" * 50001, ENV)
    began = time.process_time()
    door.compile("&&".join(["1 == 1"] * 500), ENV)
    once = time.process_time() - began
    began = time.process_time()
    door.compile("&&".join(["1 == 2"] * 4000), ENV)
    # Eight times the length; were anything squared in it, it would be 64 times the work.
    assert time.process_time() - began < 24 * once


def test_large_types_are_not_gone_through_for_each_name() -> None:
    nested = f"optional.of({'[' * 150}1{']' * 150}).optMap(a, {{}}).value()"
    flat = "optional.of([1]).optMap(a, {}).value()"
    taken = []
    for form in (flat, nested):
        began = time.process_time()
        door.compile(form.format(" && ".join(["a == a"] * 1000)), ENV)
        taken.append(time.process_time() - began)
    # The type is 150 times as deep.
    assert taken[1] < 5 * taken[0]


def test_patterns_are_bounded_together() -> None:
    heavy = " && ".join(f"'x'.matches('(\\\\pL{{30}}){{4}}{number}')" for number in range(300))
    with pytest.raises(door.Unfit, match="patterns are too large"):
        door.compile(heavy, ENV)


def test_several_threads_compile_deep_expressions_at_once() -> None:
    deep = "(" * 200 + "x" + ")" * 200 + "".join(f" + {number}" for number in range(200))
    with ThreadPoolExecutor(4) as threads:
        programs = list(threads.map(lambda number: door.compile(f"{deep} + {number}", ENV), range(24)))
    assert [program.evaluate({"x": 1}) for program in programs] == [1 + sum(range(200)) + n for n in range(24)]
    assert sys.getrecursionlimit() < 12_000


class Fields:
    """One type with one field."""

    def known(self, name: str) -> bool:
        return name == "Pod"

    def field(self, name: str, field: str) -> Type | None:
        return BOOL if field == "ready" else None


def test_objects_have_the_fields_of_their_types() -> None:
    environment = door.environment({"pod": object_type("Pod")}, Fields())
    assert door.compile("pod.ready", environment).type == BOOL
    assert door.compile("Pod{ready: true}.ready", environment).evaluate({}) is True
    with pytest.raises(door.Unfit, match="undefined field 'red'"):
        door.compile("pod.red", environment)
    with pytest.raises(door.Unfit, match="expected type of field 'ready' is 'bool' but provided type is 'int'"):
        door.compile("Pod{ready: 1}", environment)


@pytest.mark.parametrize("expression", ["int('a')", "'a'.find('(')", "bool('yes')", "uint(-1)"])
def test_literals_that_cannot_be_read_are_told_before_anybody_asks(expression: str) -> None:
    with pytest.raises(door.Uninstantiable):
        door.compile(expression, ENV)
