"""What a component of the cluster may not do is a fault of its role or of its code: it is told once in the log.

Its users hear of nothing but work that is not done, and a component that tries again and again would hide it.
"""

from __future__ import annotations

import logging

from controlplane.apiserver.authn.user import ANONYMOUS_NAME, SERVICE_ACCOUNT_PREFIX
from controlplane.apiserver.request import User

log = logging.getLogger(__name__)

REMEMBERED = 1000
OWN_ACCOUNTS = f"{SERVICE_ACCOUNT_PREFIX}kube-system:"
# A kubelet hears of a pod's end later than the server: then it asks for what it may no longer see.
LATE = "no relationship found between node"


def is_component(user: User) -> bool:
    """Whether a user is a part of the cluster: upstream's names for them, nodes, and accounts in kube-system."""
    if user.name.startswith(SERVICE_ACCOUNT_PREFIX):
        return user.name.startswith(OWN_ACCOUNTS)
    return user.name.startswith("system:") and user.name != ANONYMOUS_NAME


class Refusals:
    """Notes each refusal once, as long as it remembers it."""

    def __init__(self) -> None:
        self._told: dict[str, None] = {}

    def note(self, user: User, message: str) -> None:
        if not is_component(user) or LATE in message or message in self._told:
            return
        if len(self._told) >= REMEMBERED:
            self._told.pop(next(iter(self._told)))
        self._told[message] = None
        log.warning("component refused: %s", message)
