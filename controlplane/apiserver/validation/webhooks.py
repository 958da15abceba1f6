"""Webhook configurations, and the rules that they share with admission policies.

Expressions are looked at for what needs no compiler: that they are there, and named.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from apimachinery import errors, formats
from apimachinery.objects import Obj
from controlplane.apiserver.rules.values import PORT_RANGE, Found, each, enum, label_selector

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
REINVOCATION = ("IfNeeded", "Never")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_REVIEWS = ("v1", "v1beta1")
_SCOPES = ("*", "Cluster", "Namespaced")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_URL_FORM = "desired format: https://host[/path]"
_MOST_CONDITIONS = 64


def validating(obj: Obj) -> Found:
    return _configuration(obj, mutates=False)


def mutating(obj: Obj) -> Found:
    return _configuration(obj, mutates=True)


def _configuration(obj: Obj, mutates: bool) -> Found:
    found: Found = []
    names: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or ()):
        path, title = f"webhooks[{index}]", hook.get("name") or ""
        found += _hook(path, hook, mutates)
        found += _reviews(f"{path}.admissionReviewVersions", hook.get("admissionReviewVersions") or [])
        if title and title in names:
            found.append(errors.duplicate(f"{path}.name", title))
        names.add(title)
    return found


def _hook(path: str, hook: Obj, mutates: bool) -> Found:
    found = _full_name(f"{path}.name", hook.get("name") or "")
    for index, rule in enumerate(hook.get("rules") or ()):
        found += rule_with_operations(f"{path}.rules[{index}]", rule)
    if hook.get("failurePolicy") is not None:
        found += enum(f"{path}.failurePolicy", hook["failurePolicy"], FAILURE_POLICIES)
    if hook.get("matchPolicy") is not None:
        found += enum(f"{path}.matchPolicy", hook["matchPolicy"], MATCH_POLICIES)
    effects = hook.get("sideEffects")
    # Required by the definitions, and yet a client may leave it out: then it is told which there are.
    if not effects:
        found.append(errors.required(f"{path}.sideEffects", f"must specify one of {', '.join(_SIDE_EFFECTS)}"))
    else:
        found += enum(f"{path}.sideEffects", effects, _SIDE_EFFECTS)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        text = "the timeout value must be between 1 and 30 seconds"
        found.append(errors.invalid(f"{path}.timeoutSeconds", seconds, text))
    for field in ("namespaceSelector", "objectSelector"):
        found += label_selector(f"{path}.{field}", hook.get(field))
    if mutates and hook.get("reinvocationPolicy") is not None:
        found += enum(f"{path}.reinvocationPolicy", hook["reinvocationPolicy"], REINVOCATION)
    found += _client(f"{path}.clientConfig", hook.get("clientConfig") or {})
    return found + match_conditions(f"{path}.matchConditions", hook.get("matchConditions") or [])


def _full_name(path: str, title: str) -> Found:
    if not title:
        return [errors.required(path)]
    found = each(path, title, formats.dns1123_subdomain(title))
    if not found and title.count(".") < 2:
        text = "should be a domain with at least three segments separated by dots"
        found.append(errors.invalid(path, title, text))
    return found


def _reviews(path: str, versions: list[str]) -> Found:
    if not versions:
        return [errors.required(path, f"must specify one of {', '.join(_REVIEWS)}")]
    found: Found = []
    for index, version in enumerate(versions):
        where = f"{path}[{index}]"
        if version in versions[:index]:
            found.append(errors.invalid(where, version, "duplicate version"))
        else:
            found += each(where, version, formats.dns1035_label(version))
    if not any(version in _REVIEWS for version in versions):
        text = f"must include at least one of {', '.join(_REVIEWS)}"
        found.append(errors.invalid(path, versions, text))
    return found


# --- where a webhook is ---


def _client(path: str, client: Obj) -> Found:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        return [errors.required(path, "exactly one of url or service is required")]
    return _url(f"{path}.url", url) if url is not None else _service(f"{path}.service", service or {})


def _url(path: str, url: str) -> Found:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return [errors.required(path, f"url must be a valid URL: {error}; {_URL_FORM}")]
    found: Found = []
    if parts.scheme != "https":
        found.append(errors.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme; {_URL_FORM}"))
    if not parts.netloc:
        found.append(errors.invalid(path, parts.netloc, f"host must be specified; {_URL_FORM}"))
    if parts.username is not None:
        user = parts.netloc.rpartition("@")[0]
        found.append(errors.invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        found.append(errors.invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        found.append(errors.invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return found


def _service(path: str, service: Obj) -> Found:
    found = [errors.required(f"{path}.{key}") for key in ("name", "namespace") if not service.get(key)]
    number = service.get("port", 443)
    if not 1 <= number <= 65535:
        found.append(errors.invalid(f"{path}.port", number, f"port is not valid: {PORT_RANGE}"))
    return found + _service_path(f"{path}.path", service.get("path"))


def _service_path(path: str, url: str | None) -> Found:
    if url is None or url == "/":
        return []
    found: Found = []
    if not url.startswith("/"):
        found.append(errors.invalid(path, url, "must start with a '/'"))
    rest = url[1:].removesuffix("/")
    for index, segment in enumerate(rest.split("/") if rest else ()):
        if not segment:
            found.append(errors.invalid(path, url, f"segment[{index}] may not be empty"))
            continue
        for text in formats.dns1123_subdomain(segment):
            found.append(errors.invalid(path, url, f"segment[{index}]: {text}"))
    return found


# --- rules, conditions ---


def rule_with_operations(path: str, rule: Obj) -> Found:
    operations = rule.get("operations") or []
    found: Found = []
    if not operations:
        found.append(errors.required(f"{path}.operations"))
    elif "*" in operations and len(operations) > 1:
        text = "if '*' is present, must not specify other operations"
        found.append(errors.invalid(f"{path}.operations", operations, text))
    for index, operation in enumerate(operations):
        found += enum(f"{path}.operations[{index}]", operation, _OPERATIONS)
    for field, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        listed = rule.get(field) or []
        if not listed:
            found.append(errors.required(f"{path}.{field}"))
        elif "*" in listed and len(listed) > 1:
            text = f"if '*' is present, must not specify other {what}"
            found.append(errors.invalid(f"{path}.{field}", listed, text))
        if field == "apiVersions":
            found += [errors.required(f"{path}.{field}[{index}]") for index, text in enumerate(listed) if not text]
    found += _resources(f"{path}.resources", rule.get("resources") or [])
    if rule.get("scope") is not None:
        found += enum(f"{path}.scope", rule["scope"], _SCOPES)
    return found


def _resources(path: str, resources: list[str]) -> Found:
    """Resources and subresources; a wildcard leaves nothing beside it to say."""
    found: Found = [] if resources else [errors.required(path)]
    whole: set[str] = set()
    parts: set[str] = set()
    plain = False
    for index, text in enumerate(resources):
        where = f"{path}[{index}]"
        if not text:
            found.append(errors.required(where))
            continue
        resource, slash, part = text.partition("/")
        if not slash:
            plain = text != "*"
            continue
        if resource in whole:
            found.append(errors.invalid(where, text, f"if '{resource}/*' is present, must not specify {text}"))
        if part in parts:
            found.append(errors.invalid(where, text, f"if '*/{part}' is present, must not specify {text}"))
        if part == "*":
            whole.add(resource)
        if resource == "*":
            parts.add(part)
    if len(resources) > 1 and "*/*" in resources:
        text = "if '*/*' is present, must not specify other resources"
        found.append(errors.invalid(path, resources, text))
    if "*" in resources and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        found.append(errors.invalid(path, resources, text))
    return found


def match_conditions(path: str, conditions: list[Obj]) -> Found:
    found: Found = []
    if len(conditions) > _MOST_CONDITIONS:
        found.append(errors.too_many(path, len(conditions), _MOST_CONDITIONS))
    names: set[str] = set()
    for index, condition in enumerate(conditions):
        where, title = f"{path}[{index}]", condition.get("name") or ""
        if not (condition.get("expression") or "").strip():
            found.append(errors.required(f"{where}.expression"))
        if not title:
            found.append(errors.required(f"{where}.name"))
        else:
            found += each(f"{where}.name", title, formats.qualified_name(title))
            if title in names:
                found.append(errors.duplicate(f"{where}.name", title))
            names.add(title)
    return found


IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*\Z")
