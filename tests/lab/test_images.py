"""Image archives are OCI layouts that hold together, and the same input gives the same bytes."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import io
import json
import os
import stat
import subprocess
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.images import busybox, load, oci, rootfs
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


def unpacked(image: Image, root: Path) -> Path:
    """The image's files in a directory, as far as they are plain."""
    with tarfile.open(fileobj=io.BytesIO(oci.layer(image.entries))) as tar:
        tar.extractall(root, filter="tar")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not busybox.BINARY.exists():
        pytest.skip("no busybox here")
    return unpacked(asyncio.run(rootfs.busybox()), tmp_path_factory.mktemp("image"))


@pytest.fixture
def server() -> Iterator[str]:
    """Answers /slow a byte each 0.6 s, /dead never, and everything else at once."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/dead":
                stopped.wait(30)
                return
            self.send_response(200)
            self.end_headers()
            for _ in range(5):
                self.wfile.write(b"x")
                if self.path == "/slow":
                    stopped.wait(0.6)

        def log_message(self, *_: object) -> None:
            pass

    stopped = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{listening.server_port}"
        # It is wget's seconds that are counted, not those in which a server comes up.
        assert urllib.request.urlopen(url, timeout=30).read() == b"xxxxx"
        yield url
        stopped.set()
        listening.shutdown()


def inside(root: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["chroot", str(root), *argv], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
@pytest.mark.parametrize("options", ["-T 2 -q -O -", "-qT2 -O -", "-q -O - --timeout=2", "-T2 -qO-", "-qO -"])
def test_wget_gives_up_after_a_silence_of_seconds(root: Path, server: str, options: str) -> None:
    (root / "proc").mkdir(exist_ok=True)
    (root / "dev").mkdir(exist_ok=True)
    if not (null := root / "dev/null").exists():
        # As every container has it: what a shell starts in the background reads from it.
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
    try:
        direct = ["/bin/wget", *options.split()]
        others = [["/bin/sh", "-c", f"wget {options} $0"], ["/bin/timeout", "30", *direct]]
        for argv in (direct, *(others if options.startswith("-T2") else ())):
            quick = inside(root, *argv, f"{server}/")
            assert quick.stdout == "xxxxx", (argv, quick)
            if "T" in options or "timeout" in options:
                assert inside(root, *argv, f"{server}/slow").stdout == "xxxxx", argv
                dead = inside(root, *argv, f"{server}/dead")
                assert (dead.returncode, dead.stderr) == (1, "wget: download timed out\n"), argv
    finally:
        subprocess.run(["umount", "-l", str(root / "proc")], check=True)


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_wget_takes_values_as_they_are_and_no_applet_crashes(root: Path, server: str) -> None:
    assert inside(root, "/bin/wget", "-q", "-O", "-T", f"{server}/").returncode == 0
    assert (root / "-T").read_text() == "xxxxx"
    assert "wants seconds" in inside(root, "/bin/wget", "-T", "soon", f"{server}/").stderr
    explicit = inside(root, "/bin/busybox", "wget", "-T", "1", "-qO-", f"{server}/")
    assert explicit.returncode in (0, 1) and (explicit.stdout == "xxxxx" or "option" in explicit.stderr)
    refused = inside(root, "/bin/wget", "-q", "http://127.0.0.1:1/")
    assert refused.returncode == 1
    assert refused.stderr == "wget: can't connect to remote host (127.0.0.1): Connection refused\n"
