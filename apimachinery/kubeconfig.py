"""Read and write kubeconfig files (clientcmd v1): the current context's cluster and user, no more.

Source: kubernetes.io "Organizing Cluster Access Using kubeconfig Files".
"""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from apimachinery.kit.files import write_atomic


class KubeconfigError(Exception):
    """The file cannot be used; the message names the file, the entry and the fix."""


@dataclass(frozen=True)
class Cluster:
    """How to reach one API server as one user; certificates and keys are PEM bytes."""

    server: str
    ca: bytes | None = None
    cert: bytes | None = None
    key: bytes | None = None
    token: str | None = None
    token_file: Path | None = None
    insecure: bool = False
    namespace: str = "default"

    def ssl_context(self) -> ssl.SSLContext:
        """A client context that trusts only this cluster's CA and presents the user's certificate."""
        if self.insecure:
            context = ssl._create_unverified_context()
        else:
            context = ssl.create_default_context(cadata=self.ca.decode() if self.ca else None)
        # kubeconfigs of clusters by address may carry certificates whose only name is that address.
        if self.cert and self.key:
            # OpenSSL loads certificate chains from files only; this one is gone again at once.
            with tempfile.NamedTemporaryFile(prefix="wherry-client-") as pair:
                pair.write(self.cert.rstrip() + b"\n" + self.key)
                pair.flush()
                context.load_cert_chain(pair.name)
        return context


def _read(path: Path) -> dict[str, Any]:
    """The file's mapping; an empty file is an empty one. Raises KubeconfigError."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise KubeconfigError(f"cannot read kubeconfig {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KubeconfigError(f"kubeconfig {path} is not text in UTF-8: {error.reason}") from error
    except yaml.YAMLError as error:
        raise KubeconfigError(f"kubeconfig {path} is not valid YAML: {error}") from error
    if not isinstance(config, dict):
        raise KubeconfigError(f"kubeconfig {path} must hold a mapping, not a {type(config).__name__}")
    return config


def load(path: Path) -> Cluster:
    """The cluster and user of the file's current context. Raises KubeconfigError."""
    config = _read(path)
    if not config:
        raise KubeconfigError(f"kubeconfig {path} is empty")
    context = _entry(path, config, "contexts", "context", str(config.get("current-context") or ""))
    cluster = _entry(path, config, "clusters", "cluster", str(context.get("cluster") or ""))
    user = _entry(path, config, "users", "user", str(context.get("user") or ""))
    if not cluster.get("server"):
        raise KubeconfigError(f"kubeconfig {path}: the cluster has no server; add its https:// address")
    cert, key = _data(path, user, "client-certificate"), _data(path, user, "client-key")
    if bool(cert) != bool(key):
        missing = "client-key" if cert else "client-certificate"
        raise KubeconfigError(f"kubeconfig {path}: the user has no {missing} to its other half; give both or neither")
    token_file = user.get("tokenFile")
    return Cluster(
        server=str(cluster["server"]),
        ca=_data(path, cluster, "certificate-authority"),
        cert=cert,
        key=key,
        token=user.get("token"),
        token_file=path.parent / token_file if token_file else None,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=str(context.get("namespace") or "default"),
    )


def _entry(path: Path, config: Mapping[str, Any], plural: str, singular: str, name: str) -> dict[str, Any]:
    for entry in config.get(plural) or ():
        if entry.get("name") == name:
            return dict(entry.get(singular) or {})
    raise KubeconfigError(f"kubeconfig {path}: {plural} has no entry named {name!r}")


def _data(path: Path, entry: Mapping[str, Any], field: str) -> bytes | None:
    inline = entry.get(field + "-data")
    if inline:
        try:
            return base64.b64decode(inline, validate=True)
        except binascii.Error as error:
            raise KubeconfigError(f"kubeconfig {path}: {field}-data is not base64") from error
    file = entry.get(field)
    if not file:
        return None
    try:
        return (path.parent / str(file)).read_bytes()
    except OSError as error:
        raise KubeconfigError(f"kubeconfig {path}: cannot read {field} {file}: {error.strerror}") from error


def document(cluster: Cluster, context: str, user: str | None = None) -> dict[str, Any]:
    """The kubeconfig mapping that holds `cluster` as context `context`, certificates inline."""
    user = user or context

    def encoded(fields: Mapping[str, bytes | None]) -> dict[str, str]:
        return {key: base64.b64encode(value).decode() for key, value in fields.items() if value}

    credentials: dict[str, Any] = encoded({"client-certificate-data": cluster.cert, "client-key-data": cluster.key})
    if cluster.token:
        credentials["token"] = cluster.token
    target = {"server": cluster.server, **encoded({"certificate-authority-data": cluster.ca})}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": target}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": user}}],
        "current-context": context,
    }


def write(path: Path, cluster: Cluster, context: str, user: str | None = None) -> None:
    """Write a kubeconfig of one context, mode 0600, whole or not at all."""
    write_atomic(path, yaml.safe_dump(document(cluster, context, user), sort_keys=False).encode(), 0o600)


def merge(path: Path, cluster: Cluster, context: str, user: str | None = None) -> None:
    """Add (or renew) one context in the user's kubeconfig; everything else in the file stays as it is. Raises
    KubeconfigError."""
    config = _read(path) if path.exists() else {}
    addition = document(cluster, context, user)
    for plural in ("clusters", "users", "contexts"):
        (entry,) = addition[plural]
        kept = [old for old in config.get(plural) or () if old.get("name") != entry["name"]]
        config[plural] = [*kept, entry]
    config.setdefault("apiVersion", "v1")
    config.setdefault("kind", "Config")
    if not config.get("current-context"):
        config["current-context"] = context
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, yaml.safe_dump(config, sort_keys=False).encode(), 0o600)


def remove(path: Path, context: str, user: str | None = None) -> None:
    """Take one context, its cluster and its user out of the user's kubeconfig; a missing file is fine. Raises
    KubeconfigError."""
    if not path.exists():
        return
    config = _read(path)
    names = {"clusters": context, "users": user or context, "contexts": context}
    for plural, name in names.items():
        config[plural] = [old for old in config.get(plural) or () if old.get("name") != name]
    if config.get("current-context") == context:
        rest = config["contexts"]
        config["current-context"] = rest[0]["name"] if rest else ""
    write_atomic(path, yaml.safe_dump(config, sort_keys=False).encode(), 0o600)
