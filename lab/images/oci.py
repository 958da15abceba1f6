"""OCI image archives, written byte for byte the same from the same input.

Source: OCI image specification 1.1 (layout, index, manifest, config). Pure: values in, bytes out.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le"}


@dataclass(frozen=True)
class Entry:
    """One path of a layer: a directory (no data, no target), a file, or a link to `target`."""

    path: str
    data: bytes | None = None
    target: str | None = None
    mode: int = 0o755


@dataclass(frozen=True)
class Image:
    """One image: its full name, its one layer's entries and how it runs."""

    name: str
    entries: tuple[Entry, ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    workdir: str = "/"
    labels: dict[str, str] = field(default_factory=dict)


def architecture() -> str:
    """This machine's architecture, as Go names it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def layer(entries: Sequence[Entry]) -> bytes:
    """The uncompressed layer archive; every time stamp is zero and root owns all."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.mode = entry.mode
            if entry.target is not None:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.target, 0o777
                archive.addfile(info)
            elif entry.data is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(entry.data)
                archive.addfile(info, io.BytesIO(entry.data))
    return out.getvalue()


def archive(images: Sequence[Image]) -> bytes:
    """An OCI layout, as a tar, that holds all `images` and names each (`ctr images import` reads it)."""
    blobs: dict[str, bytes] = {}
    manifests = [_manifest(image, blobs) for image in images]
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": _json(_index(manifests))}
    files.update({f"blobs/sha256/{digest}": data for digest, data in blobs.items()})
    return layer([Entry("blobs"), Entry("blobs/sha256"), *(Entry(p, d, mode=0o644) for p, d in files.items())])


def _manifest(image: Image, blobs: dict[str, bytes]) -> dict[str, Any]:
    content = layer(image.entries)
    config = {
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Env": list(image.env),
            "Entrypoint": list(image.entrypoint) or None,
            "Cmd": list(image.command) or None,
            "WorkingDir": image.workdir,
            "Labels": image.labels or None,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(content)}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _put(blobs, _json(config), "application/vnd.oci.image.config.v1+json"),
        "layers": [_put(blobs, content, "application/vnd.oci.image.layer.v1.tar")],
    }
    descriptor = _put(blobs, _json(manifest), "application/vnd.oci.image.manifest.v1+json")
    descriptor["platform"] = {"architecture": architecture(), "os": "linux"}
    descriptor["annotations"] = {
        "io.containerd.image.name": image.name,
        "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
    }
    return descriptor


def _index(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    }


def _put(blobs: dict[str, bytes], data: bytes, media_type: str) -> dict[str, Any]:
    digest = _digest(data)
    blobs[digest] = data
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
