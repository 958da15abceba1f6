"""The words that rows are written in. Each says one thing of one or more fields of a type.

A text is empty and a number zero where it is absent, as upstream's types have it; a rule that tells an absent
value from an empty one says so.
"""

from controlplane.apiserver.rules.words.amounts import (
    at_most,
    between,
    bounded,
    distinct,
    more_than_nothing,
    not_negative,
    ports,
)
from controlplane.apiserver.rules.words.presence import forbidden, immutable, required, union
from controlplane.apiserver.rules.words.structs import changed, created, hook, sound, when
from controlplane.apiserver.rules.words.texts import (
    any_form,
    by_path,
    enum,
    form,
    forms,
    labels,
    longest,
    name,
    strict_form,
    unique,
)

__all__ = [
    "any_form",
    "at_most",
    "between",
    "bounded",
    "by_path",
    "changed",
    "created",
    "distinct",
    "enum",
    "forbidden",
    "form",
    "forms",
    "hook",
    "immutable",
    "labels",
    "longest",
    "more_than_nothing",
    "name",
    "not_negative",
    "ports",
    "required",
    "sound",
    "strict_form",
    "union",
    "unique",
    "when",
]
