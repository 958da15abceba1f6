"""Our chains in the kernel's legacy tables, left from a time when this host's iptables was the legacy back end."""

from __future__ import annotations

import logging
from pathlib import Path

from apimachinery.kit.iptables_legacy import LegacyError, LegacyTables
from netproxy.ground import Ground
from netproxy.iptables.base import KUBE, Layout
from netproxy.model import Family

log = logging.getLogger(__name__)


def clean(ground: Ground, netns: Path | None, layout: Layout = KUBE) -> None:
    """Remove them, and the jumps to them; another kube-proxy's stay. Blocks; failures are logged.

    Hosts without legacy tables pay one look into /proc.
    """
    tables = LegacyTables(ground.family is Family.IPV6, netns)
    try:
        present = {table: tables.chains(table) for table in layout.tables}
        if not any(layout.owner in chains for chains in present.values()):
            return
        for table, chains in present.items():
            removed = tables.remove(table, [chain for chain in chains if layout.is_ours(table, chain, ground)])
            log.info("removed %d %s chains from the legacy table %s", removed, ground.family.title, table)
    except LegacyError as error:
        log.warning("%s; rules of ours in legacy tables, if any, stay in force", error)
