"""ServiceAccount: every pod runs as one, and finds its token in a projected volume."""

from __future__ import annotations

from collections.abc import Iterator

from apimachinery import errors, kinds
from apimachinery.kinds import Kind
from controlplane.apiserver.admission.plugin import Plugin
from controlplane.apiserver.registry.metadata import suffix
from controlplane.apiserver.request import Obj
from controlplane.apiserver.seam import Admission, Operation

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# An hour and seven seconds: the API server gives such tokens a long grace for old clients.
_TOKEN_SECONDS = 3607
_MIRROR = "kubernetes.io/config.mirror"
_ENFORCED = "kubernetes.io/enforce-mountable-secrets"


class ServiceAccounts(Plugin):
    name = "ServiceAccount"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind.resource == "pods" and not subresource and operation == "CREATE"

    def admit(self, admission: Admission) -> None:
        """Raises Forbidden when the account is not there."""
        pod = admission.obj
        assert pod is not None
        if _MIRROR in (pod["metadata"].get("annotations") or {}):
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self.registry.find(kinds.SERVICE_ACCOUNT, admission.namespace, name)
        if account is None:
            why = f'error looking up service account {admission.namespace}/{name}: serviceaccount "{name}" not found'
            raise errors.forbidden("pods", admission.name, why)
        if _wants_token(spec, account):
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [{"name": s["name"]} for s in account["imagePullSecrets"]]
        if (account["metadata"].get("annotations") or {}).get(_ENFORCED) == "true":
            for why in _foreign_secrets(spec, account):
                raise errors.forbidden("pods", admission.name, why)


def _foreign_secrets(spec: Obj, account: Obj) -> Iterator[str]:
    """What a pod uses of secrets that its account does not name."""
    own = {secret.get("name") for secret in account.get("secrets") or ()}
    because = f"is not allowed because service account {account['metadata']['name']} does not reference that"
    for volume in spec.get("volumes") or ():
        name = (volume.get("secret") or {}).get("secretName")
        if volume.get("secret") is not None and name not in own:
            yield f'volume with secret.secretName="{name}" {because} secret'
    for field, what in (("initContainers", "init container"), ("containers", "container")):
        for container in spec.get(field) or ():
            for variable in container.get("env") or ():
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if reference is not None and reference.get("name") not in own:
                    where = f"{what} {container['name']} with envVar {variable['name']}"
                    yield f'{where} referencing secret.secretName="{reference.get("name")}" {because} secret'
    pulls = {secret.get("name") for secret in account.get("imagePullSecrets") or ()}
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if secret.get("name") not in pulls:
            yield f'imagePullSecrets[{index}].name="{secret.get("name")}" {because} imagePullSecret'


def _wants_token(spec: Obj, account: Obj) -> bool:
    for holder in (spec, account):
        if holder.get("automountServiceAccountToken") is not None:
            return bool(holder["automountServiceAccountToken"])
    return True


def _mount_token(spec: Obj) -> None:
    needy = [
        container
        for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
        if all(mount.get("mountPath") != MOUNT for mount in container.get("volumeMounts") or ())
    ]
    if not needy:
        return
    name = f"kube-api-access-{suffix()}"
    for container in needy:
        mount = {"name": name, "readOnly": True, "mountPath": MOUNT}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    namespace = {
        "path": "namespace",
        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
    }
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    volume = {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]
