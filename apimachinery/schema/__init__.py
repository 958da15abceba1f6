"""What fields every built-in kind has: checking, pruning, canonical values and merge rules, from the published
definitions.

Owns the reading of the OpenAPI definitions of v1.36 (shipped by the `kubernetes-validate` distribution, read once,
never imported) and everything that follows from a field's type: wrong types and unknown fields as upstream reports
them, and which lists merge by which key. Must never know a kind by name: defaults and validation rules live with the
API server.

Reading order: `node` (one field's type), `definitions` (where types come from), `walker` (the quick pass over an
object), `diagnosis` (the slow pass that finds the words when the quick one stumbles), `scalars`,
`duplicates`, `amounts`.
"""

from apimachinery.schema.amounts import as_before
from apimachinery.schema.definitions import Schema, SchemaMissing
from apimachinery.schema.diagnosis import Findings
from apimachinery.schema.duplicates import as_met, duplicate_fields, merged_repeats
from apimachinery.schema.node import Node, short
from apimachinery.schema.walker import Walker

__all__ = [
    "Findings",
    "Node",
    "Schema",
    "SchemaMissing",
    "Walker",
    "as_before",
    "as_met",
    "duplicate_fields",
    "merged_repeats",
    "short",
]
