"""The metrics of admission policies, under upstream's names."""

from __future__ import annotations

from apimachinery.kit import metrics

ALLOW, DENY, AUDIT, WARN = "allow", "deny", "audit", "warn"
_BUCKETS = (0.0000005, 0.001, 0.01, 0.1, 1.0)
_CHECKS = metrics.counter(
    "apiserver_validating_admission_policy_check",
    "Validations of a policy that were not passed, and what was done about it.",
    ("policy", "policy_binding", "error_type", "enforcement_action"),
)
_CHECK_SECONDS = metrics.histogram(
    "apiserver_validating_admission_policy_check_duration_seconds",
    "How long these took.",
    ("policy", "policy_binding", "error_type", "enforcement_action"),
    _BUCKETS,
)
_MUTATIONS = metrics.counter(
    "apiserver_mutating_admission_policy_check",
    "Mutations by a policy, and why they failed.",
    ("policy", "policy_binding", "error_type"),
)
_MUTATION_SECONDS = metrics.histogram(
    "apiserver_mutating_admission_policy_check_duration_seconds",
    "How long these took.",
    ("policy", "policy_binding", "error_type"),
    _BUCKETS,
)
_KINDS = {
    "compilation": "compile_error",
    "validation failed due to running out of cost budget": "out_of_budget",
}


def error_type(message: str) -> str:
    """What sort of error a text tells of, as upstream reads it; whatever is denied is an error."""
    return next((sort for start, sort in _KINDS.items() if message.startswith(start)), "invalid_error")


def checked(policy: str, binding: str, message: str, action: str, seconds: float) -> None:
    """A validation was not passed."""
    labels = (policy, binding, error_type(message), action)
    _CHECKS.labels(*labels).inc()
    _CHECK_SECONDS.labels(*labels).observe(seconds)


def mutated(policy: str, binding: str, wrong: str | None, seconds: float) -> None:
    """A mutation was made, or not: wrong says why."""
    labels = (policy, binding, "no_error" if wrong is None else error_type(wrong))
    _MUTATIONS.labels(*labels).inc()
    _MUTATION_SECONDS.labels(*labels).observe(seconds)
