"""ImageLocality: prefers nodes that already have the pod's larger images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from controlplane.scheduler.cluster import NodeInfo
from controlplane.scheduler.extract import Pod
from controlplane.scheduler.framework import MAX_SCORE, SKIP, Plugin, Query

MEBIBYTE = 1024 * 1024
SMALLEST = 23 * MEBIBYTE
LARGEST = 1000 * MEBIBYTE


def normalized(image: str) -> str:
    """The name with the tag the kubelet would use where none is given."""
    return image if ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"


class ImageLocality(Plugin):
    name = "ImageLocality"

    def pre_score(self, pod: Pod, query: Query, nodes: Sequence[NodeInfo]) -> Any:
        wanted = [normalized(image) for image in pod.images]
        spread = {image: sum(image in info.node.images for info in nodes) / len(nodes) for image in wanted}
        return (wanted, spread) if any(spread.values()) else SKIP

    def score(self, state: tuple[list[str], dict[str, float]], pod: Pod, info: NodeInfo) -> float:
        wanted, spread = state
        present = sum(info.node.images.get(image, 0) * spread[image] for image in wanted)
        largest = LARGEST * len(pod.images)
        return MAX_SCORE * (min(max(present, SMALLEST), largest) - SMALLEST) // (largest - SMALLEST)
