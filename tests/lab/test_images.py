"""Image archives are OCI layouts that hold together, and the same input gives the same bytes."""

import hashlib
import io
import json
import tarfile

from lab.images import load, oci
from lab.images.oci import Entry, Image

IMAGE = Image(
    "wherry.local/test:1",
    (Entry("bin"), Entry("bin/tool", b"#!", mode=0o755), Entry("bin/alias", target="tool")),
    command=("tool",),
)


def files(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]


def test_every_descriptor_leads_to_the_blob_it_names() -> None:
    found = files(oci.archive([IMAGE]))
    (manifest,) = json.loads(found["index.json"])["manifests"]
    assert manifest["annotations"]["io.containerd.image.name"] == IMAGE.name

    def blob(descriptor: dict[str, object]) -> bytes:
        digest = str(descriptor["digest"]).removeprefix("sha256:")
        data = found[f"blobs/sha256/{digest}"]
        assert hashlib.sha256(data).hexdigest() == digest
        assert len(data) == descriptor["size"]
        return data

    body = json.loads(blob(manifest))
    config = json.loads(blob(body["config"]))
    layer = blob(body["layers"][0])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert [(m.name, m.mode, m.linkname) for m in tar] == [
            ("bin", 0o755, ""),
            ("bin/tool", 0o755, ""),
            ("bin/alias", 0o777, "tool"),
        ]


def test_the_same_input_gives_the_same_bytes() -> None:
    assert oci.archive([IMAGE]) == oci.archive([IMAGE])


def test_the_names_of_what_was_imported() -> None:
    old = "unpacking wherry.local/busybox:1 (sha256:10ab)...done\nunpacking wherry.local/pause:1 (sha256:9a79)...done\n"
    assert load.imported(old) == ["wherry.local/busybox:1", "wherry.local/pause:1"]
    new = """\
wherry.local/pause:1                    \tsaved\t
application/vnd.oci.image.manifest.v1+json sha256:9a79
Importing\telapsed: 0.5 s\ttotal:   0.0 B\t(0.0 B/s)\t
wherry.local/pause:1                    \tsaved\t
wherry.local/busybox:1                  \tsaved\t
application/vnd.oci.image.manifest.v1+json sha256:9a79
"""
    assert load.imported(new) == ["wherry.local/pause:1", "wherry.local/busybox:1"]
