"""A reference caller: runs a configuration list's plugins as specification sections 3 and 4 tell a runtime
to.

For tests, the lab and benchmarks. `prefix` starts every plugin, for example inside a node's namespace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apimachinery.kit import command
from cni import types
from cni.types import CniError, Result

Conflist = Mapping[str, Any]


@dataclass(frozen=True)
class Attachment:
    """What is joined to the network. `capabilities` are given to the plugins that declare them
    (portMappings, ...).
    """

    container_id: str
    netns: str
    ifname: str = "eth0"
    arguments: str = ""
    capabilities: Mapping[str, Any] = field(default_factory=dict)


class Caller:
    """Calls plugins found in `bin_dirs`. Failures are CniError as the plugin wrote them."""

    def __init__(self, bin_dirs: Sequence[Path], prefix: Sequence[str] = (), timeout: float = 60.0) -> None:
        self._bin_dirs = tuple(bin_dirs)
        self._prefix = tuple(prefix)
        self._timeout = timeout

    async def add(self, network: Conflist, what: Attachment) -> Result:
        result: Result | None = None
        for plugin in network["plugins"]:
            result = await self._call("ADD", network, plugin, what, result)
        return result or {}

    async def delete(self, network: Conflist, what: Attachment, result: Result | None = None) -> None:
        """In reverse order, each given the result the whole ADD had."""
        for plugin in reversed(network["plugins"]):
            await self._call("DEL", network, plugin, what, result)

    async def check(self, network: Conflist, what: Attachment, result: Result) -> None:
        for plugin in network["plugins"]:
            await self._call("CHECK", network, plugin, what, result)

    async def gc(self, network: Conflist, valid: Sequence[tuple[str, str]]) -> None:
        attachments = [{"containerID": c, "ifname": i} for c, i in valid]
        for plugin in network["plugins"]:
            given = {**plugin, "cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments}
            await self._call("GC", network, given, None, None)

    async def status(self, network: Conflist) -> None:
        for plugin in network["plugins"]:
            await self._call("STATUS", network, plugin, None, None)

    async def version(self, plugin: str) -> dict[str, Any]:
        environment = {"CNI_COMMAND": "VERSION"}
        return await self.execute(plugin, environment, json.dumps({"cniVersion": types.LATEST}).encode()) or {}

    async def execute(self, plugin: str, environment: Mapping[str, str], stdin: bytes) -> dict[str, Any] | None:
        """One run of one executable; its decoded output, None when it printed nothing."""
        path = next((p for d in self._bin_dirs if (p := d / plugin).is_file()), None)
        if path is None:
            raise CniError(types.INVALID_CONFIG, f'failed to find plugin "{plugin}"')
        done = await command.run(
            [*self._prefix, str(path)], stdin=stdin, timeout=self._timeout, check=False, env=environment
        )
        if done.returncode == 0:
            return dict(json.loads(done.stdout)) if done.stdout.strip() else None
        try:
            said = json.loads(done.stdout)
        except ValueError:
            raise CniError(types.INTERNAL, f"{plugin} failed", done.stderr.decode(errors="replace")) from None
        raise CniError(said["code"], said["msg"], said.get("details", ""))

    async def _call(
        self,
        name: str,
        network: Conflist,
        plugin: Mapping[str, Any],
        what: Attachment | None,
        result: Result | None,
    ) -> Result | None:
        config = {k: v for k, v in plugin.items() if k != "capabilities"}
        config |= {"name": network["name"], "cniVersion": network["cniVersion"]}
        if result is not None:
            config["prevResult"] = result
        environment = {
            "CNI_COMMAND": name,
            "CNI_PATH": ":".join(map(str, self._bin_dirs)),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        if what is not None:
            wanted = plugin.get("capabilities") or {}
            runtime = {k: v for k, v in what.capabilities.items() if wanted.get(k)}
            if runtime:
                config["runtimeConfig"] = runtime
            environment |= {
                "CNI_CONTAINERID": what.container_id,
                "CNI_NETNS": what.netns,
                "CNI_IFNAME": what.ifname,
                "CNI_ARGS": what.arguments,
            }
        return await self.execute(plugin["type"], environment, json.dumps(config).encode())
