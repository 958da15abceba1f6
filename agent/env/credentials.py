"""Registry credentials out of pull secrets; pure.

Source: https://kubernetes.io/docs/concepts/containers/images/#using-a-private-registry . A key of the
configuration matches an image by host (each label may be a glob), port and path prefix; the longest key is
tried first.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from agent.cri.model import Credential
from apimachinery.objects import Obj

_DEFAULT_REGISTRY = "index.docker.io"
_KINDS = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}


def credentials_for(image: str, secrets: Iterable[Obj]) -> tuple[Credential, ...]:
    """Every credential that fits `image`, best match first. Secrets that cannot be read are passed over."""
    target = _normal_image(image)
    found: list[tuple[str, Credential]] = []
    for secret in secrets:
        for key, entry in _entries(secret).items():
            location = _normal_key(key)
            if _matches(location, target):
                found.append((location, _credential(key, entry)))
    found.sort(key=lambda item: len(item[0]), reverse=True)
    return tuple(credential for _, credential in found)


def _entries(secret: Obj) -> dict[str, dict[str, Any]]:
    key = _KINDS.get(secret.get("type", ""), "")
    try:
        content = json.loads(base64.b64decode((secret.get("data") or {}).get(key, "")))
    except (ValueError, binascii.Error):
        return {}
    if key == ".dockerconfigjson" and isinstance(content, dict):
        content = content.get("auths")
    if not isinstance(content, dict):
        return {}
    return {name: entry for name, entry in content.items() if isinstance(entry, dict)}


def _credential(server: str, entry: dict[str, Any]) -> Credential:
    user, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if entry.get("auth"):
        try:
            decoded = base64.b64decode(entry["auth"]).decode().rstrip("\x00")
        except (ValueError, binascii.Error):
            decoded = ""
        if ":" in decoded:
            user, _, password = decoded.partition(":")
    return Credential(
        username=user,
        password=password,
        server_address=server,
        identity_token=str(entry.get("identitytoken", "")),
        registry_token=str(entry.get("registrytoken", "")),
    )


def _normal_key(key: str) -> str:
    location = key.split("://", 1)[-1].rstrip("/")
    for version in ("/v1", "/v2"):
        location = location.removesuffix(version)
    return _DEFAULT_REGISTRY if location in ("docker.io", "registry-1.docker.io") else location


def _normal_image(image: str) -> str:
    name = image.split("@", 1)[0]
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return f"{_DEFAULT_REGISTRY}/{name}"
    return f"{_DEFAULT_REGISTRY}/{rest}" if first == "docker.io" else name


def _matches(location: str, target: str) -> bool:
    want_host, _, want_path = location.partition("/")
    host, _, path = target.partition("/")
    want_name, _, want_port = want_host.partition(":")
    name, _, port = host.partition(":")
    wanted, labels = want_name.split("."), name.split(".")
    if want_port != port or len(wanted) != len(labels):
        return False
    if not all(fnmatchcase(label, pattern) for pattern, label in zip(wanted, labels, strict=True)):
        return False
    return path.startswith(want_path)
