"""`$(NAME)` in commands, arguments, variables and sub-paths. Pure.

Source: https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/ .
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from agent.failures import ConfigError

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")


def expand(text: str, lookup: Callable[[str], str | None]) -> str:
    """`$(NAME)` replaced where known and left alone where not; `$$` is a literal dollar sign."""

    def substitute(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        value = lookup(match.group(2))
        return match.group(0) if value is None else value

    return _REFERENCE.sub(substitute, text)


def expand_all(texts: Iterable[str], env: Mapping[str, str]) -> list[str]:
    """Expansion of command or args against the finished environment."""
    return [expand(text, env.get) for text in texts]


def expand_strictly(text: str, env: Mapping[str, str]) -> str:
    """Expansion of subPathExpr: an unknown variable is an error, not left as it is."""
    missing: list[str] = []

    def lookup(name: str) -> str | None:
        if name not in env:
            missing.append(name)
        return env.get(name)

    expanded = expand(text, lookup)
    if missing:
        raise ConfigError(f'missing value for "{missing[0]}"')
    return expanded
