"""Where one volume is to be attached and from where it may be taken. Pure: it is looked at again after every write."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from apimachinery.objects import Obj, condition_holds, is_deleting, name, namespace, uid
from controlplane.controllers import names
from controlplane.controllers.attachments.volumes import Volume
from controlplane.controllers.notes import Note


@dataclass(frozen=True)
class Place:
    """A node that has the volume or is to have it, or that is gone.

    `attachment`: its VolumeAttachment. `users`: pods there that use the volume. `since`: seconds for which nobody there
    has needed it. A node that is gone may have it mounted: nobody says that it has not.
    """

    node: str
    attachment: Obj | None = None
    users: Sequence[Obj] = ()
    mounted: bool = True
    healthy: bool = False
    out_of_service: bool = False
    since: float = 0.0


@dataclass(frozen=True)
class Detach:
    """A node to take the volume from. `forced`: also where the node says that it has it mounted."""

    node: str
    forced: bool


@dataclass(frozen=True)
class Step:
    """`again`: seconds until time alone changes something."""

    attach: tuple[str, ...] = ()
    detach: tuple[Detach, ...] = ()
    notes: tuple[Note, ...] = ()
    again: float | None = None


def place(node_name: str, node: Obj | None, volume: Volume, attachment: Obj | None, users: Sequence[Obj]) -> Place:
    """What a node says of a volume; None: there is no such node."""
    if node is None:
        return Place(node_name, attachment, users)
    in_use = (node.get("status") or {}).get("volumesInUse") or ()
    taints = (node.get("spec") or {}).get("taints") or ()
    out = any(taint.get("key") == names.OUT_OF_SERVICE for taint in taints)
    return Place(node_name, attachment, users, volume.unique in in_use, condition_holds(node, "Ready"), out)


def plan(volume: Volume, places: Sequence[Place], limit: float) -> Step:
    """`limit`: seconds after which an unhealthy node loses what it may have mounted; 0: never."""
    held = [p for p in places if p.attachment is not None]
    detach, waits = [], []
    for each in held:
        if each.users or (each.attachment is not None and is_deleting(each.attachment)):
            continue
        expired = limit > 0 and each.since >= limit
        forced = each.out_of_service or (expired and not each.healthy)
        if forced or not each.mounted:
            detach.append(Detach(each.node, forced))
        elif limit > 0 and not expired:
            waits.append(limit - each.since)
    attach: list[str] = []
    notes: list[Note] = []
    for each in places:
        if not each.users or each.attachment is not None:
            continue
        others = [p for p in held if p.node != each.node]
        taken = others or (attach and [p for p in places if p.node in attach])
        if taken and not volume.shared:
            notes += _refusals(volume, each, taken)
        else:
            attach.append(each.node)
    return Step(tuple(attach), tuple(detach), tuple(notes), min(waits, default=None))


def _refusals(volume: Volume, place: Place, others: Sequence[Place]) -> list[Note]:
    """Each pod hears who has the volume, and of other namespaces' pods no more than how many there are."""
    users = [pod for other in others for pod in other.users]
    return [
        Note("Warning", "FailedAttachVolume", f'Multi-Attach error for volume "{volume.name}" {text}', pod)
        for pod in place.users
        for text in (_who(users, namespace(pod)),)
    ]


def _who(users: Sequence[Obj], space: str) -> str:
    if not users:
        return "Volume is already exclusively attached to one node and can't be attached to another"
    near = [name(pod) for pod in users if namespace(pod) == space]
    far = len(users) - len(near)
    strangers = f"{far} pod(s) in different namespaces"
    if not near:
        return f"Volume is already used by {strangers}"
    return f"Volume is already used by pod(s) {', '.join(near)}" + (f" and {strangers}" if far else "")


def outcome(volume: Volume, place: Place, before: Obj | None) -> list[Note]:
    """What pods are told of an attachment that changed; `before`: its status as it was."""
    now = (place.attachment or {}).get("status") or {}
    was = before or {}
    failed = (now.get("attachError") or {}).get("message")
    if now.get("attached") and not was.get("attached"):
        text = f'AttachVolume.Attach succeeded for volume "{volume.name}" '
        return [Note("Normal", "SuccessfulAttachVolume", text, pod) for pod in place.users]
    if failed and now.get("attachError") != was.get("attachError"):
        text = f'AttachVolume.Attach failed for volume "{volume.name}" : {failed}'
        return [Note("Warning", "FailedAttachVolume", text, pod) for pod in place.users]
    return []


def reported(attachments: Mapping[str, Obj], going: Collection[str]) -> list[Obj]:
    """`status.volumesAttached` of a node: what is attached there, by unique names; `going`: uids of attachments that
    are not told any more.
    """
    told = [
        unique
        for unique, attachment in attachments.items()
        if (attachment.get("status") or {}).get("attached")
        and not (is_deleting(attachment) or uid(attachment) in going)
    ]
    return [{"name": unique, "devicePath": ""} for unique in sorted(told)]
