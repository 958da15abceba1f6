"""ServiceAccount: every pod runs as one, and finds its token in a projected volume."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from apimachinery import errors, kinds
from apimachinery.kinds import Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission.plugin import Plugin, Wait
from controlplane.apiserver.admission_request import Admission, Operation
from controlplane.apiserver.authz.graph import SECRET, needed
from controlplane.apiserver.catalog.names import unaskable
from controlplane.apiserver.registry.metadata import suffix

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# An hour and seven seconds: the API server gives such tokens a long grace for old clients.
_TOKEN_SECONDS = 3607
_MIRROR = "kubernetes.io/config.mirror"
_ENFORCED = "kubernetes.io/enforce-mountable-secrets"
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_DEFAULT = "default"
_VOLUME = "kube-api-access-"
# How long a pod waits for its namespace's default account, and how often it looks.
_DEFAULT_SECONDS, _LOOK_SECONDS = 1.5, 0.05


class ServiceAccounts(Plugin):
    name = "ServiceAccount"

    def concerns(self, kind: Kind, subresource: str, operation: Operation) -> bool:
        return kind is kinds.POD and (subresource, operation) in (("", "CREATE"), ("ephemeralcontainers", "UPDATE"))

    def admit(self, admission: Admission) -> Wait:
        """Raises Forbidden when the account is not there."""
        pod = admission.obj
        assert pod is not None
        if admission.subresource:
            return None
        if _is_mirror(pod):
            self.validate(admission)
            return None
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or _DEFAULT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        if name == _DEFAULT and self.registry.find(kinds.SERVICE_ACCOUNT, admission.namespace, name) is None:
            return self._patiently(admission, spec)
        self._furnish(admission, spec)
        return None

    async def _patiently(self, admission: Admission, spec: Obj) -> None:
        """A namespace that was just made gets its default account in a moment: wait for that as upstream does."""
        end = asyncio.get_running_loop().time() + _DEFAULT_SECONDS
        while self.registry.find(kinds.SERVICE_ACCOUNT, admission.namespace, _DEFAULT) is None:
            if asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._furnish(admission, spec)

    def _furnish(self, admission: Admission, spec: Obj) -> None:
        account = self._account(admission, spec)
        if _wants_token(spec, account):
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [{"name": s["name"]} for s in account["imagePullSecrets"]]
        self.validate(admission)

    def _account(self, admission: Admission, spec: Obj) -> Obj:
        name = spec.get("serviceAccountName") or ""
        if not name:
            raise _refused(admission, f"no service account specified for pod {admission.namespace}/{admission.name}")
        account = self.registry.find(kinds.SERVICE_ACCOUNT, admission.namespace, name)
        if account is None:
            why = unaskable(name) or f'serviceaccount "{name}" not found'
            raise _refused(admission, f"error looking up service account {admission.namespace}/{name}: {why}")
        return account

    def validate(self, admission: Admission) -> None:
        """Raises Forbidden for secrets that the account does not name, and for mirror pods that need an account."""
        pod = admission.obj
        assert pod is not None
        if _is_mirror(pod) and not admission.subresource:
            if why := _mirrored(pod):
                raise _refused(admission, why)
            return
        account = self._account(admission, pod["spec"])
        if (account["metadata"].get("annotations") or {}).get(_ENFORCED) not in _TRUE:
            return
        if admission.subresource:
            for why in _of_debuggers(pod["spec"], account):
                # Upstream returns the bare text here, which becomes an answer without a reason.
                raise errors.ApiError(why, code=500, reason="")
        for why in _foreign_secrets(pod["spec"], account):
            raise _refused(admission, why)


def _refused(admission: Admission, why: str) -> errors.Forbidden:
    return errors.forbidden("pods", admission.name, why)


def _is_mirror(pod: Obj) -> bool:
    return _MIRROR in (pod["metadata"].get("annotations") or {})


def _mirrored(pod: Obj) -> str:
    """What a mirror pod asks for that its node could not give it; "" for nothing."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        return "a mirror pod may not reference service accounts"
    if any(kind == SECRET for kind, _, _ in needed(pod)):
        return "a mirror pod may not reference secrets"
    sources = (s for v in spec.get("volumes") or () for s in (v.get("projected") or {}).get("sources") or ())
    if any(source.get("serviceAccountToken") is not None for source in sources):
        return "a mirror pod may not use ServiceAccountToken volume projections"
    return ""


def _own(account: Obj, field: str) -> set[str]:
    return {secret.get("name") for secret in account.get(field) or ()}


def _foreign_secrets(spec: Obj, account: Obj) -> Iterator[str]:
    """What a pod uses of secrets that its account does not name."""
    own, because = _own(account, "secrets"), _because(account)
    for volume in spec.get("volumes") or ():
        name = (volume.get("secret") or {}).get("secretName")
        if volume.get("secret") is not None and name not in own:
            yield f'volume with secret.secretName="{name}" {because} secret'
    for field, what in (("initContainers", "init container"), ("containers", "container")):
        yield from _of_containers(spec.get(field) or (), what, own, because)
    pulls = _own(account, "imagePullSecrets")
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if secret.get("name") not in pulls:
            yield f'imagePullSecrets[{index}].name="{secret.get("name")}" {because} imagePullSecret'


def _of_debuggers(spec: Obj, account: Obj) -> Iterator[str]:
    """The same for the ephemeral containers, which come later."""
    own = _own(account, "secrets")
    yield from _of_containers(spec.get("ephemeralContainers") or (), "ephemeral container", own, _because(account))


def _because(account: Obj) -> str:
    return f"is not allowed because service account {account['metadata']['name']} does not reference that"


def _of_containers(containers: Iterable[Obj], what: str, own: set[str], because: str) -> Iterator[str]:
    for container in containers:
        for variable in container.get("env") or ():
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if reference is not None and reference.get("name") not in own:
                where = f"{what} {container['name']} with envVar {variable['name']}"
                yield f'{where} referencing secret.secretName="{reference.get("name")}" {because} secret'
        for source in container.get("envFrom") or ():
            reference = source.get("secretRef")
            if reference is not None and reference.get("name") not in own:
                where = f"{what} {container['name']} with envFrom"
                yield f'{where} referencing secret.secretName="{reference.get("name")}" {because} secret'


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
    volumes = spec.get("volumes") or []
    standing = next((volume["name"] for volume in volumes if volume["name"].startswith(_VOLUME)), "")
    name = standing or f"{_VOLUME}{suffix()}"
    for container in needy:
        mount = {"name": name, "readOnly": True, "mountPath": MOUNT}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]
    if standing:
        return
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
    spec["volumes"] = [*volumes, volume]
