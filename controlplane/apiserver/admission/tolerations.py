"""DefaultTolerationSeconds: how long pods bear a node that is gone."""

from __future__ import annotations

from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.admission_request import Admission, Operation

_NOT_READY, _UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
_SECONDS = 300


class DefaultTolerationSeconds(Plugin):
    """Pods stay five minutes on a node that is not ready or unreachable."""

    name = "DefaultTolerationSeconds"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind.resource == "pods" and not subresource and operation in ("CREATE", "UPDATE")

    def admit(self, admission: Admission) -> None:
        assert admission.obj is not None
        tolerations: list[Obj] = admission.obj["spec"].get("tolerations") or []
        for key in (_NOT_READY, _UNREACHABLE):
            if not any(_covers(toleration, key) for toleration in tolerations):
                tolerations = [
                    *tolerations,
                    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS},
                ]
        admission.obj["spec"]["tolerations"] = tolerations


def _covers(toleration: Obj, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")
