"""ImageLocality: prefers nodes that already have the pod's larger images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import MAX_SCORE, SKIP, Plugin, Query
from controlplane.scheduler.likeness import Likeness
from controlplane.scheduler.nodeinfo import NodeInfo

MEBIBYTE = 1024 * 1024
SMALLEST = 23 * MEBIBYTE
LARGEST = 1000 * MEBIBYTE


def normalized(image: str) -> str:
    """The name with the tag the kubelet would use where none is given."""
    return image if ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"


class ImageLocality(Plugin):
    name = "ImageLocality"

    def likeness(self, pod: Pod, query: Query) -> Sequence[Likeness]:
        """Which of the pod's images a node has, and of what size."""
        images = tuple(normalized(image) for image in pod.images)
        return [Likeness(("images", images), lambda info: tuple(info.node.images.get(image) for image in images))]

    def judges(self, pod: Pod, query: Query) -> bool:
        images = query.cluster.images
        return bool(images) and any(normalized(image) in images for image in pod.images)

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        """The pod's images with the share of all nodes that have each; an image that few have counts less, so that not
        all its pods go to one node."""
        cluster = query.cluster
        wanted = [normalized(image) for image in pod.images]
        spread = {image: cluster.images.get(image, 0) / len(cluster.nodes) for image in wanted}
        return (wanted, spread) if any(spread.values()) else SKIP

    def score(self, state: tuple[list[str], dict[str, float]], pod: Pod, info: NodeInfo) -> float:
        """Bytes of the pod's images that are there, between 23 MiB and 1000 MiB for each image."""
        wanted, spread = state
        present = sum(int(info.node.images.get(image, 0) * spread[image]) for image in wanted)
        largest = LARGEST * pod.containers
        return MAX_SCORE * (min(max(present, SMALLEST), largest) - SMALLEST) // (largest - SMALLEST)
