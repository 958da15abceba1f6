"""API objects as YAML text, in the block style and with the quoting that Kubernetes' own YAML has."""

from __future__ import annotations

import re
from typing import Any

import yaml

# What YAML 1.1, YAML 1.2 or Kubernetes' reader may take for something else than a string. Anything that begins
# like a number is quoted, times and versions among it.
_AMBIGUOUS = re.compile(r"[-+.]?[0-9]|[-+.~=]|(?:y|n|yes|no|on|off|true|false|null)\Z", re.IGNORECASE)


_NO_FOLDING = 1 << 30


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Strings that could be read as something else are quoted, those of several lines are literal blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        """The same value twice is written twice: JSON has no anchors."""
        return True


def _text(dumper: _Dumper, value: str) -> Any:
    block = "\n" in value and not value[0].isspace()
    style = '"' if _AMBIGUOUS.match(value) else "|" if block else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dumps(value: Any) -> bytes:
    """One document, keys sorted, without a marker before or after it."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=_NO_FOLDING, sort_keys=True
    )
    return text.removesuffix("...\n").encode()
