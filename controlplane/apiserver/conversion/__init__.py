"""Objects stored under one version of their kind, shown and taken under another.

Owns the conversions between the served versions of a kind, which lose nothing: what a version has no field for
travels in annotations, as upstream's conversions have it. Pure; nothing given is changed unless said. Must never
default or validate. Reading order: `table`, then one module per group.
"""

from controlplane.apiserver.conversion.table import convert, stored, versions

__all__ = ["convert", "stored", "versions"]
