"""Links of a page that is looked at through a proxy, led through that proxy. Pure.

Only what names the proxied host, or no host and a path from the root, is changed: attributes with an address, by
element, and a redirect's Location. Style sheets and scripts are left alone, as upstream leaves them.
"""

from __future__ import annotations

import html
import posixpath
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

# Which attributes of which elements are addresses (HTML 4.01 index of attributes, and HTML's living one).
ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "a": ("href",),
    "applet": ("codebase",),
    "area": ("href",),
    "audio": ("src",),
    "base": ("href",),
    "blockquote": ("cite",),
    "body": ("background",),
    "button": ("formaction",),
    "command": ("icon",),
    "del": ("cite",),
    "embed": ("src",),
    "form": ("action",),
    "frame": ("longdesc", "src"),
    "head": ("profile",),
    "html": ("manifest",),
    "iframe": ("longdesc", "src"),
    "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"),
    "ins": ("cite",),
    "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"),
    "q": ("cite",),
    "script": ("src",),
    "source": ("src",),
    "video": ("poster", "src"),
}
_GZIP, _RAW_DEFLATE = 31, -15
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'=<>`]+)""")
# A comment, or the start of an element with its attributes; what a script or a style holds goes with it.
_PIECES = re.compile(
    r"""<!--.*?(?:-->|\Z)|<(?P<name>[a-zA-Z][a-zA-Z0-9]*)(?P<attributes>(?:"[^"]*"|'[^']*'|[^"'>])*)>""", re.DOTALL
)
_HELD_BY = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in ("script", "style", "textarea", "title")}


@dataclass(frozen=True)
class Through:
    """The way of one request: `prefix` is the path that stands for the proxied host's root, `hosts` are the names under
    which that host may speak of itself, `own` is the one under which the client knows this server.
    """

    prefix: str
    hosts: tuple[str, ...]
    own: str = ""

    def link(self, address: str) -> str:
        """An address as it must be written to lead through the proxy."""
        try:
            parts = urlsplit(address)
        except ValueError:
            return address
        if parts.netloc not in ("", self.own, *self.hosts) or not parts.path.startswith("/"):
            return address
        path = parts.path
        if not path.startswith(self.prefix):
            path = posixpath.normpath(f"{self.prefix}/{path.lstrip('/')}")
            path += "/" if parts.path.endswith("/") and not path.endswith("/") else ""
        scheme, host = (parts.scheme, parts.netloc) if parts.netloc == self.own else ("", "")
        return urlunsplit((scheme, host, path, parts.query, parts.fragment))

    def page(self, text: str) -> str:
        """A whole HTML document."""
        out, at = [], 0
        while found := _PIECES.search(text, at):
            out.append(text[at : found.start()])
            name = (found["name"] or "").lower()
            out.append(_element(found, ADDRESSES[name], self.link) if name in ADDRESSES else found[0])
            at = found.end()
            if name in _HELD_BY and (end := _HELD_BY[name].search(text, at)):
                out.append(text[at : end.start()])
                at = end.start()
        return "".join((*out, text[at:]))

    def body(self, data: bytes, encoding: str) -> bytes | None:
        """A page's bytes in their Content-Encoding; None for one that is not known here, or broken."""
        if encoding not in ("", "gzip", "deflate"):
            return None
        window = _GZIP if encoding == "gzip" else _RAW_DEFLATE
        try:
            plain = zlib.decompress(data, window) if encoding else data
        except zlib.error:
            return None
        # What is no UTF-8 passes unharmed.
        changed = self.page(plain.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        if not encoding:
            return changed
        packer = zlib.compressobj(wbits=window)
        return packer.compress(changed) + packer.flush()


def _element(found: re.Match[str], addresses: tuple[str, ...], link: Callable[[str], str]) -> str:
    def attribute(match: re.Match[str]) -> str:
        if match[1].lower() not in addresses:
            return match[0]
        given = html.unescape(match[3].strip("\"'"))
        return match[0] if (changed := link(given)) == given else f'{match[1]}{match[2]}"{html.escape(changed)}"'

    start = found.start("attributes") - found.start()
    return found[0][:start] + _ATTRIBUTE.sub(attribute, found["attributes"]) + ">"
