"""Objects stored under one version of their kind, shown and taken under another.

Owns the conversions between the served versions of a kind, which lose nothing: what a version has no field for
travels in annotations, as upstream's conversions have it. Pure; nothing given is changed unless said. Must never
default or validate, nor know which kinds have one: that is in a kind's row (resources/), and the catalog converts.
Reading order: `conversion`, then one module per group.
"""

from controlplane.apiserver.conversion.conversion import Conversion

__all__ = ["Conversion"]
