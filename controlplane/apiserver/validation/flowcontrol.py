"""FlowSchemas and PriorityLevelConfigurations, and the APIServices of aggregated groups."""

from __future__ import annotations

from apimachinery import errors, formats
from controlplane.apiserver.rules.values import PORT_RANGE, Found, Obj, each, enum

_MOST_PRECEDENCE = 10000
_METHODS, _SUBJECTS = ("ByNamespace", "ByUser"), ("Group", "ServiceAccount", "User")
_TYPES, _RESPONSES = ("Exempt", "Limited"), ("Queue", "Reject")
_MOST_QUEUES, _MOST_HANDS = 10_000_000, 60


def schema(obj: Obj) -> Found:
    spec = obj.get("spec") or {}
    precedence, method = spec.get("matchingPrecedence") or 0, spec.get("distinguisherMethod")
    found: Found = []
    if precedence <= 0:
        found.append(errors.invalid("spec.matchingPrecedence", precedence, "must be a positive value"))
    if precedence > _MOST_PRECEDENCE:
        text = f"must not be greater than {_MOST_PRECEDENCE}"
        found.append(errors.invalid("spec.matchingPrecedence", precedence, text))
    if method is not None and method.get("type") not in _METHODS:
        shown = {"Type": method.get("type") or ""}
        found.append(errors.not_supported("spec.distinguisherMethod.type", shown, _METHODS))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    if not level:
        text = "must reference a priority level"
        found.append(errors.required("spec.priorityLevelConfiguration.name", text))
    else:
        found += each("spec.priorityLevelConfiguration.name", level, formats.dns1123_subdomain(level))
    for index, rule in enumerate(spec.get("rules") or ()):
        found += _rule(f"spec.rules[{index}]", rule)
    return found


def _rule(path: str, rule: Obj) -> Found:
    subjects, resources, urls = (rule.get(key) or [] for key in ("subjects", "resourceRules", "nonResourceRules"))
    found: Found = []
    if not subjects:
        found.append(errors.required(f"{path}.subjects", "subjects must contain at least one value"))
    for index, subject in enumerate(subjects):
        found += _subject(f"{path}.subjects[{index}]", subject)
    if not resources and not urls:
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        found.append(errors.required(path, text))
    for index, entry in enumerate(resources):
        found += _resource(f"{path}.resourceRules[{index}]", entry)
    for index, entry in enumerate(urls):
        where = f"{path}.nonResourceRules[{index}]"
        found += _verbs(f"{where}.verbs", entry)
        if not entry.get("nonResourceURLs"):
            text = "nonResourceURLs must contain at least one value"
            found.append(errors.required(f"{where}.nonResourceURLs", text))
    return found


def _subject(path: str, subject: Obj) -> Found:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECTS:
        return enum(f"{path}.kind", kind, _SUBJECTS)
    field = kind[0].lower() + kind[1:]
    named = subject.get(field)
    if named is None:
        return [errors.required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'")]
    keys = ("name", "namespace") if kind == "ServiceAccount" else ("name",)
    return [errors.required(f"{path}.{field}.{key}") for key in keys if not named.get(key)]


def _verbs(path: str, entry: Obj) -> Found:
    verbs = entry.get("verbs") or []
    if not verbs:
        return [errors.required(path, "verbs must contain at least one value")]
    if "*" in verbs and len(verbs) > 1:
        return [errors.invalid(path, verbs, "if '*' is present, must not specify other verbs")]
    return []


def _resource(path: str, entry: Obj) -> Found:
    found = _verbs(f"{path}.verbs", entry)
    for field, one, many in (
        ("apiGroups", "api group", "api groups"),
        ("resources", "resource", "resources"),
    ):
        listed = entry.get(field) or []
        if not listed:
            found.append(errors.required(f"{path}.{field}", f"resource rules must supply at least one {one}"))
        elif "*" in listed and len(listed) > 1:
            text = f"if '*' is present, must not specify other {many}"
            found.append(errors.invalid(f"{path}.{field}", listed, text))
    spaces = entry.get("namespaces") or []
    if not spaces and not entry.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        found.append(errors.required(f"{path}.namespaces", text))
    elif "*" in spaces and len(spaces) > 1:
        text = "if '*' is present, must not specify other namespaces"
        found.append(errors.invalid(f"{path}.namespaces", spaces, text))
    return found


# --- priority levels ---


def level(obj: Obj) -> Found:
    spec = obj.get("spec") or {}
    kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    if kind not in _TYPES:
        return enum("spec.type", kind, _TYPES)
    if kind == "Exempt":
        if limited is not None:
            return [errors.field_forbidden("spec.limited", "must be nil if the type is not Limited")]
        return _shares("spec.exempt", exempt or {})
    found: Found = []
    if exempt is not None:
        found.append(errors.field_forbidden("spec.exempt", "must be nil if the type is Limited"))
    if limited is None:
        return [*found, errors.required("spec.limited", "must not be empty when type is Limited")]
    found += _shares("spec.limited", limited)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        text = "if specified, must be a non-negative integer"
        found.append(errors.invalid("spec.limited.borrowingLimitPercent", borrowing, text))
    return found + _response("spec.limited.limitResponse", limited.get("limitResponse") or {})


def _shares(path: str, settings: Obj) -> Found:
    shares, lent = settings.get("nominalConcurrencyShares") or 0, settings.get("lendablePercent") or 0
    found: Found = []
    if shares < 0:
        text = "must be a non-negative integer"
        found.append(errors.invalid(f"{path}.nominalConcurrencyShares", shares, text))
    if not 0 <= lent <= 100:
        text = "must be between 0 and 100, inclusive"
        found.append(errors.invalid(f"{path}.lendablePercent", lent, text))
    return found


def _response(path: str, response: Obj) -> Found:
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind not in _RESPONSES:
        return enum(f"{path}.type", kind, _RESPONSES)
    if kind == "Reject":
        text = "must be nil if limited.limitResponse.type is not Limited"
        return [errors.field_forbidden(f"{path}.queuing", text)] if queuing is not None else []
    if queuing is None:
        text = "must not be empty if limited.limitResponse.type is Limited"
        return [errors.required(f"{path}.queuing", text)]
    return _queues(f"{path}.queuing", queuing)


def _queues(path: str, queuing: Obj) -> Found:
    queues, hand, length = (queuing.get(key) or 0 for key in ("queues", "handSize", "queueLengthLimit"))
    found: Found = []
    for field, value in (("queueLengthLimit", length), ("queues", queues), ("handSize", hand)):
        if value <= 0:
            found.append(errors.invalid(f"{path}.{field}", value, "must be positive"))
    if queues > _MOST_QUEUES:
        text = f"must not be greater than {_MOST_QUEUES}"
        found.append(errors.invalid(f"{path}.queues", queues, text))
    if hand > queues > 0:
        text = f"should not be greater than queues ({queues})"
        found.append(errors.invalid(f"{path}.handSize", hand, text))
    return found


# --- aggregated groups ---


def service(obj: Obj) -> Found:
    """An APIService: its name says which group and version it is."""
    spec, name = obj["spec"], obj["metadata"].get("name") or ""
    group, version, backend = spec.get("group") or "", spec.get("version") or "", spec.get("service")
    found: Found = []
    wanted = f"{version}.{group}"
    if name != wanted:
        found.append(errors.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"'))
    if group and (wrong := formats.dns1123_subdomain(group)):
        found.append(errors.invalid("spec.group", group, ",".join(wrong)))
    if wrong := formats.dns1035_label(version):
        found.append(errors.invalid("spec.version", version, ",".join(wrong)))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= most:
            found.append(errors.invalid(f"spec.{field}", value, f"must be positive and less than {most}"))
    if backend is None:
        if spec.get("caBundle"):
            text = "local APIServices may not have a caBundle"
            found.append(errors.invalid("spec.caBundle", f"{len(spec['caBundle']) * 3 // 4} bytes", text))
        if spec.get("insecureSkipTLSVerify"):
            text = "local APIServices may not have insecureSkipTLSVerify"
            found.append(errors.invalid("spec.insecureSkipTLSVerify", True, text))
        return found
    found += [errors.required(f"spec.service.{key}") for key in ("namespace", "name") if not backend.get(key)]
    number = backend.get("port", 443)
    if not 1 <= number <= 65535:
        found.append(errors.invalid("spec.service.port", number, f"port is not valid: {PORT_RANGE}"))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        text = "may not be true if caBundle is present"
        found.append(errors.invalid("spec.insecureSkipTLSVerify", True, text))
    return found
