import pytest

from apimachinery.manifests import ManifestError, load_told, load_value


def test_keys_are_texts_as_json_would_print_them() -> None:
    text = "n: y\nTrue: 1\n1: b\n1.5: c\n2001-01-01: 2001-01-02\n~: d\n"
    assert load_value(text) == {"false": True, "true": 1, "1": "b", "1.5": "c", "2001-01-01": "2001-01-02", "null": "d"}


def test_only_the_first_document_counts_and_no_document_is_none() -> None:
    assert load_value("---\na: 1\n---\nb: 2\n") == {"a": 1}
    assert load_value("") is None and load_value("# nothing\n") is None


def test_repeated_keys_are_told_with_their_lines_and_merges_are_no_repetition() -> None:
    value, repeated = load_told("a: &x {b: 1}\nc:\n  <<: *x\n  b: 2\n  d: 1\n  d: 2\na: 3\n")
    assert value == {"a": 3, "c": {"b": 2, "d": 2}}
    assert repeated == ('line 7: key "a" already set in map', 'line 6: key "d" already set in map')


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "yaml: line 1: did not find expected node content"),
        ('{"a":"\\ud800"}', "yaml: found invalid Unicode character escape code"),
        ('a: "\\xZZ"', "yaml: did not find expected hexdecimal number"),
        ("a: b\x07", "yaml: control characters are not allowed"),
        (b"a: \xff", "yaml: invalid leading UTF-8 octet"),
        ("{\n", "yaml: line 1: did not find expected node content"),
        ("a: b: c\n", "yaml: mapping values are not allowed in this context"),
        ("\tx: 1\n", "yaml: found character that cannot start any token"),
        ("x: 1\n\ty: 2\n", "yaml: line 2: found a tab character that violates indentation"),
        ("a: &a [*a]", "yaml: anchor value contains itself"),
        ("a: *b", "yaml: unknown anchor"),
        ("? [a]\n: b", "yaml: invalid map key"),
    ],
)
def test_errors_are_told_as_upstream_tells_them(text: str | bytes, told: str) -> None:
    with pytest.raises(ManifestError) as refused:
        load_value(text)
    assert str(refused.value) == told
