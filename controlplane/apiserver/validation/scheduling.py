"""Where a pod may run: affinity, tolerations, spread, gates."""

from __future__ import annotations

from apimachinery import errors, formats
from controlplane.apiserver.rules.values import Found, Obj, each, enum, label_selector

_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def tolerations(path: str, listed: list[Obj]) -> Found:
    found: Found = []
    for index, toleration in enumerate(listed):
        where = f"{path}[{index}]"
        key, operator = toleration.get("key") or "", toleration.get("operator") or ""
        effect, value = toleration.get("effect") or "", toleration.get("value") or ""
        if key:
            found += each(f"{where}.key", key, formats.qualified_name(key))
        if not key and operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.append(errors.invalid(f"{where}.operator", operator, text))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            found.append(errors.invalid(f"{where}.effect", effect, text))
        if operator in ("Equal", ""):
            found += each(f"{where}.operator", value, formats.label_value(value))
        elif operator == "Exists":
            if value:
                text = "value must be empty when `operator` is 'Exists'"
                found.append(errors.invalid(f"{where}.operator", toleration["value"], text))
        else:
            allowed = ("Equal", "Exists", "Lt", "Gt") if operator in ("Lt", "Gt") else ("Equal", "Exists")
            found.append(errors.not_supported(f"{where}.operator", operator, allowed))
        if effect:
            found += enum(f"{where}.effect", effect, _EFFECTS)
    return found


def affinity(path: str, value: Obj | None) -> Found:
    if not value:
        return []
    found: Found = []
    if node := value.get("nodeAffinity"):
        found += _node(f"{path}.nodeAffinity", node)
    for field in ("podAffinity", "podAntiAffinity"):
        if rules := value.get(field):
            found += _pods(f"{path}.{field}", rules)
    return found


def _node(path: str, rules: Obj) -> Found:
    found: Found = []
    required = rules.get(_REQUIRED)
    if required is not None:
        found += node_selector(f"{path}.{_REQUIRED}", required)
    for index, preferred in enumerate(rules.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{index}]"
        found += _weight(where, preferred)
        found += _term(f"{where}.preference", preferred.get("preference") or {})
    return found


def _weight(path: str, preferred: Obj) -> Found:
    weight = preferred.get("weight") or 0
    if not 1 <= weight <= 100:
        return [errors.invalid(f"{path}.weight", weight, "must be in the range 1-100")]
    return []


def node_selector(path: str, selector: Obj) -> Found:
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        text = "must have at least one node selector term"
        return [errors.required(f"{path}.nodeSelectorTerms", text)]
    found: Found = []
    for index, term in enumerate(terms):
        found += _term(f"{path}.nodeSelectorTerms[{index}]", term)
    return found


def _term(path: str, term: Obj) -> Found:
    found: Found = []
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        found += _requirement(f"{path}.matchExpressions[{index}]", expression)
    for index, field in enumerate(term.get("matchFields") or ()):
        found += _field(f"{path}.matchFields[{index}]", field)
    return found


def _requirement(path: str, expression: Obj) -> Found:
    operator, values = expression.get("operator") or "", expression.get("values") or []
    found: Found = []
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            found.append(errors.required(f"{path}.values", text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(errors.field_forbidden(f"{path}.values", text))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            found.append(errors.required(f"{path}.values", text))
    else:
        found.append(errors.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = expression.get("key") or ""
    return found + each(f"{path}.key", key, formats.qualified_name(key))


def _field(path: str, field: Obj) -> Found:
    found: Found = []
    operator, values = field.get("operator") or "", field.get("values") or []
    if operator in ("In", "NotIn"):
        if len(values) != 1:
            text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            found.append(errors.required(f"{path}.values", text))
    else:
        found.append(errors.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    if field.get("key") != "metadata.name":
        found.append(errors.invalid(f"{path}.key", field.get("key") or "", "not a valid field selector key"))
    return found


def _pods(path: str, rules: Obj) -> Found:
    found: Found = []
    for index, term in enumerate(rules.get(_REQUIRED) or ()):
        found += _pod_term(f"{path}.{_REQUIRED}[{index}]", term)
    for index, preferred in enumerate(rules.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{index}]"
        found += _weight(where, preferred)
        found += _pod_term(f"{where}.podAffinityTerm", preferred.get("podAffinityTerm") or {})
    return found


def _pod_term(path: str, term: Obj) -> Found:
    found = label_selector(f"{path}.labelSelector", term.get("labelSelector"))
    found += label_selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for index, namespace in enumerate(term.get("namespaces") or ()):
        found += each(f"{path}.namespaces[{index}]", namespace, formats.dns1123_label(namespace))
    key = term.get("topologyKey") or ""
    if not key:
        found.append(errors.required(f"{path}.topologyKey", "can not be empty"))
    return found + each(f"{path}.topologyKey", key, formats.qualified_name(key))


def spread(path: str, listed: list[Obj]) -> Found:
    found: Found = []
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(listed):
        where = f"{path}[{index}]"
        skew, key = constraint.get("maxSkew") or 0, constraint.get("topologyKey") or ""
        action = constraint.get("whenUnsatisfiable") or ""
        if skew <= 0:
            found.append(errors.invalid(f"{where}.maxSkew", skew, "must be greater than zero"))
        if not key:
            found.append(errors.required(f"{where}.topologyKey", "can not be empty"))
        else:
            found += each(f"{where}.topologyKey", key, formats.qualified_name(key))
        found += enum(f"{where}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        if (key, action) in seen:
            shown = f"{{{key}, {action}}}"
            found.append(errors.duplicate(f"{path}[{index - 1}].{{topologyKey, whenUnsatisfiable}}", shown))
        seen.add((key, action))
        found += _min_domains(where, constraint, action)
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(field) is not None:
                found += enum(f"{where}.{field}", constraint[field], ("Honor", "Ignore"))
        found += label_selector(f"{where}.labelSelector", constraint.get("labelSelector"))
    return found


def _min_domains(path: str, constraint: Obj, action: str) -> Found:
    domains = constraint.get("minDomains")
    if domains is None:
        return []
    found: Found = []
    if domains <= 0:
        found.append(errors.invalid(f"{path}.minDomains", domains, "must be greater than zero"))
    if action != "DoNotSchedule":
        text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        found.append(errors.invalid(f"{path}.minDomains", domains, text))
    return found


def gates(path: str, listed: list[Obj]) -> Found:
    found: Found = []
    seen: set[str] = set()
    for index, gate in enumerate(listed):
        title = gate.get("name") or ""
        found += each(f"{path}[{index}]", title, formats.qualified_name(title))
        if title in seen:
            found.append(errors.duplicate(f"{path}[{index}]", title))
        seen.add(title)
    return found
