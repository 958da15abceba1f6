"""NetworkPolicies as a part of the proxy's process: its informers, and when it writes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from apimachinery import errors
from apimachinery.client import Client
from apimachinery.informer import Informer
from apimachinery.kinds import NAMESPACE, NETWORK_POLICY, POD
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.kit.nft import NftError
from apimachinery.kit.runner import BoundedFrequencyRunner
from apimachinery.objects import Obj
from netproxy.ground import Ground
from netproxy.policy import views
from netproxy.policy.addresses import PodAddresses
from netproxy.policy.enforcer import Enforcer
from netproxy.policy.model import cluster_dns
from netproxy.policy.shortfall import Event, Shortfall, of_bridges, of_mode
from netproxy.policy.tracker import PolicyTracker

log = logging.getLogger(__name__)
_PAUSE, _RETRY, _SAFETY_NET = 0.005, 1.0, 30.0
"""seconds: between two writes, after a failed one, at least this often"""
_RIGHTS = "rights"


class NetworkPolicies:
    """One per node. Pods and namespaces are watched from the first policy on: clusters without one pay for none."""

    def __init__(
        self,
        client: Client,
        grounds: tuple[Ground, ...],
        node: str,
        nodes: Informer,
        results: Path,
        tell: Event,
        mode: str = "",
    ) -> None:
        """`nodes` follows this host's Node; `results`: where CNI's library keeps what pods got; `tell` writes events;
        `mode`: how Services get to their endpoints."""
        self._mode = mode
        self._runner = BoundedFrequencyRunner(
            self._sync, min_interval=_PAUSE, max_interval=_SAFETY_NET, retry_interval=_RETRY
        )
        dns = cluster_dns(ip for ground in grounds for ip in ground.local_vips)
        self._tracker = PolicyTracker(node, self._trigger, (dns,) if dns.ips else ())
        self._enforcer = Enforcer(self._tracker, grounds)
        self._families = tuple(ground.family for ground in grounds)
        self._shortfall = Shortfall(node, tell)
        self._refusal = ""
        self._policies = Informer(client, NETWORK_POLICY, on_refused=self._refused)
        self._policies.add_handler(self._tracker.policy_changed)
        self._policies.add_handler(self._policy_changed)
        pods = Informer(client, POD, transform=views.trim_pod, on_refused=self._refused)
        pods.add_handler(self._tracker.pod_changed)
        namespaces = Informer(client, NAMESPACE, transform=views.trim_namespace, on_refused=self._refused)
        namespaces.add_handler(self._tracker.namespace_changed)
        self._others = (namespaces, pods)
        self._addresses = PodAddresses(results, self._tracker.told_addresses)
        self._lifecycle: Lifecycle
        self._watching = False
        self._nodes = nodes
        nodes.add_handler(self._node_changed)

    async def start(self, lifecycle: Lifecycle) -> None:
        """Spawn the workers. A kernel without nftables enforces nothing: the log and each policy's events say so."""
        self._lifecycle = lifecycle
        lifecycle.push("network policies", self._close)
        lifecycle.spawn("informer networkpolicies", self._policies.run())
        try:
            await self._enforcer.open()
        except NftError as error:
            reason = next(iter(error.message.splitlines()), "")
            self._shortfall.found(f"not enforced at all: {reason}", self._policies.items())
            return
        lifecycle.spawn("network policies", self._run())

    async def _run(self) -> None:
        await asyncio.gather(self._policies.wait_synced(), self._nodes.wait_synced())
        self._trigger()
        watching = asyncio.ensure_future(self._enforcer.watch(self._lost))
        pacing = asyncio.ensure_future(self._runner.run())
        try:
            await asyncio.gather(watching, pacing)
        finally:
            watching.cancel()
            pacing.cancel()

    async def _sync(self) -> None:
        if self._tracker.policies and not self._watching:
            self._watching = True
            self._lifecycle.spawn("addresses of pods", self._addresses.run())
            for informer in self._others:
                self._lifecycle.spawn(f"informer {informer.kind.plural}", informer.run())
        if self._watching:
            # Rules of an earlier process stay in force meanwhile.
            await asyncio.gather(*(informer.wait_synced() for informer in self._others))
        await self._enforcer.sync()
        self._readable()
        if self._tracker.policies:
            problems = filter(None, (of_mode(self._mode), of_bridges(self._families)))
            self._shortfall.found("; ".join(problems), self._policies.items())

    def _policy_changed(self, old: Obj | None, new: Obj | None) -> None:
        # One that is read for the first time must not be told of what is over.
        self._readable()
        self._shortfall.policy_changed(old, new)

    def _refused(self, error: errors.Forbidden) -> None:
        # What one is refused for all mostly are, and the remedy is the same.
        self._refusal = self._refusal or (
            f"not enforced, for they cannot be read: {error}. Let this proxy's user list and watch networkpolicies, "
            "pods and namespaces; or set network_policy to false, where others enforce them"
        )
        self._shortfall.found(self._refusal, self._policies.items(), _RIGHTS)

    def _readable(self) -> None:
        if self._refusal and not any(informer.is_refused for informer in (self._policies, *self._others)):
            self._refusal = ""
            self._shortfall.found("", self._policies.items(), _RIGHTS)

    def _node_changed(self, _old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._tracker.ranges_changed(views.node_ranges(new))

    def _trigger(self) -> None:
        self._runner.trigger()

    def _lost(self) -> None:
        self._enforcer.doubt()
        self._trigger()

    async def _close(self) -> None:
        self._enforcer.close()


async def remove(grounds: tuple[Ground, ...]) -> bool:
    """Take every rule of policies away; a kernel without nftables has none. False: it gave no answer in time."""
    enforcer = Enforcer(PolicyTracker("", lambda: None), grounds)
    try:
        await enforcer.remove()
    except NftError as error:
        log.info("no rules of NetworkPolicies removed: %s", error.message)
    except asyncio.TimeoutError:
        log.warning("rules of NetworkPolicies may still be there: the kernel gave no answer in time")
        return False
    finally:
        enforcer.close()
    return True


async def remove_until_gone(grounds: tuple[Ground, ...]) -> None:
    """`remove`, as often as it takes: rules nobody keeps up to date must not stay in force."""
    while not await remove(grounds):
        await asyncio.sleep(_RETRY)
