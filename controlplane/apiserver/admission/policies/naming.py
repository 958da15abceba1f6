"""What the expressions of policies and conditions can name for one request."""

from __future__ import annotations

from typing import Any

from apimachinery.cel.libraries.authorizer import Answers, Authorizer, Decision, Question, ResourceCheck
from apimachinery.kinds import NAMESPACE, Kind
from apimachinery.objects import Obj
from controlplane.apiserver.admission.plugin import Needs
from controlplane.apiserver.admission.showing import both
from controlplane.apiserver.admission.webhooks import review
from controlplane.apiserver.admission_request import Admission
from controlplane.apiserver.authn.user import authenticated, service_account_groups, service_account_name
from controlplane.apiserver.request import Attributes, User

# Of a namespace's metadata expressions see these.
_METADATA = (
    *("name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "finalizers"),
)


class Asked:
    """One request, as expressions see it."""

    def __init__(self, admission: Admission, requested: Kind, needs: Needs) -> None:
        self.admission = admission
        self.requested = requested
        self._needs = needs
        self.answers = Answers()

    def ask(self, question: Question) -> Decision:
        """What the authorizer says, of the request's user or of a service account."""
        user = self.admission.user
        if question.account is not None:
            namespace, name = question.account
            user = authenticated(User(service_account_name(namespace, name), groups=service_account_groups(namespace)))
        wanted = Attributes(
            verb=question.verb,
            group=question.group,
            version="*" if question.resource else "",
            resource=question.resource,
            subresource=question.subresource,
            namespace=question.namespace,
            name=question.name,
            path=question.path,
            field_selector=question.fields,
            label_selector=question.labels,
        )
        decision = self._needs.authorize.decide(user, wanted)
        return Decision(decision.allowed, decision.reason)

    async def names(self, kind: Kind, namespace: bool = True) -> dict[str, Any]:
        """The values of names, for what speaks of a version of the request's kind. Raises NotFound, and as
        both() does.
        """
        admission = self.admission
        new, old = await both(admission, kind, self._needs.registry.catalog)
        request = review.described(admission, self.requested, kind)
        return {
            "object": new,
            "oldObject": old,
            "request": request,
            "namespaceObject": self._namespace() if namespace else None,
            "authorizer": Authorizer(self.answers),
            "authorizer.requestResource": ResourceCheck(self.answers, self._question()),
            "params": None,
        }

    def _question(self) -> Question:
        admission = self.admission
        return Question(
            group=self.requested.group,
            resource=self.requested.plural,
            subresource=admission.subresource,
            namespace=review.namespace_of(admission),
            name=admission.given_name,
        )

    def _namespace(self) -> Obj | None:
        """The namespace of what is written; a Namespace itself has none."""
        if self.admission.kind is NAMESPACE or not self.admission.namespace:
            return None
        stored = self._needs.registry.get(NAMESPACE, "", self.admission.namespace)
        metadata = {key: stored["metadata"][key] for key in _METADATA if key in stored["metadata"]}
        return {"metadata": metadata, "spec": stored.get("spec") or {}, "status": stored.get("status") or {}}
