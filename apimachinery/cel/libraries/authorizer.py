"""Asking the authorizer. Source: the documentation of the Kubernetes CEL libraries.

An answer can take time, which an evaluation does not have. So a question that nobody has answered yet ends it as
Unanswered; who evaluates gets the answer and evaluates again. An expression has no effects, so that is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from apimachinery.cel.evaluation.budget import traversal
from apimachinery.cel.libraries import costs
from apimachinery.cel.types.declare import function
from apimachinery.cel.types.kinds import Overload, object_type
from apimachinery.cel.values.kinds import Opaque

# So much that two questions fit an expression.
_CHECK = 350_000
_PREFIX = "kubernetes.authorization."
AUTHORIZER = object_type(f"{_PREFIX}Authorizer")


@dataclass(frozen=True)
class Question:
    """What is asked. path is set for what is no resource. account: of a service account, else the request's user."""

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    fields: str = ""
    labels: str = ""
    account: tuple[str, str] | None = None


class Unanswered(BaseException):
    """An evaluation needs an answer first. No error of an expression: nothing absorbs it."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self.question = question


@dataclass(frozen=True)
class Decision(Opaque):
    """An answer."""

    allowed: bool
    reason: str = ""
    error: str = ""

    cel_type = object_type(f"{_PREFIX}Decision")


@dataclass(eq=False)
class Answers:
    """What has been answered in one request."""

    known: dict[Question, Decision] = field(default_factory=dict)

    def answer(self, question: Question) -> Decision:
        """Raises Unanswered."""
        try:
            return self.known[question]
        except KeyError:
            raise Unanswered(question) from None


@dataclass(frozen=True)
class Authorizer(Opaque):
    """Whom to ask, on whose behalf."""

    answers: Answers
    question: Question = Question()

    cel_type = AUTHORIZER


class PathCheck(Authorizer):
    """A question about a path."""

    cel_type = object_type(f"{_PREFIX}PathCheck")


class GroupCheck(Authorizer):
    """A question about something of a group."""

    cel_type = object_type(f"{_PREFIX}GroupCheck")


class ResourceCheck(Authorizer):
    """A question about a resource."""

    cel_type = object_type(f"{_PREFIX}ResourceCheck")


def _check(given: Authorizer, verb: str) -> Decision:
    return given.answers.answer(replace(given.question, verb=verb))


def _resource(given: Authorizer, **more: str) -> ResourceCheck:
    return ResourceCheck(given.answers, replace(given.question, **more))  # type: ignore[arg-type]


def _account(given: Authorizer, namespace: str, name: str) -> Authorizer:
    return Authorizer(given.answers, replace(given.question, account=(namespace, name)))


def _fixed(_args: costs.Args, _result: object) -> int:
    return _CHECK


def _selector(args: costs.Args, _result: object) -> int:
    return 10 + traversal(len(args[1])) + len(args[1]) * 25


def _functions() -> Iterator[Overload]:
    whole, path, group, resource, decision = (
        _PREFIX + name for name in ("Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision")
    )
    yield function(
        f"{whole}.path(string) -> {path}",
        lambda given, text: PathCheck(given.answers, replace(given.question, path=text)),
    )
    yield function(
        f"{whole}.group(string) -> {group}",
        lambda given, text: GroupCheck(given.answers, replace(given.question, group=text)),
    )
    yield function(f"{whole}.serviceAccount(string, string) -> {whole}", _account)
    yield function(f"{group}.resource(string) -> {resource}", lambda given, text: _resource(given, resource=text))
    for name in ("subresource", "namespace", "name"):
        yield function(f"{resource}.{name}(string) -> {resource}", _setting(name))
    for name, part in (("fieldSelector", "fields"), ("labelSelector", "labels")):
        yield function(f"{resource}.{name}(string) -> {resource}", _setting(part), _selector, True)
    yield function(f"{path}.check(string) -> {decision}", _check, _fixed, True)
    yield function(f"{resource}.check(string) -> {decision}", _check, _fixed, True)
    yield function(f"{decision}.allowed() -> bool", lambda given: given.allowed)
    yield function(f"{decision}.reason() -> string", lambda given: given.reason)
    yield function(f"{decision}.error() -> string", lambda given: given.error)
    yield function(f"{decision}.errored() -> bool", lambda given: bool(given.error))


def _setting(name: str) -> Callable[[Authorizer, str], ResourceCheck]:
    return lambda given, text: _resource(given, **{name: text})


FUNCTIONS: tuple[Overload, ...] = tuple(_functions())
