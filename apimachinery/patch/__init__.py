"""The three patches that need no field ownership: JSON patch, merge patch and strategic merge patch.

Owns reading a patch body and working out the new object from the old one. Everything is pure: neither argument is
changed and the result shares nothing with them. Must never look at the store, defaults or validation; what comes out
still has to pass the schema's check. Failures are `ApiError`s with upstream's code, reason and text.

Reading order: `body` (from bytes), `jsonpatch` (RFC 6902), `merge` (RFC 7386), `strategic` with `order` and
`directives`, `complaints` (about the patch's text), `told` (the result in a refusal).
"""

from apimachinery.patch.body import decode_json_patch, decode_merge_patch, decode_strategic_merge
from apimachinery.patch.jsonpatch import Untrue, json_patch
from apimachinery.patch.merge import merge_patch
from apimachinery.patch.strategic import strategic_merge
from apimachinery.patch.told import Reached, by_json_patch, by_merge, told

__all__ = [
    "Reached",
    "Untrue",
    "by_json_patch",
    "by_merge",
    "decode_json_patch",
    "decode_merge_patch",
    "decode_strategic_merge",
    "json_patch",
    "merge_patch",
    "strategic_merge",
    "told",
]
