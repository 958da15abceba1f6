"""What is odd about a pod, or the template of one, yet no error: told to whoever writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from controlplane.apiserver.request import Obj

Warn = Callable[[Obj, "Obj | None"], Sequence[str]]

_BLIND = "a null labelSelector results in matching no pod"


def of_pod(new: Obj, old: Obj | None) -> Sequence[str]:
    """Only of a new pod: an update can change little."""
    return tuple(_of_spec("spec", new["spec"])) if old is None else ()


def of_template(*path: str) -> Warn:
    """Of the template at a path, unless an update left it as it was."""

    def warn(new: Obj, old: Obj | None) -> Sequence[str]:
        template, before = _at(new, path), _at(old or {}, path)
        if not template or (old is not None and template == before):
            return ()
        return tuple(_of_spec(f"{'.'.join(path)}.spec", template.get("spec") or {}))

    return warn


def _at(obj: Obj, path: Sequence[str]) -> Obj:
    for step in path:
        obj = obj.get(step) or {}
    return obj


def _of_spec(path: str, spec: Obj) -> Iterator[str]:
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        if constraint.get("labelSelector") is None:
            yield f"{path}.topologySpreadConstraints[{index}].labelSelector: {_BLIND}"
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield from _hidden(f"{path}.{field}[{index}].env", container.get("env") or ())
    yield from _twice(path, spec)


def _hidden(path: str, variables: Sequence[Obj]) -> Iterator[str]:
    """Later definitions that do not build on the one before."""
    known: set[str] = set()
    for index, variable in enumerate(variables):
        name = variable.get("name", "")
        if name in known and f"$({name})" not in (variable.get("value") or ""):
            yield f'{path}[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        known.add(name)


def _twice(path: str, spec: Obj) -> Iterator[str]:
    """Ports that two entries of a pod define."""
    known: dict[tuple[object, ...], str] = {}
    for index, container in enumerate(spec.get("containers") or ()):
        for at, port in enumerate(container.get("ports") or ()):
            place = f"{path}.containers[{index}].ports[{at}]"
            key = (port.get("containerPort"), port.get("protocol"), port.get("hostIP"), port.get("hostPort"))
            if key in known:
                yield f"{place}: duplicate port definition with {known[key]}"
            else:
                known[key] = place
