"""What is refused of roles and bindings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controlplane.apiserver.rules.cases import Obj, expect, put, teller, told


def made(kind: str, **fields: Any) -> Obj:
    metadata = {"name": "x", "namespace": "n"}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, **fields}


GROUP = "rbac.authorization.k8s.io"
RULE = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
PATHS = {"verbs": ["get"], "nonResourceURLs": ["/x"]}
ROLE_REF = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "r"}


@pytest.mark.parametrize(
    ("kind", "rule", "wanted"),
    [
        ("Role", RULE, []),
        ("ClusterRole", PATHS, []),
        (
            "Role",
            PATHS,
            ['.nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs'],
        ),
        (
            "ClusterRole",
            {**PATHS, "resources": ["pods"]},
            ['.nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource'],
        ),
        (
            "ClusterRole",
            {},
            [
                ".verbs: Required value: verbs must contain at least one value",
                ".apiGroups: Required value: resource rules must supply at least one api group",
                ".resources: Required value: resource rules must supply at least one resource",
            ],
        ),
    ],
)
def test_roles(kind: str, rule: Obj, wanted: list[str]) -> None:
    expect(told(made(kind, rules=[rule])), [f"rules[0]{text}" for text in wanted])


def test_what_a_role_gathers() -> None:
    where = "aggregationRule.clusterRoleSelectors"
    tell = teller(made("ClusterRole"))
    expect(tell({"aggregationRule": {}}), [f"{where}: Required value: at least one clusterRoleSelector required"])
    odd = {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]}
    expect(
        tell({"aggregationRule": odd}),
        [
            f'{where}[0].matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
            f"{where}[0]: Invalid value: null: invalid label selector.",
        ],
    )
    expect(
        tell({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"/a": "b"}}]}}),
        [f'{where}[0].matchLabels: Invalid value: "/a"', f"{where}[0]: Invalid value: null: invalid label selector."],
    )
    expect(
        tell({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "-"}}, {"matchLabels": {"b": "-"}}]}}),
        [
            f'{where}[0].matchLabels: Invalid value: "-"',
            f"{where}[0]: Invalid value: null: invalid label selector.",
            f'{where}[1].matchLabels: Invalid value: "-"',
            f"{where}[1]: Invalid value: null: invalid label selector.",
        ],
    )


SUBJECT = "subjects[0]"


@pytest.mark.parametrize(
    ("kind", "changes", "wanted"),
    [
        ("RoleBinding", {}, []),
        ("ClusterRoleBinding", {}, []),
        ("RoleBinding", {"roleRef.kind": "Role"}, []),
        (
            "ClusterRoleBinding",
            {"roleRef": {"apiGroup": "x", "kind": "Role", "name": "a/b"}},
            [
                f'roleRef.apiGroup: Unsupported value: "x": supported values: "{GROUP}"',
                'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
                "roleRef.name: Invalid value: \"a/b\": may not contain '/'",
            ],
        ),
        ("RoleBinding", {"subjects": [{"kind": "ServiceAccount", "name": "s"}]}, []),
        (
            "ClusterRoleBinding",
            {"subjects": [{"kind": "ServiceAccount", "name": "S", "apiGroup": "x"}]},
            [
                f'{SUBJECT}.name: Invalid value: "S": a lowercase RFC 1123 subdomain must consist of',
                f'{SUBJECT}.apiGroup: Unsupported value: "x": supported values: ""',
                f"{SUBJECT}.namespace: Required value",
            ],
        ),
        (
            "RoleBinding",
            {"subjects": [{"kind": "User", "apiGroup": "x"}]},
            [
                f"{SUBJECT}.name: Required value",
                f'{SUBJECT}.apiGroup: Unsupported value: "x": supported values: "{GROUP}"',
            ],
        ),
        (
            "RoleBinding",
            {"subjects": [{"kind": "X", "name": "x"}]},
            [f'{SUBJECT}.kind: Unsupported value: "X": supported values: "ServiceAccount", "User", "Group"'],
        ),
    ],
)
def test_bindings(kind: str, changes: Obj, wanted: list[str]) -> None:
    expect(teller(made(kind, roleRef=ROLE_REF))(changes), wanted)


@pytest.mark.parametrize("kind", ["RoleBinding", "ClusterRoleBinding"])
def test_a_binding_stays_with_its_role(kind: str) -> None:
    old = made(kind, roleRef=ROLE_REF)
    expect(
        told(put(old, {"roleRef.name": "s"}), old),
        [f'roleRef: Invalid value: {{"APIGroup":"{GROUP}","Kind":"ClusterRole","Name":"s"}}: cannot change roleRef'],
    )
