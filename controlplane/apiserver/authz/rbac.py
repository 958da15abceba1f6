"""RBAC: an index of roles and bindings by subject, and the decision by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from apimachinery.objects import Obj, name, namespace
from controlplane.apiserver.authn.user import service_account_name
from controlplane.apiserver.authz.rules import Rule, parse
from controlplane.apiserver.request import Attributes, Decision, User

GROUP = "rbac.authorization.k8s.io"
REMEMBERED = 20_000
# Characters of a question, and groups of who asks it, with which it is remembered: others come up with 3 MB of them.
_LONGEST, _MOST_GROUPS = 1000, 100

RoleKey = tuple[str, str]  # (namespace or "" for a ClusterRole, name)


@dataclass(frozen=True)
class Binding:
    """A binding as the decision needs it.

    `subjects` are ("User" or "Group", name) with the text upstream shows.
    """

    kind: str
    namespace: str
    name: str
    role_kind: str
    role: RoleKey
    subjects: tuple[tuple[tuple[str, str], str], ...]

    def reason(self, subject: tuple[str, str]) -> str:
        text = next(text for key, text in self.subjects if key == subject)
        own = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return f'RBAC: allowed by {self.kind} "{own}" of {self.role_kind} "{self.role[1]}" to {text}'


def binding_of(obj: Obj) -> Binding:
    """The value of a RoleBinding or ClusterRoleBinding object."""
    reference, home = obj.get("roleRef") or {}, namespace(obj)
    role = (home if reference.get("kind") == "Role" else "", reference.get("name", ""))
    subjects = tuple(_subject(s, home) for s in obj.get("subjects") or ())
    kind = "RoleBinding" if home else "ClusterRoleBinding"
    return Binding(kind, home, name(obj), reference.get("kind", ""), role, subjects)


def _subject(subject: Obj, home: str) -> tuple[tuple[str, str], str]:
    kind, called = subject.get("kind", ""), subject.get("name", "")
    if kind == "ServiceAccount":
        place = subject.get("namespace") or home
        return ("User", service_account_name(place, called)), f'ServiceAccount "{called}/{place}"'
    return (kind, called), f'{kind} "{called}"'


@dataclass
class Policy:
    """All roles and bindings, kept current by `role_changed` and `binding_changed` (subscriptions)."""

    roles: dict[RoleKey, tuple[Rule, ...]] = field(default_factory=dict)
    # (namespace or "", ("User"|"Group", name)) -> binding name -> binding
    bindings: dict[tuple[str, tuple[str, str]], dict[str, Binding]] = field(default_factory=dict)
    _decisions: dict[tuple[object, ...], Decision] = field(default_factory=dict)

    def role_changed(self, old: Obj | None, new: Obj | None) -> None:
        subject = new or old
        if subject is None:
            return
        key = (namespace(subject), name(subject))
        if new is None:
            self.roles.pop(key, None)
        else:
            self.roles[key] = parse(new.get("rules"))
        self._decisions.clear()

    def binding_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None:
            gone = binding_of(old)
            for key, _ in gone.subjects:
                self.bindings.get((gone.namespace, key), {}).pop(gone.name, None)
        if new is not None:
            made = binding_of(new)
            for key, _ in made.subjects:
                self.bindings.setdefault((made.namespace, key), {})[made.name] = made
        self._decisions.clear()

    def decide(self, user: User, wanted: Attributes) -> Decision:
        """Whether some binding of the user grants it.

        The reason names the binding, or the roles that are missing.
        """
        texts = (
            user.name,
            wanted.verb,
            wanted.group,
            wanted.resource,
            wanted.subresource,
            wanted.namespace,
            wanted.name if wanted.is_resource else wanted.path,
        )
        if len(user.groups) > _MOST_GROUPS or sum(map(len, (*texts, *user.groups))) > _LONGEST:
            return self._decide(user, wanted)
        key = (user.groups, *texts)
        known = self._decisions.get(key)
        if known is None:
            if len(self._decisions) >= REMEMBERED:
                self._decisions.clear()
            known = self._decisions[key] = self._decide(user, wanted)
        return known

    def _decide(self, user: User, wanted: Attributes) -> Decision:
        problems: list[str] = []
        for subject, binding in self._bindings_of(user, wanted.namespace):
            rules = self.roles.get(binding.role)
            if rules is None:
                problems.append(_missing(binding))
            elif any(rule.allows(wanted) for rule in rules):
                return Decision(True, binding.reason(subject))
        if not problems:
            return Decision(False)
        unique = list(dict.fromkeys(problems))
        return Decision(False, "RBAC: " + (unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"))

    def rules_of(self, user: User, home: str = "") -> tuple[list[Rule], list[str]]:
        """(every rule the user holds in a namespace, "" for the cluster alone; problems met)."""
        out: list[Rule] = []
        problems: list[str] = []
        for _, binding in self._bindings_of(user, home):
            rules = self.roles.get(binding.role)
            if rules is None:
                problems.append(_missing(binding))
            else:
                out += rules
        return out, list(dict.fromkeys(problems))

    def _bindings_of(self, user: User, home: str) -> Iterator[tuple[tuple[str, str], Binding]]:
        subjects = [("User", user.name), *(("Group", group) for group in user.groups)]
        for place in ("", home) if home else ("",):
            found: dict[str, tuple[tuple[str, str], Binding]] = {}
            for subject in subjects:
                for called, binding in self.bindings.get((place, subject), {}).items():
                    found.setdefault(called, (subject, binding))
            for called in sorted(found):
                yield found[called]


def _missing(binding: Binding) -> str:
    return f'{binding.role_kind.lower()}.{GROUP} "{binding.role[1]}" not found'
