"""The files of /logs/, over TLS as a client of the API server's proxy reads them."""

import os
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from tests.agent.server.test_server import Server, run

DAY = "Thu, 01 Jan 2026 00:00:00 GMT"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    root = tmp_path / "var-log"
    (root / "pods").mkdir(parents=True)
    (root / "kubelet.log").write_bytes(b"0123456789\n")
    (root / "a & b:c?.log").write_bytes(b"odd")
    (root / "packed.log.gz").write_bytes(b"\x1f\x8b\0")
    (root / "wtmp").write_bytes(b"\x07\0\0\0tty")
    (root / "pods/deep.txt").symlink_to("../kubelet.log")
    os.mkfifo(root / "pipe")
    os.utime(root / "kubelet.log", (1767225600, 1767225600))
    (tmp_path / "secret").write_bytes(b"not a log")
    return root


def test_directories_are_listed_by_name(tmp_path: Path, logs: Path) -> None:
    async def scenario(server: Server) -> None:
        async with server.session() as http:
            async with http.get("/logs/") as answer:
                body = await answer.text()
                assert answer.content_type == "text/html"
            rows = [line for line in body.splitlines() if line.startswith("<a")]
            assert rows == [
                '<a href="./a%20%26%20b%3Ac%3F.log">a &amp; b:c?.log</a>',
                '<a href="kubelet.log">kubelet.log</a>',
                '<a href="packed.log.gz">packed.log.gz</a>',
                '<a href="pipe">pipe</a>',
                '<a href="pods/">pods/</a>',
                '<a href="wtmp">wtmp</a>',
            ]
            async with http.get("/logs/./a%20%26%20b%3Ac%3F.log") as answer:
                assert await answer.text() == "odd"
            async with http.get("/logs/pods", allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (301, "pods/")
            async with http.get("/logs/kubelet.log/", allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (301, "../kubelet.log")
            async with http.post("/logs/") as answer:
                assert answer.status == 404

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("path", "headers", "status", "body"),
    [
        ("kubelet.log", {}, 200, b"0123456789\n"),
        ("pods/deep.txt", {}, 200, b"0123456789\n"),
        ("kubelet.log", {"Range": "bytes=2-4"}, 206, b"234"),
        ("kubelet.log", {"Range": "bytes=-3"}, 206, b"89\n"),
        ("kubelet.log", {"Range": "bytes=40-"}, 416, None),
        ("kubelet.log", {"Range": "lines=1-2"}, 416, None),
        ("kubelet.log", {"If-Modified-Since": DAY}, 304, b""),
        ("packed.log", {"Accept-Encoding": "gzip"}, 404, None),
        ("pipe", {}, 404, None),
        ("none", {}, 404, None),
        ("kubelet.log/none", {}, 404, None),
        ("%2e%2e/secret", {}, 400, None),
        ("pods/%2e%2e/kubelet.log", {}, 400, None),
        ("a%00b", {}, 400, None),
    ],
)
def test_files(tmp_path: Path, logs: Path, path: str, headers: dict[str, str], status: int, body: bytes | None) -> None:
    async def scenario(server: Server) -> None:
        where = URL(f"https://127.0.0.1:{server.port}/logs/{path}", encoded=True)
        async with server.session() as http, http.get(where, headers=headers) as answer:
            assert answer.status == status
            if body is not None:
                assert await answer.read() == body
            if status == 200:
                assert answer.headers["Last-Modified"] == DAY

    run(tmp_path, scenario)


def test_kinds_of_contents(tmp_path: Path, logs: Path) -> None:
    async def scenario(server: Server) -> None:
        async with server.session() as http:
            for name, kind in (
                ("kubelet.log", "text/plain; charset=utf-8"),
                ("pods/deep.txt", "text/plain; charset=utf-8"),
                ("wtmp", "application/octet-stream"),
                ("packed.log.gz", "application/octet-stream"),
            ):
                async with http.get(f"/logs/{name}") as answer:
                    assert answer.headers["Content-Type"] == kind, name

    run(tmp_path, scenario)


def test_a_directory_is_listed_whatever_is_in_it(tmp_path: Path, logs: Path) -> None:
    odd = logs / "pods"
    (odd / "loop").symlink_to("loop")
    (odd / "up").symlink_to("..")
    Path(os.fsdecode(bytes(odd) + b"/\xff.log")).touch()

    async def scenario(server: Server) -> None:
        async with server.session() as http, http.get("/logs/pods/") as answer:
            body = await answer.read()
            assert answer.status == 200
        rows = [line for line in body.splitlines() if line.startswith(b"<a")]
        assert rows == [
            b'<a href="deep.txt">deep.txt</a>',
            b'<a href="loop">loop</a>',
            b'<a href="up">up</a>',
            b'<a href="%FF.log">\xff.log</a>',
        ]

    run(tmp_path, scenario)


def test_a_file_that_is_cut_short_breaks_off(tmp_path: Path, logs: Path) -> None:
    with (logs / "large").open("wb") as file:
        file.truncate(1 << 28)

    async def scenario(server: Server) -> None:
        async with server.session() as http, http.get("/logs/large") as answer:
            seen = await answer.content.read(1)
            os.truncate(logs / "large", 0)
            with pytest.raises(aiohttp.ClientError):
                while data := await answer.content.readany():
                    seen += data
            assert not seen.strip(b"\0")

    run(tmp_path, scenario)
