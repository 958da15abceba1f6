"""Field by field: who acts on each published field of a pod, or that nobody does yet.

The published types are walked from PodSpec. A field is acted on by a module, which then names it; or it has no effect
upstream either; or it stands in `apimachinery.coverage` and is answered with a warning. A field that a newer version
publishes fails here until somebody decides.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.coverage import UNSUPPORTED
from apimachinery.schema import Schema

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "io.k8s."

ADMISSION = "controlplane/apiserver/admission/"
CONFIG = "agent/containers/container_config.py"
SANDBOX = "agent/containers/sandbox_config.py"
SECURITY = "agent/containers/security.py"
RESOURCES = "agent/host/resources.py"
GATHERER = "agent/containers/gather.py"
STARTER = "agent/containers/start.py"
SPEC = "agent/podspec.py"
PREDICATES = "agent/admission/predicates.py"
PLACEMENT = "apimachinery/pods/placement.py"
SCHEDULER = "controlplane/scheduler/extract.py"
TERMS = "controlplane/scheduler/terms.py"
SELECTORS = "apimachinery/selectors/labels.py"
VOLUMES = "agent/volumes/extract.py"
PLUGINS = "agent/volumes/plugins.py"
PERSISTENT = "agent/volumes/persistent.py"
CLAIMS = "apimachinery/volumes/claims.py"
DEVICES = "apimachinery/pods/devices.py"
MATCHING = "apimachinery/volumes/matching.py"
EPHEMERAL = "controlplane/controllers/volumes/ephemeral.py"
SOURCES = "agent/volumes/sources.py"
PAYLOAD = "agent/volumes/payload.py"
VARIABLES = "agent/env/variables.py"
DOWNWARD = "agent/downward.py"
PROBER = "agent/probes/prober.py"
CHECKS = "agent/probes/checks.py"
HOOKS = "agent/containers/hooks.py"
RESTARTS = "agent/restarts.py"
RESIZE = "agent/pods/resize.py"

CONTAINER = {
    GATHERER: "args command",
    STARTER: "lifecycle",
    VARIABLES: "env envFrom",
    SPEC: "image imagePullPolicy name restartPolicy terminationMessagePath terminationMessagePolicy",
    "agent/probes/probers.py": "livenessProbe readinessProbe startupProbe",
    SANDBOX: "ports",
    RESOURCES: "resources",
    RESTARTS: "restartPolicyRules",
    RESIZE: "resizePolicy",
    SECURITY: "securityContext",
    CONFIG: "stdin stdinOnce tty workingDir",
    VOLUMES: "volumeMounts",
}
SCHEDULED = {TERMS: "preferredDuringSchedulingIgnoredDuringExecution requiredDuringSchedulingIgnoredDuringExecution"}

# Type: {module, or a folder any module of which: its fields}.
ACTED_ON: dict[str, dict[str, str]] = {
    "api.core.v1.PodSpec": {
        SPEC: "containers ephemeralContainers hostNetwork initContainers restartPolicy terminationGracePeriodSeconds",
        SECURITY: "hostIPC hostPID securityContext shareProcessNamespace",
        SANDBOX: "hostUsers overhead",
        "agent/host/dns.py": "dnsConfig dnsPolicy hostname hostnameOverride setHostnameAsFQDN subdomain",
        "agent/host/hosts.py": "hostAliases",
        VARIABLES: "enableServiceLinks",
        "agent/env/build.py": "imagePullSecrets",
        "agent/objects/tokens.py": "serviceAccountName",
        "agent/objects/cache.py": "runtimeClassName",
        "agent/pods/life.py": "activeDeadlineSeconds",
        DEVICES: "resourceClaims",
        RESOURCES: "priority resources",
        PREDICATES: "nodeSelector os",
        "agent/status/conditions.py": "readinessGates",
        VOLUMES: "volumes",
        PLACEMENT: "affinity tolerations",
        SCHEDULER: "nodeName preemptionPolicy schedulerName schedulingGates",
        TERMS: "topologySpreadConstraints",
        ADMISSION: "automountServiceAccountToken serviceAccount priorityClassName",
    },
    "api.core.v1.Container": CONTAINER,
    "api.core.v1.EphemeralContainer": {
        **CONTAINER,
        GATHERER: "args command targetContainerName",
        RESIZE: "",
    },
    "api.core.v1.Affinity": {PLACEMENT: "nodeAffinity", TERMS: "podAffinity podAntiAffinity"},
    "api.core.v1.PodDNSConfig": {"agent/host/dns.py": "nameservers options searches"},
    "api.core.v1.PodDNSConfigOption": {"agent/host/dns.py": "name value"},
    "api.core.v1.HostAlias": {"agent/host/hosts.py": "hostnames ip"},
    "api.core.v1.LocalObjectReference": {"agent/env/build.py": "name"},
    "api.core.v1.PodResourceClaim": {DEVICES: "name resourceClaimName resourceClaimTemplateName"},
    "api.core.v1.PodOS": {PREDICATES: "name"},
    "api.core.v1.PodReadinessGate": {"agent/status/conditions.py": "conditionType"},
    "api.core.v1.ContainerResizePolicy": {RESIZE: "resourceName restartPolicy"},
    "api.core.v1.ResourceRequirements": {RESOURCES: "limits requests", "agent/devices/claims.py": "claims"},
    "api.core.v1.ResourceClaim": {"agent/devices/claims.py": "name request"},
    "api.core.v1.PodSchedulingGate": {SCHEDULER: "name"},
    "api.core.v1.PodSecurityContext": {
        SECURITY: "fsGroup runAsGroup runAsNonRoot runAsUser seLinuxOptions seccompProfile supplementalGroups "
        "supplementalGroupsPolicy",
        SPEC: "appArmorProfile fsGroupChangePolicy sysctls",
    },
    "api.core.v1.Toleration": {
        PLACEMENT: "effect key operator value",
        "controlplane/controllers/nodelifecycle/": "tolerationSeconds",
    },
    "api.core.v1.TopologySpreadConstraint": {
        TERMS: "labelSelector matchLabelKeys maxSkew minDomains nodeAffinityPolicy nodeTaintsPolicy topologyKey "
        "whenUnsatisfiable"
    },
    "api.core.v1.Volume": {
        VOLUMES: "name",
        PLUGINS: "configMap downwardAPI emptyDir hostPath image projected secret",
        PERSISTENT: "ephemeral persistentVolumeClaim",
    },
    "api.core.v1.PersistentVolumeClaimVolumeSource": {CLAIMS: "claimName readOnly"},
    "api.core.v1.EphemeralVolumeSource": {EPHEMERAL: "volumeClaimTemplate"},
    "api.core.v1.PersistentVolumeClaimTemplate": {EPHEMERAL: "spec"},
    "api.core.v1.PersistentVolumeClaimSpec": {
        CLAIMS: "storageClassName volumeName",
        MATCHING: "accessModes resources selector volumeAttributesClassName volumeMode",
    },
    "api.core.v1.VolumeResourceRequirements": {MATCHING: "requests"},
    "api.core.v1.EnvVar": {VARIABLES: "name value valueFrom"},
    "api.core.v1.EnvFromSource": {VARIABLES: "configMapRef prefix secretRef"},
    "api.core.v1.Lifecycle": {STARTER: "postStart", "agent/containers/kill.py": "preStop"},
    "api.core.v1.Probe": {
        PROBER: "exec grpc httpGet tcpSocket",
        "agent/probes/": "failureThreshold initialDelaySeconds periodSeconds successThreshold timeoutSeconds",
        "agent/containers/kill.py": "terminationGracePeriodSeconds",
    },
    "api.core.v1.ContainerPort": {SANDBOX: "containerPort hostIP hostPort protocol", CHECKS: "name"},
    "api.core.v1.ContainerRestartRule": {RESTARTS: "action exitCodes"},
    "api.core.v1.ContainerRestartRuleOnExitCodes": {RESTARTS: "operator values"},
    "api.core.v1.SecurityContext": {
        SECURITY: "allowPrivilegeEscalation capabilities privileged procMount readOnlyRootFilesystem runAsGroup "
        "runAsNonRoot runAsUser seLinuxOptions seccompProfile",
        SPEC: "appArmorProfile",
    },
    "api.core.v1.VolumeMount": {
        VOLUMES: "mountPath mountPropagation name readOnly recursiveReadOnly subPath subPathExpr"
    },
    "api.core.v1.NodeAffinity": {
        PLACEMENT: "requiredDuringSchedulingIgnoredDuringExecution",
        SCHEDULER: "preferredDuringSchedulingIgnoredDuringExecution",
    },
    "api.core.v1.PodAffinity": SCHEDULED,
    "api.core.v1.PodAntiAffinity": SCHEDULED,
    "api.core.v1.AppArmorProfile": {SECURITY: "localhostProfile type"},
    "api.core.v1.SELinuxOptions": {SECURITY: "level role type user"},
    "api.core.v1.SeccompProfile": {SECURITY: "localhostProfile type"},
    "api.core.v1.Sysctl": {SPEC: "name value"},
    "apimachinery.pkg.apis.meta.v1.LabelSelector": {SELECTORS: "matchExpressions matchLabels"},
    "apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement": {SELECTORS: "key operator values"},
    "api.core.v1.ConfigMapVolumeSource": {PAYLOAD: "defaultMode items name optional"},
    "api.core.v1.DownwardAPIVolumeSource": {PAYLOAD: "defaultMode items"},
    "api.core.v1.EmptyDirVolumeSource": {PLUGINS: "medium", "agent/pods/storage.py": "sizeLimit"},
    "api.core.v1.HostPathVolumeSource": {PLUGINS: "path type"},
    "api.core.v1.ImageVolumeSource": {"agent/containers/image_volumes.py": "pullPolicy reference"},
    "api.core.v1.ProjectedVolumeSource": {SOURCES: "defaultMode sources"},
    "api.core.v1.SecretVolumeSource": {PAYLOAD: "defaultMode items optional secretName"},
    "api.core.v1.EnvVarSource": {
        VARIABLES: "configMapKeyRef fieldRef fileKeyRef resourceFieldRef secretKeyRef",
    },
    "api.core.v1.ConfigMapEnvSource": {VARIABLES: "name optional"},
    "api.core.v1.SecretEnvSource": {VARIABLES: "name optional"},
    "api.core.v1.LifecycleHandler": {HOOKS: "exec httpGet sleep"},
    "api.core.v1.ExecAction": {HOOKS: "command"},
    "api.core.v1.GRPCAction": {PROBER: "port service"},
    "api.core.v1.HTTPGetAction": {CHECKS: "host httpHeaders path port scheme"},
    "api.core.v1.TCPSocketAction": {PROBER: "host port"},
    "api.core.v1.Capabilities": {SECURITY: "add drop"},
    "api.core.v1.PreferredSchedulingTerm": {SCHEDULER: "preference weight"},
    "api.core.v1.NodeSelector": {PLACEMENT: "nodeSelectorTerms"},
    "api.core.v1.WeightedPodAffinityTerm": {TERMS: "podAffinityTerm weight"},
    "api.core.v1.PodAffinityTerm": {
        TERMS: "labelSelector matchLabelKeys mismatchLabelKeys namespaceSelector namespaces topologyKey"
    },
    "api.core.v1.KeyToPath": {PAYLOAD: "key mode path"},
    "api.core.v1.DownwardAPIVolumeFile": {PAYLOAD: "fieldRef mode path resourceFieldRef"},
    "api.core.v1.VolumeProjection": {SOURCES: "configMap downwardAPI secret serviceAccountToken"},
    "api.core.v1.ConfigMapKeySelector": {VARIABLES: "key name optional"},
    "api.core.v1.ObjectFieldSelector": {VARIABLES: "fieldPath"},
    "api.core.v1.FileKeySelector": {VARIABLES: "key optional path volumeName"},
    "api.core.v1.ResourceFieldSelector": {VARIABLES: "containerName", DOWNWARD: "divisor resource"},
    "api.core.v1.SecretKeySelector": {VARIABLES: "key name optional"},
    "api.core.v1.SleepAction": {HOOKS: "seconds"},
    "api.core.v1.HTTPHeader": {CHECKS: "name value"},
    "api.core.v1.NodeSelectorTerm": {PLACEMENT: "matchExpressions matchFields"},
    "api.core.v1.NodeSelectorRequirement": {PLACEMENT: "key operator values"},
    "api.core.v1.ConfigMapProjection": {PAYLOAD: "items name optional"},
    "api.core.v1.DownwardAPIProjection": {PAYLOAD: "items"},
    "api.core.v1.SecretProjection": {PAYLOAD: "items name optional"},
    "api.core.v1.ServiceAccountTokenProjection": {SOURCES: "audience expirationSeconds", PAYLOAD: "path"},
}

# What says nothing to a node upstream either, and why.
NO_EFFECT = {
    "api.core.v1.PersistentVolumeClaimTemplate.metadata": "becomes the claim's, which no node reads",
    "api.core.v1.VolumeResourceRequirements.limits": "no driver is there to hold a volume to it",
    "api.core.v1.ObjectFieldSelector.apiVersion": "v1 is the only version of the paths",
    "api.core.v1.EphemeralContainer.resizePolicy": "not allowed there",
}


@functools.lru_cache
def published() -> dict[str, list[str]]:
    """The fields of every type below PodSpec that something acts on or must; below a field nobody acts on nothing is
    looked at."""
    definitions = Schema.load().definitions
    whole = {f"{PREFIX}api.{key}" for key in UNSUPPORTED if "=" not in key}
    found: dict[str, list[str]] = {}
    todo = [f"{PREFIX}api.core.v1.PodSpec"]
    while todo:
        name = todo.pop()
        properties = definitions[name].get("properties")
        if name in found or not properties:
            continue
        found[name] = [field for field in properties if f"{name}.{field}" not in whole]
        short = name.removeprefix(PREFIX)
        followed = (field for field in found[name] if f"{short}.{field}" not in NO_EFFECT)
        todo += [ref for field in followed for ref in references(properties[field])]
    return {name.removeprefix(PREFIX): fields for name, fields in found.items()}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


@functools.lru_cache
def texts(place: str) -> frozenset[str]:
    """Every string that a module, or the modules of a folder, hold."""
    path = ROOT / place
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    return frozenset(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))


def test_every_published_field_has_somebody_or_is_warned_about() -> None:
    nobody = []
    for name, fields in published().items():
        acted = {field for listed in ACTED_ON.get(name, {}).values() for field in listed.split()}
        nobody += [f"{name}.{f}" for f in fields if f not in acted and f"{name}.{f}" not in NO_EFFECT]
    assert not nobody


def test_the_table_names_only_what_is_published_and_not_warned_about() -> None:
    known = published()
    odd = [
        f"{name}.{field}"
        for name, modules in ACTED_ON.items()
        for listed in modules.values()
        for field in listed.split()
        if field not in known.get(name, ())
    ]
    assert not odd
    assert not [key for key in NO_EFFECT if key.rpartition(".")[2] not in known.get(key.rpartition(".")[0], ())]


@pytest.mark.parametrize("name", ACTED_ON)
def test_who_acts_on_a_field_names_it(name: str) -> None:
    silent = [
        f"{place}: {field}"
        for place, listed in ACTED_ON[name].items()
        for field in listed.split()
        if field not in texts(place)
    ]
    assert not silent
