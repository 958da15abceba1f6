"""What informers tell, as changes of the cluster's picture and of the queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from apimachinery.informer import Handler, Informer
from apimachinery.objects import Obj, labels, name, uid
from controlplane.scheduler import extract
from controlplane.scheduler.changes import Change, Event, node_changes
from controlplane.scheduler.cluster import Cluster
from controlplane.scheduler.framework import Profile
from controlplane.scheduler.queue import Queue


class Watcher:
    """Holds cluster and queue up to date; `wake` is called when a pod may have become ready to be tried.

    `views`: the pods without a node that are ours, by uid, as they are now.
    """

    def __init__(
        self, cluster: Cluster, queue: Queue, profiles: Mapping[str, Profile], wake: Callable[[], None]
    ) -> None:
        self._cluster, self._queue = cluster, queue
        self._profiles, self.wake = profiles, wake
        self.views: dict[str, extract.Pod] = {}

    def watch(self, pods: Informer, nodes: Informer, namespaces: Informer, others: Mapping[Informer, Change]) -> None:
        """Be told of everything, also of what is there already; `others`: what a change of each is to a pod."""
        nodes.add_handler(self.on_node)
        namespaces.add_handler(self.on_namespace)
        for informer, change in others.items():
            informer.add_handler(self._teller(change))
        pods.add_handler(self.on_pod)

    def on_node(self, old: Obj | None, new: Obj | None) -> None:
        """The cluster's view of the node, and which refused pods the change may help."""
        if new is None:
            if old is not None:
                self._cluster.remove_node(name(old))
                self.changed(Event(Change.NODE_REMOVED))
            return
        view = extract.node(new)
        for event in node_changes(self._cluster.set_node(view), view):
            self.changed(event)

    def on_namespace(self, old: Obj | None, new: Obj | None) -> None:
        """Labels of namespaces choose pods for affinity terms."""
        self._cluster.set_space(name(new or old or {}), None if new is None else labels(new))
        if old is None or new is None or labels(old) != labels(new):
            self.changed(Event(Change.NAMESPACE))

    def on_pod(self, old: Obj | None, new: Obj | None) -> None:
        """A pod is counted on its node, waits in the queue, or is nobody's business here.

        A pod made anew under its name (another uid) is a removal and an arrival.
        """
        if old is not None and (new is None or uid(old) != uid(new)):
            self._forget(uid(old))
        if new is None:
            return
        known = self.views.get(uid(new)) or self._cluster.placed(uid(new))
        view = extract.pod(new) if old is None or known is None else extract.newer(new, old, known)
        if view is known:
            return
        if view.finished:
            self._forget(view.uid)
        elif view.node_name:
            self._placed(view)
        elif view.deleting:
            # It will not be scheduled any more; an unbound pod goes without a kubelet's word.
            self._forget(view.uid)
        elif view.profile in self._profiles:
            self._pending(view)

    def changed(self, event: Event) -> None:
        """Something happened that may help pods which wait."""
        if self._queue.changed(event, time.monotonic()):
            self.wake()

    def _teller(self, change: Change) -> Handler:
        return lambda old, new: self.changed(Event(change, was=old, now=new))

    def _pending(self, view: extract.Pod) -> None:
        before = self.views.get(view.uid)
        self.views[view.uid] = view
        if self._cluster.is_assumed(view.uid):
            return
        nominated = self._cluster.nominated
        if view.nominated:
            nominated.put(view, view.nominated)
        elif before is not None and before.nominated:
            nominated.drop(view.uid)
        if before is not None and not self._queue.holds(view.uid):
            # It is being tried; whoever tries it looks here for what it is now.
            return
        self._queue.add(view, time.monotonic())
        self.wake()

    def _placed(self, view: extract.Pod) -> None:
        self._queue.remove(view.uid)
        self.views.pop(view.uid, None)
        before = self._cluster.placed(view.uid)
        assumed = self._cluster.is_assumed(view.uid)
        self._cluster.place(view)
        if before is None:
            self.changed(Event(Change.POD_PLACED, pod=view))
        elif not assumed and (before.requests, before.labels, before.deleting) != (
            view.requests,
            view.labels,
            view.deleting,
        ):
            self.changed(Event(Change.POD_UPDATED, old=before, pod=view))

    def _forget(self, pod_uid: str) -> None:
        self._queue.remove(pod_uid)
        self.views.pop(pod_uid, None)
        self._cluster.nominated.drop(pod_uid)
        assumed = self._cluster.is_assumed(pod_uid)
        gone = self._cluster.remove(pod_uid)
        if gone is None:
            return
        if assumed:
            # It went on its way: what was kept for it is free, and nobody waits for it any more.
            for plugin in reversed(self._profiles[gone.profile].at("reserve")):
                plugin.unreserve(gone, gone.node_name)
        self.changed(Event(Change.POD_REMOVED, old=gone))
