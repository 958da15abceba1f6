"""GET /logs/PATH: the node's log files, as a file server shows a directory."""

from __future__ import annotations

import asyncio
import html
import mimetypes
import os
import stat
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from agent.server.containers import Refused
from apimachinery.kit.http import web

_CHUNK = 1 << 18
_SNIFFED = 512
_TEXT, _BYTES = "text/plain; charset=utf-8", "application/octet-stream"
# What no text holds: control characters other than those that move or colour.
_BINARY = frozenset(range(0x20)) - frozenset(b"\t\n\f\r\x1b")
_HEAD = '<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n'


async def serve(request: web.BaseRequest, root: Path) -> web.StreamResponse:
    """The file or the listing below `root` (links lead out of it, who writes there decides). Raises Refused."""
    wanted = request.path.removeprefix("/logs")
    parts = wanted.split("/")
    if not wanted:
        raise Refused(404, "404 page not found")
    if ".." in parts or "\0" in wanted:
        raise Refused(400, "invalid URL path")
    path = root.joinpath(*(part for part in parts if part not in ("", ".")))
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            if not wanted.endswith("/"):
                return _moved(path.name + "/")
            return _listing(path)
        if not stat.S_ISREG(found.st_mode):
            # To open a pipe would wait for somebody to write.
            raise Refused(404, "404 page not found")
        if wanted.endswith("/"):
            return _moved("../" + path.name)
        # A pipe that took the file's place meanwhile is not waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return await _contents(request, file, str(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Refused(404, "404 page not found") from error
    except PermissionError as error:
        raise Refused(403, "403 Forbidden") from error
    except OSError as error:
        raise Refused(500, "500 Internal Server Error") from error


def _moved(to: str) -> web.Response:
    return web.Response(status=301, headers={"Location": quote(to)})


def _listing(directory: Path) -> web.Response:
    rows = []
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            # What links lead to is not looked at: it may be nothing, or the link itself.
            name = entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
            # A name with a colon would be read as a scheme; and names need not be UTF-8.
            link = ("./" if ":" in name else "") + quote(os.fsencode(name))
            rows.append(f'<a href="{link}">{html.escape(name)}</a>\n')
    body = os.fsencode(_HEAD + "".join(rows) + "</pre>\n")
    return web.Response(body=body, headers={"Content-Type": "text/html; charset=utf-8"})


async def _contents(request: web.BaseRequest, file: BinaryIO, name: str) -> web.StreamResponse:
    about = os.fstat(file.fileno())
    size, changed = about.st_size, datetime.fromtimestamp(int(about.st_mtime), timezone.utc)
    headers = {"Last-Modified": format_datetime(changed, usegmt=True), "Accept-Ranges": "bytes"}
    since = request.if_modified_since
    if since is not None and changed <= since:
        return web.Response(status=304, headers=headers)
    begin, end, status = 0, size, 200
    try:
        begin, end, _ = request.http_range.indices(size)
    except ValueError as error:
        raise Refused(416, "invalid range") from error
    if "Range" in request.headers:
        if begin >= end:
            raise Refused(416, "invalid range: failed to overlap")
        status, headers["Content-Range"] = 206, f"bytes {begin}-{end - 1}/{size}"
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = end - begin
    response.headers["Content-Type"] = _kind(file, name)
    file.seek(begin)
    await response.prepare(request)
    try:
        if request.method != "HEAD":
            await _copy(file, end - begin, response)
        await response.write_eof()
    except OSError:
        # The client is gone, or what was promised cannot be kept; another answer would now be read as the file's text.
        if request.transport is not None:
            request.transport.abort()
    return response


async def _copy(file: BinaryIO, left: int, response: web.StreamResponse) -> None:
    while left:
        data = await asyncio.to_thread(file.read, min(left, _CHUNK))
        if not data:
            raise OSError("cut short meanwhile")
        left -= len(data)
        await response.write(data)


def _kind(file: BinaryIO, name: str) -> str:
    known, packed = mimetypes.guess_type(name)
    if known is not None and packed is None:
        return f"{known}; charset=utf-8" if known.startswith("text/") else known
    return _BYTES if packed or not _BINARY.isdisjoint(file.read(_SNIFFED)) else _TEXT
