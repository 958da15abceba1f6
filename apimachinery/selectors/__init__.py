"""Label selectors and field selectors: their text forms, their object form, and whether something matches.

Owns the grammar of the `labelSelector` and `fieldSelector` query parameters, with upstream's texts for what it refuses.
Must never know which fields a kind offers to select by.

Reading order: `labels`, `labeltext`, `fields`.
"""

from apimachinery.selectors.errors import SelectorError
from apimachinery.selectors.fields import FieldRequirement, FieldSelector, check_fields, parse_fields
from apimachinery.selectors.labels import (
    EVERYTHING,
    NOTHING,
    LabelSelector,
    Requirement,
    from_label_selector,
    from_map,
)
from apimachinery.selectors.labeltext import check_labels, parse_labels

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "FieldRequirement",
    "FieldSelector",
    "LabelSelector",
    "Requirement",
    "SelectorError",
    "check_fields",
    "check_labels",
    "from_label_selector",
    "from_map",
    "parse_fields",
    "parse_labels",
]
