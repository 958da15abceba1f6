"""What an operator asks: health with named checks, version, metrics."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from apimachinery import component
from apimachinery.kit import metrics
from apimachinery.kit.lifecycle import Lifecycle
from apimachinery.kit.serve import Page
from apimachinery.version import GIT_VERSION, language
from controlplane.apiserver.formats import negotiate
from controlplane.apiserver.formats.encodings import Json
from controlplane.apiserver.formats.media import JSON
from controlplane.apiserver.replies import not_allowed
from controlplane.apiserver.request import Handler, Reply, Request, Response
from controlplane.store import Store

_PLAIN = "text/plain; charset=utf-8"
Check = Callable[[], str]


def version_info() -> dict[str, str]:
    """The body of /version."""
    return {
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": language(),
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{'arm64' if platform.machine() == 'aarch64' else 'amd64'}",
    }


def zpages(settings: Any, others: Iterable[str]) -> dict[str, Handler]:
    """The handlers of /statusz and /flagz; others: the paths that are served besides."""

    def handler(page: Page) -> Handler:
        async def handle(request: Request) -> Reply:
            if request.method != "GET":
                raise not_allowed()
            return Response(*page(request.headers.get("Accept", "")))

        return handle

    return {f"{path}$": handler(page) for path, page in component.pages("apiserver", settings, others).items()}


def paths(live: Mapping[str, Check], ready: Mapping[str, Check]) -> dict[str, Handler]:
    """The handlers of the operational paths. A check gives "" when all is well, else what is wrong."""

    async def version(request: Request) -> Reply:
        if request.method != "GET":
            raise not_allowed()
        negotiate.offered(request.headers.get("Accept", ""), (JSON,))
        return Response(200, Json(pretty=True).document(dict(version_info())))

    async def exposition(request: Request) -> Reply:
        body, content_type = metrics.exposition()
        return Response(200, body, content_type)

    async def levels(request: Request) -> Reply:
        body, content_type = metrics.levels()
        return Response(200, body, content_type)

    return {
        "/version$": version,
        "/version/$": version,
        "/metrics$": exposition,
        "/metrics/slis$": levels,
        "/livez": _health("livez", live),
        "/readyz": _health("readyz", ready),
        "/healthz": _health("healthz", live),
    }


def _health(name: str, checks: Mapping[str, Check]) -> Handler:
    async def handle(request: Request) -> Reply:
        one = request.path[len(name) + 2 :].strip("/")
        if one:
            if one not in checks:
                return Response(404, b"404 page not found\n", _PLAIN)
            why = _run(name, one, checks[one])
            return Response(500, f"internal server error: {why}\n".encode(), _PLAIN) if why else _ok()
        excluded = set(request.query.get("exclude", ()))
        lines, failed = [], False
        for check, run in checks.items():
            if check in excluded:
                lines.append(f"[+]{check} excluded: ok")
            elif _run(name, check, run):
                failed = True
                lines.append(f"[-]{check} failed: reason withheld")
            else:
                lines.append(f"[+]{check} ok")
        lines.append(f"{name} check {'failed' if failed else 'passed'}")
        text = "\n".join(lines) + "\n"
        if failed:
            return Response(500, text.encode(), _PLAIN)
        return Response(200, text.encode(), _PLAIN) if "verbose" in request.query else _ok()

    return handle


def _run(path: str, name: str, check: Check) -> str:
    why = check()
    metrics.checked(name, path, well=not why)
    return why


def _ok() -> Response:
    return Response(200, b"ok", _PLAIN, {"X-Content-Type-Options": "nosniff"})


class Checks:
    """The named checks behind /livez and /readyz, as the server's store and lifecycle decide them."""

    def __init__(self, lifecycle: Lifecycle, store: Store) -> None:
        self._lifecycle = lifecycle
        self._store = store

    def live(self) -> dict[str, Check]:
        # A full disk is no reason to start anew: that would heal nothing, and what can be read now could not be then.
        return {"ping": lambda: "", "log": lambda: "", "etcd": lambda: ""}

    def ready(self) -> dict[str, Check]:
        return {
            **self.live(),
            "etcd-readiness": lambda: self._store.trouble or self._store.away,
            "informer-sync": lambda: "",
            "shutdown": self._stopping,
        }

    def all(self) -> dict[str, dict[str, Check]]:
        """Path -> its checks."""
        return {"livez": self.live(), "readyz": self.ready(), "healthz": self.live()}

    def _stopping(self) -> str:
        return "the process is shutting down" if self._lifecycle.stopping.is_set() else ""
