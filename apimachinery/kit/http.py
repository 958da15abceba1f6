"""The HTTP library (aiohttp), imported without reading every authority that the system trusts.

It makes a TLS context for requests that name none as soon as it is imported. Parsing the system's bundle of authorities
for it takes 0.1 s of processor time, which each daemon and each command would pay; all of ours name a context. The
system's directory of authorities, which OpenSSL reads by need, stays in force for whoever does not.
"""

from __future__ import annotations

import os

_BUNDLE = "SSL_CERT_FILE"
_before = os.environ.get(_BUNDLE)
os.environ[_BUNDLE] = os.devnull
try:
    import aiohttp
    from aiohttp import WSMsgType, abc, http_exceptions, http_parser, web, web_protocol, web_runner
finally:
    if _before is None:
        del os.environ[_BUNDLE]
    else:
        os.environ[_BUNDLE] = _before

__all__ = ["WSMsgType", "abc", "aiohttp", "http_exceptions", "http_parser", "web", "web_protocol", "web_runner"]
