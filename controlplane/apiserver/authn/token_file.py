"""The static token file: one CSV line per token, `token,user,uid,"group1,group2"` (groups optional)."""

from __future__ import annotations

import csv
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from controlplane.apiserver.request import User


class TokenFileError(Exception):
    """The token file cannot be used; the message names the line."""


def parse(lines: Iterable[str]) -> dict[str, User]:
    """Token -> user. Empty lines and lines starting with '#' are skipped; a token may appear once."""
    users: dict[str, User] = {}
    kept = (line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    for number, row in enumerate(csv.reader(kept, skipinitialspace=True), start=1):
        if len(row) < 3:
            raise TokenFileError(f"entry {number}: need token,user,uid[,groups], found {len(row)} fields")
        token, name, uid = (field.strip() for field in row[:3])
        if not token or not name:
            raise TokenFileError(f"entry {number}: token and user must not be empty")
        if token in users:
            raise TokenFileError(f"entry {number}: the token of user {name!r} appears twice")
        groups = tuple(g.strip() for g in row[3].split(",") if g.strip()) if len(row) > 3 else ()
        users[token] = User(name, uid, groups)
    return users


def load(path: Path) -> dict[str, User]:
    """Read and parse the file; OSError and `TokenFileError` are the caller's to report."""
    return parse(path.read_text(encoding="utf-8").splitlines())


def find(users: Mapping[str, User], token: str) -> User | None:
    """Compare with every entry in constant time, so that the answer's delay tells nothing about a token."""
    found = None
    presented = token.encode()
    for known, user in users.items():
        if hmac.compare_digest(known.encode(), presented):
            found = user
    return found
