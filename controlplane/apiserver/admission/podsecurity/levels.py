"""Levels, versions and what a namespace's labels make of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from apimachinery import errors
from apimachinery.errors import FieldError

PRIVILEGED, BASELINE, RESTRICTED = LEVELS = ("privileged", "baseline", "restricted")
PREFIX = "pod-security.kubernetes.io/"
LATEST = 1 << 30
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]{0,17})", re.ASCII)
_WRONG_LEVEL = f"must be one of {', '.join(LEVELS)}"
_WRONG_VERSION = 'must be "latest" or "v1.x"'


@dataclass(frozen=True)
class LevelVersion:
    """minor: the version's second number, LATEST for the newest."""

    level: str = PRIVILEGED
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"

    def amounts_to(self, other: LevelVersion) -> bool:
        return self == other or (self.level == other.level == PRIVILEGED)


@dataclass(frozen=True)
class Policy:
    """What is enforced, what is noted for audits and what is warned about."""

    enforce: LevelVersion = LevelVersion()
    audit: LevelVersion = LevelVersion()
    warn: LevelVersion = LevelVersion()

    @property
    def open(self) -> bool:
        return self.enforce.level == self.audit.level == self.warn.level == PRIVILEGED

    def amounts_to(self, other: Policy) -> bool:
        pairs = ((self.enforce, other.enforce), (self.audit, other.audit), (self.warn, other.warn))
        return all(one.amounts_to(another) for one, another in pairs)


def stricter(one: str, other: str) -> bool:
    return LEVELS.index(one) > LEVELS.index(other)


def policy_of(labels: Mapping[str, str], defaults: Policy) -> tuple[Policy, list[FieldError]]:
    """The policy that labels ask for over the defaults, and what is wrong with them.

    A wrong level enforces restricted and neither warns nor annotates; a wrong version is the latest.
    """
    found: list[FieldError] = []
    policy = defaults
    if not any(key.startswith(PREFIX) for key in labels):
        return policy, found
    for mode, fallback in (("enforce", RESTRICTED), ("audit", PRIVILEGED), ("warn", PRIVILEGED)):
        chosen: LevelVersion = getattr(policy, mode)
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None:
            known = level in LEVELS
            chosen = replace(chosen, level=level if known else fallback)
            if not known:
                found.append(errors.invalid(f"metadata.labels[{PREFIX}{mode}]", level, _WRONG_LEVEL))
        if version is not None:
            minor = _minor(version)
            chosen = replace(chosen, minor=LATEST if minor is None else minor)
            if minor is None:
                found.append(errors.invalid(f"metadata.labels[{PREFIX}{mode}-version]", version, _WRONG_VERSION))
        policy = replace(policy, **{mode: chosen})
    if PREFIX + "warn" not in labels and labels.get(PREFIX + "enforce") in LEVELS:
        policy = _warned_as_enforced(policy, PREFIX + "warn-version" in labels)
    return policy, found


def _warned_as_enforced(policy: Policy, own_version: bool) -> Policy:
    """Who enforces more than is warned about is warned about that, too."""
    if not stricter(policy.enforce.level, policy.warn.level):
        return policy
    minor = policy.warn.minor if own_version else policy.enforce.minor
    return replace(policy, warn=LevelVersion(policy.enforce.level, minor))


def parse(level: str, version: str) -> LevelVersion:
    """A setting's level and version. Raises ValueError."""
    minor = _minor(version)
    if level not in LEVELS or minor is None:
        raise ValueError(f"pod security {level}:{version}: {_WRONG_LEVEL}, the version {_WRONG_VERSION}")
    return LevelVersion(level, minor)


def _minor(version: str) -> int | None:
    if version == "latest":
        return LATEST
    match = _VERSION.fullmatch(version)
    return int(match[1]) if match else None
