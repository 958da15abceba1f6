"""What is read a piece at a time is what the library reads at once, wherever the cuts fall."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import Any

import orjson
import pytest

from apimachinery import jsonpieces, jsontext
from apimachinery.schema import duplicate_fields
from apimachinery.schema.duplicates import merged_repeats

DEPTH = 254
TEXTS = (1, -2.5, None, True, 'a"b\\', "é,[]{}:", "\\", "", "long " * 9)
NOISE = (b",", b'"', b"[", b"]", b"{", b"}", b":", b" ", b"\\", b"1", b'"a":1,', b'\\"')


def some(chance: random.Random, depth: int) -> Any:
    count = chance.choice((0, 1, 2, 3, 8)) if depth else -1
    if count < 0 or chance.random() < 0.4:
        return chance.choice(TEXTS)
    if chance.random() < 0.5:
        return [some(chance, depth - 1) for _ in range(count)]
    return {f'{chance.choice(("k", "q", "["))}"{n}': some(chance, depth - 1) for n in range(count)}


def spoilt(chance: random.Random, text: bytes) -> bytes:
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(NOISE) + text[at + chance.choice((0, 1)) :]
    return text


def has_repeats(text: bytes) -> bool:
    found = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found.append(len(dict(pairs)) != len(pairs))
        return dict(pairs)

    json.loads(text, object_pairs_hook=look)
    return any(found)


@pytest.mark.parametrize("piece", [1, 7, 40, 400])
def test_any_text_is_read_as_a_whole_one_or_refused_as_one(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonpieces, "PIECE", piece)
    chance, read = random.Random(piece), 0
    for _ in range(400):
        text = spoilt(chance, json.dumps([some(chance, 4)], indent=chance.choice((None, 1))).encode())
        try:
            wanted = orjson.loads(text)
        except orjson.JSONDecodeError:
            with pytest.raises((jsonpieces.Broken, orjson.JSONDecodeError)):
                jsonpieces.loads(text, DEPTH)
            continue
        found, repeats = jsonpieces.told(text, DEPTH)
        assert orjson.dumps(jsonpieces.loads(text, DEPTH)) == orjson.dumps(found)
        assert orjson.dumps(found) == orjson.dumps(wanted), text
        assert repeats or not has_repeats(text), text
        read += 1
    assert read > 100


BROKEN = r"""
[1,,2]
[1,2
[1,2}
{"a":[1]"b":2}
[[1]2]
[[1],]
[1]]
[1] 2
["a
["\"
[ ,1]
{"a" 1}
{"a":1,}
{"a":[1],}
{:[1]}
{"a":"b":[1]}
1
{"a":[1],"b"}
[[1],[2]
"""


@pytest.mark.parametrize("text", ["", " ", *BROKEN.split("\n")[1:-1]])
def test_what_is_no_json_is_refused_wherever_it_is_cut(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for piece in range(1, 9):
        monkeypatch.setattr(jsonpieces, "PIECE", piece)
        with pytest.raises((jsonpieces.Broken, orjson.JSONDecodeError)):
            jsonpieces.loads(text.encode(), DEPTH)


def test_depth_is_bounded() -> None:
    jsonpieces.loads(b"[" * 5 + b"]" * 5, 5)
    with pytest.raises(jsonpieces.TooDeep):
        jsonpieces.loads(b"[" * 6 + b"]" * 6, 5)
    with pytest.raises(jsontext.JsonError, match="exceeded max depth"):
        jsontext.loads(b"[" * jsontext.LARGE)


def test_quotes_that_never_end_cost_no_more_than_their_length() -> None:
    """Looked at from each of them to the end, 300 KB would take minutes."""
    with pytest.raises(jsonpieces.Broken):
        jsonpieces.loads(b'["' + b'\\"' * 150_000, DEPTH)


def large(**more: Any) -> bytes:
    return orjson.dumps({**{f"k{n}": {"a": n} for n in range(16_000)}, **more})


def test_a_large_text_is_forgiven_what_a_small_one_is() -> None:
    odd = large()[:-1] + b',"x":"\xff","y":"\\ud800","z":"\\ud83d\\ude00"}'
    assert len(odd) > jsontext.LARGE
    small = jsontext.loads(b'{"x":"\xff","y":"\\ud800","z":"\\ud83d\\ude00"}')
    read = jsontext.loads(odd)
    assert {key: read[key] for key in "xyz"} == small
    with pytest.raises(jsontext.JsonError, match="invalid character '}' looking for beginning of object key string"):
        jsontext.loads(large()[:-1] + b",}")


def test_keys_said_twice_in_a_large_text_are_told_and_merged() -> None:
    text = large()[:-1] + b',"k0":{"b":1,"b":2},"k5":7}'
    value, repeats = jsontext.told(text)
    assert repeats and not jsontext.told(large())[1]
    assert duplicate_fields(text) == ("k0", "k0.b", "k5")
    assert value["k0"] == {"b": 2} and merged_repeats(text)["k0"] == {"a": 0, "b": 2}


@pytest.mark.parametrize("hiding", ["\\u0022:", "\\u003a", "\\u003A", "\\u0020:"])
def test_a_string_that_looks_like_a_key_once_read_hides_none_said_twice(hiding: str) -> None:
    for text in (b'{"a":1,"a":2,"b":"%b"}' % hiding.encode(), large()[:-1] + b',"k0":7,"b":"%b"}' % hiding.encode()):
        assert jsontext.told(text)[1]
        assert duplicate_fields(text)


def test_others_have_their_turn_while_a_large_text_is_read() -> None:
    """Counted, not timed: a library that kept the interpreter would leave the other thread a turn or two."""
    text, done, turns = b"[" + b",".join([b'{"b":1}'] * 60_000) + b"]", threading.Event(), 0

    def read() -> None:
        jsontext.loads(text)
        done.set()

    reader = threading.Thread(target=read)
    reader.start()
    while not done.is_set():
        time.sleep(0)
        turns += 1
    reader.join()
    assert turns > 10
