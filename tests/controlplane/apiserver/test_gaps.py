"""Nothing is accepted and then ignored in silence: each kind and field has somebody who acts on it, or says so."""

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apimachinery import kinds
from apimachinery.client import Client
from apimachinery.coverage import IDLE, UNSUPPORTED
from apimachinery.schema import Schema
from controlplane.apiserver.advice.gaps import Gaps
from controlplane.apiserver.resources import builtin
from tests.controlplane.apiserver.server import run

ROOT = Path(__file__).resolve().parents[3]
SERVER, LOOPS = "controlplane/apiserver", "controlplane/controllers"
RBAC = f"{SERVER}/authz/rbac.py"
# Kind -> a file that acts on its objects. "": what upstream's own components do not act on either: they are kept for
# others (an ingress controller that somebody installs, people who read).
ACTING = {
    "apiservices.apiregistration.k8s.io": f"{SERVER}/aggregation/remotes.py",
    "bindings": f"{SERVER}/subresources/binding.py",
    "certificatesigningrequests.certificates.k8s.io": f"{LOOPS}/certificates/signing.py",
    "clusterrolebindings.rbac.authorization.k8s.io": RBAC,
    "clusterroles.rbac.authorization.k8s.io": RBAC,
    "componentstatuses": f"{SERVER}/subresources/components.py",
    "configmaps": "agent/objects/watched.py",
    "controllerrevisions.apps": f"{LOOPS}/daemonset/revisions.py",
    "cronjobs.batch": f"{LOOPS}/cronjob/controller.py",
    "daemonsets.apps": f"{LOOPS}/daemonset/controller.py",
    "deployments.apps": f"{LOOPS}/deployment/controller.py",
    "deviceclasses.resource.k8s.io": "controlplane/scheduler/devices/holdings.py",
    "endpoints": f"{LOOPS}/endpointslicemirroring/controller.py",
    "endpointslices.discovery.k8s.io": "netproxy/tracker.py",
    "events": "",
    "events.events.k8s.io": "",
    "horizontalpodautoscalers.autoscaling": f"{LOOPS}/horizontal/controller.py",
    "ingressclasses.networking.k8s.io": f"{SERVER}/admission/classes.py",
    "ingresses.networking.k8s.io": "",
    "ipaddresses.networking.k8s.io": f"{SERVER}/maintained/addresses.py",
    "jobs.batch": f"{LOOPS}/job/controller.py",
    "leases.coordination.k8s.io": "controlplane/election.py",
    "customresourcedefinitions.apiextensions.k8s.io": f"{SERVER}/custom/definitions.py",
    "limitranges": f"{SERVER}/admission/limits.py",
    "localsubjectaccessreviews.authorization.k8s.io": f"{SERVER}/authz/reviews.py",
    "mutatingadmissionpolicies.admissionregistration.k8s.io": f"{SERVER}/admission/policies/mutating.py",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": f"{SERVER}/admission/policies/mutating.py",
    "validatingadmissionpolicies.admissionregistration.k8s.io": f"{SERVER}/admission/policies/validating.py",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": f"{SERVER}/admission/policies/validating.py",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": f"{SERVER}/admission/webhooks/plugins.py",
    "namespaces": f"{LOOPS}/namespaces.py",
    "networkpolicies.networking.k8s.io": "netproxy/policy/views.py",
    "nodes": "controlplane/scheduler/extract.py",
    "persistentvolumeclaims": f"{LOOPS}/volumes/binder.py",
    "persistentvolumes": f"{LOOPS}/volumes/binder.py",
    "poddisruptionbudgets.policy": f"{LOOPS}/disruption/controller.py",
    "pods": "agent/sources/api.py",
    "podtemplates": "",
    "priorityclasses.scheduling.k8s.io": f"{SERVER}/admission/priority.py",
    "replicasets.apps": f"{LOOPS}/replicaset/controller.py",
    "replicationcontrollers": f"{LOOPS}/replicationcontroller/controller.py",
    "resourceclaims.resource.k8s.io": "agent/devices/claims.py",
    "resourceclaimtemplates.resource.k8s.io": f"{LOOPS}/resourceclaims/controller.py",
    "resourcequotas": f"{SERVER}/admission/quota/plugin.py",
    "resourceslices.resource.k8s.io": "controlplane/scheduler/devices/holdings.py",
    "rolebindings.rbac.authorization.k8s.io": RBAC,
    "roles.rbac.authorization.k8s.io": RBAC,
    "runtimeclasses.node.k8s.io": f"{SERVER}/admission/runtime_classes.py",
    "secrets": "agent/objects/watched.py",
    "selfsubjectaccessreviews.authorization.k8s.io": f"{SERVER}/authz/reviews.py",
    "selfsubjectreviews.authentication.k8s.io": f"{SERVER}/authn/reviews.py",
    "selfsubjectrulesreviews.authorization.k8s.io": f"{SERVER}/authz/reviews.py",
    "serviceaccounts": f"{LOOPS}/service_accounts.py",
    "servicecidrs.networking.k8s.io": f"{LOOPS}/service_ranges.py",
    "services": "netproxy/views.py",
    "statefulsets.apps": f"{LOOPS}/statefulset/controller.py",
    "storageclasses.storage.k8s.io": "apimachinery/volumes/claims.py",
    "subjectaccessreviews.authorization.k8s.io": f"{SERVER}/authz/reviews.py",
    "tokenreviews.authentication.k8s.io": f"{SERVER}/authn/reviews.py",
    "validatingwebhookconfigurations.admissionregistration.k8s.io": f"{SERVER}/admission/webhooks/plugins.py",
    "volumeattachments.storage.k8s.io": f"{LOOPS}/attachments/controller.py",
}


def test_each_kind_has_somebody_who_acts_on_it_or_says_so() -> None:
    served = {kind.resource for kind in builtin.catalog().kinds()}
    assert not ACTING.keys() & IDLE.keys()
    assert served == ACTING.keys() | IDLE.keys()
    missing = [path for path in ACTING.values() if not (ROOT / path).exists()]
    assert not missing


PROXY, SLICES = "netproxy/views.py", f"{LOOPS}/endpointslice/endpoints.py"
SERVICES = f"{SERVER}/strategies/services.py"
DEPLOYMENT, DAEMON = f"{LOOPS}/deployment", f"{LOOPS}/daemonset"
STATEFUL, JOBS, CRON = f"{LOOPS}/statefulset", f"{LOOPS}/job", f"{LOOPS}/cronjob"
HOOKS = f"{SERVER}/admission/webhooks/hooks.py"
LIMITS = f"{SERVER}/admission/limits.py"
# Type -> field -> the file that reads it. "": upstream's components do not act on it either.
FIELDS: dict[str, dict[str, str]] = {
    "core.v1.ServiceSpec": {
        "allocateLoadBalancerNodePorts": f"{SERVER}/strategies/servicefields.py",
        "clusterIP": PROXY,
        "clusterIPs": PROXY,
        "externalIPs": PROXY,
        "externalName": f"{SERVER}/streams/services.py",
        "externalTrafficPolicy": PROXY,
        "healthCheckNodePort": PROXY,
        "internalTrafficPolicy": PROXY,
        "ipFamilies": SERVICES,
        "ipFamilyPolicy": f"{SERVER}/strategies/families.py",
        "loadBalancerIP": "lab/cloud/plan.py",
        "loadBalancerSourceRanges": PROXY,
        "ports": PROXY,
        "publishNotReadyAddresses": SLICES,
        "selector": f"{LOOPS}/endpointslice/controller.py",
        "sessionAffinity": PROXY,
        "sessionAffinityConfig": PROXY,
        "trafficDistribution": f"{LOOPS}/endpointslice/topology.py",
        "type": PROXY,
    },
    "core.v1.ServicePort": {
        "appProtocol": SLICES,
        "name": PROXY,
        "nodePort": PROXY,
        "port": PROXY,
        "protocol": PROXY,
        "targetPort": SLICES,
    },
    "apps.v1.DeploymentSpec": {
        "minReadySeconds": f"{DEPLOYMENT}/plan.py",
        "paused": f"{DEPLOYMENT}/plan.py",
        "progressDeadlineSeconds": f"{DEPLOYMENT}/status.py",
        "replicas": f"{DEPLOYMENT}/sizes.py",
        "revisionHistoryLimit": f"{DEPLOYMENT}/plan.py",
        "selector": f"{DEPLOYMENT}/controller.py",
        "strategy": f"{DEPLOYMENT}/sizes.py",
        "template": f"{DEPLOYMENT}/revisions.py",
    },
    "apps.v1.DeploymentStrategy": {"type": f"{DEPLOYMENT}/sizes.py", "rollingUpdate": f"{DEPLOYMENT}/sizes.py"},
    "apps.v1.RollingUpdateDeployment": {
        "maxSurge": f"{DEPLOYMENT}/sizes.py",
        "maxUnavailable": f"{DEPLOYMENT}/sizes.py",
    },
    "apps.v1.ReplicaSetSpec": {
        "minReadySeconds": f"{LOOPS}/replicaset/plan.py",
        "replicas": f"{LOOPS}/replicaset/plan.py",
        "selector": f"{LOOPS}/owner_loop.py",
        "template": f"{LOOPS}/replicaset/plan.py",
    },
    "apps.v1.DaemonSetSpec": {
        "minReadySeconds": f"{DAEMON}/plan.py",
        "revisionHistoryLimit": f"{DAEMON}/revisions.py",
        "selector": f"{DAEMON}/controller.py",
        "template": f"{DAEMON}/placing.py",
        "updateStrategy": f"{DAEMON}/rolling.py",
    },
    "apps.v1.DaemonSetUpdateStrategy": dict.fromkeys(("type", "rollingUpdate"), f"{DAEMON}/rolling.py"),
    "apps.v1.RollingUpdateDaemonSet": dict.fromkeys(("maxSurge", "maxUnavailable"), f"{DAEMON}/rolling.py"),
    "apps.v1.StatefulSetSpec": {
        "minReadySeconds": f"{STATEFUL}/plan.py",
        "ordinals": f"{STATEFUL}/identity.py",
        "persistentVolumeClaimRetentionPolicy": f"{STATEFUL}/retention.py",
        "podManagementPolicy": f"{STATEFUL}/plan.py",
        "replicas": f"{STATEFUL}/identity.py",
        "revisionHistoryLimit": f"{STATEFUL}/revisions.py",
        "selector": f"{LOOPS}/owner_loop.py",
        "serviceName": f"{STATEFUL}/identity.py",
        "template": f"{STATEFUL}/revisions.py",
        "updateStrategy": f"{STATEFUL}/plan.py",
        "volumeClaimTemplates": f"{STATEFUL}/identity.py",
    },
    "apps.v1.RollingUpdateStatefulSetStrategy": {
        "maxUnavailable": f"{STATEFUL}/plan.py",
        "partition": f"{STATEFUL}/plan.py",
    },
    "core.v1.ReplicationControllerSpec": {
        "minReadySeconds": f"{LOOPS}/replicaset/plan.py",
        "replicas": f"{LOOPS}/replicaset/controller.py",
        "selector": f"{LOOPS}/replicationcontroller/controller.py",
        "template": f"{LOOPS}/replicaset/controller.py",
    },
    "batch.v1.JobSpec": {
        "activeDeadlineSeconds": f"{JOBS}/verdict.py",
        "backoffLimit": f"{JOBS}/verdict.py",
        "backoffLimitPerIndex": f"{JOBS}/facts.py",
        "completionMode": f"{JOBS}/facts.py",
        "completions": f"{JOBS}/facts.py",
        "managedBy": f"{JOBS}/facts.py",
        "manualSelector": f"{SERVER}/strategies/workloads.py",
        "maxFailedIndexes": f"{JOBS}/verdict.py",
        "parallelism": f"{JOBS}/births.py",
        "podFailurePolicy": f"{JOBS}/policies.py",
        "podReplacementPolicy": f"{JOBS}/facts.py",
        "selector": f"{LOOPS}/owner_loop.py",
        "successPolicy": f"{JOBS}/policies.py",
        "suspend": f"{JOBS}/facts.py",
        "template": f"{JOBS}/births.py",
        "ttlSecondsAfterFinished": f"{LOOPS}/job_ttl.py",
    },
    "batch.v1.CronJobSpec": {
        "concurrencyPolicy": f"{CRON}/plan.py",
        "failedJobsHistoryLimit": f"{CRON}/plan.py",
        "jobTemplate": f"{CRON}/plan.py",
        "schedule": f"{CRON}/plan.py",
        "startingDeadlineSeconds": f"{CRON}/plan.py",
        "successfulJobsHistoryLimit": f"{CRON}/plan.py",
        "suspend": f"{CRON}/plan.py",
        "timeZone": f"{CRON}/plan.py",
    },
    "core.v1.NodeSpec": {
        "configSource": "",
        "externalID": "",
        "podCIDR": f"{LOOPS}/node_ipam.py",
        "podCIDRs": f"{LOOPS}/node_ipam.py",
        "providerID": "agent/node/registration.py",
        "taints": "apimachinery/pods/placement.py",
        "unschedulable": "controlplane/scheduler/extract.py",
    },
    "core.v1.Secret": {
        "data": "agent/volumes/payload.py",
        "immutable": "agent/objects/watched.py",
        "stringData": f"{SERVER}/strategies/secrets.py",
        "type": "agent/env/credentials.py",
    },
    "core.v1.ServiceAccount": {
        "automountServiceAccountToken": f"{SERVER}/admission/service_accounts.py",
        "imagePullSecrets": f"{SERVER}/admission/service_accounts.py",
        "secrets": f"{SERVER}/admission/service_accounts.py",
    },
    "core.v1.LimitRangeItem": {
        field: LIMITS for field in ("default", "defaultRequest", "max", "maxLimitRequestRatio", "min", "type")
    },
    "core.v1.ResourceQuotaSpec": {
        "hard": f"{SERVER}/admission/quota/ledger.py",
        "scopeSelector": f"{SERVER}/admission/quota/coverage.py",
        "scopes": f"{SERVER}/admission/quota/coverage.py",
    },
    "scheduling.v1.PriorityClass": {
        "description": "",
        "globalDefault": f"{SERVER}/admission/priority.py",
        "preemptionPolicy": f"{SERVER}/admission/priority.py",
        "value": f"{SERVER}/admission/priority.py",
    },
    "admissionregistration.v1.MutatingWebhook": {
        field: HOOKS
        for field in (
            *("admissionReviewVersions", "clientConfig", "failurePolicy", "matchConditions", "matchPolicy"),
            *("name", "namespaceSelector"),
            *("objectSelector", "reinvocationPolicy", "rules", "sideEffects", "timeoutSeconds"),
        )
    },
    "admissionregistration.v1.WebhookClientConfig": {field: HOOKS for field in ("caBundle", "service", "url")},
    "admissionregistration.v1.ServiceReference": {field: HOOKS for field in ("name", "namespace", "path", "port")},
    "admissionregistration.v1.RuleWithOperations": {
        field: HOOKS for field in ("apiGroups", "apiVersions", "operations", "resources", "scope")
    },
}
FIELDS["admissionregistration.v1.ValidatingWebhook"] = {
    field: path
    for field, path in FIELDS["admissionregistration.v1.MutatingWebhook"].items()
    if field != "reinvocationPolicy"
}
LISTED = UNSUPPORTED


@pytest.mark.parametrize("type_name", FIELDS)
def test_each_field_has_somebody_who_acts_on_it_or_says_so(type_name: str) -> None:
    published = set(Schema.load().definitions[f"io.k8s.api.{type_name}"]["properties"])
    acting = FIELDS[type_name]
    silent = {field for field in published if f"{type_name}.{field}" in LISTED}
    assert not silent & acting.keys()
    assert published - {"apiVersion", "kind", "metadata"} == acting.keys() | silent
    for field, path in acting.items():
        assert not path or f'"{field}"' in (ROOT / path).read_text(), f"{path} does not read {field}"


def told(kind: kinds.Kind, new: dict[str, Any], old: dict[str, Any] | None = None, ours: bool = True) -> list[str]:
    return Gaps(ours).told(kind, Schema.load(), new, old)


def test_fields_are_told_of_where_they_stand() -> None:
    container = {"name": "c", "ports": [{"hostPort": 80}], "volumeDevices": [{"name": "v", "devicePath": "/dev/v"}]}
    spec = {
        "containers": [{"name": "b"}, container],
        "hostUsers": False,
        "volumes": [{"name": "v", "nfs": {"server": "s"}}],
    }
    found = [text.partition(": ")[0] for text in told(kinds.POD, {"spec": spec})]
    assert found == ["spec.containers[1].volumeDevices", "spec.hostUsers", "spec.volumes[0].nfs"]
    (deployed, *_) = told(kinds.DEPLOYMENT, {"spec": {"template": {"spec": spec}}})
    assert deployed.startswith("spec.template.spec.containers[1].volumeDevices: ")
    assert told(kinds.POD, {"spec": {"hostUsers": True, "containers": [{"name": "c"}]}}) == []


def test_changes_are_told_of_what_they_add() -> None:
    old = {"spec": {"containers": [{"volumeDevices": [{"name": "v", "devicePath": "/dev/v"}]}]}}
    assert told(kinds.POD, old, old) == []
    new = {"spec": {**old["spec"], "hostUsers": False}}
    assert [text.partition(": ")[0] for text in told(kinds.POD, new, old)] == ["spec.hostUsers"]
    devices = {"spec": {"extendedResourceName": "a.b/c"}}
    assert told(kinds.DEVICE_CLASS, {**devices, "metadata": {"labels": {"a": "b"}}}, devices) == []
    driver = {"spec": {"attachRequired": True}}
    assert told(kinds.CSI_DRIVER, {**driver, "metadata": {"labels": {"a": "b"}}}, driver) == []
    why = f"CSIDriver: {IDLE['csidrivers.storage.k8s.io']}"
    assert told(kinds.CSI_DRIVER, {"spec": {}}, driver) == [why]


def test_other_people_s_loops_are_not_spoken_for() -> None:
    assert told(kinds.CSI_DRIVER, {"spec": {}}, ours=False) == []


async def warnings(folder: Path, client: Client, path: str, body: dict[str, Any]) -> list[str]:
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    async with (
        aiohttp.ClientSession() as session,
        session.post(client.server + path, json=body, ssl=context) as response,
    ):
        assert response.status == 201, await response.text()
        return [value for key, value in response.headers.items() if key == "Warning"]


def test_the_server_tells_in_a_header(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        version = kinds.CSI_DRIVER.api_version
        driver = {"apiVersion": version, "kind": "CSIDriver", "metadata": {"name": "d"}, "spec": {}}
        (warning,) = await warnings(tmp_path, client, kinds.CSI_DRIVER.path(), driver)
        assert warning == f'299 - "CSIDriver: {IDLE["csidrivers.storage.k8s.io"]}"'
        spec = {"type": "LoadBalancer", "loadBalancerClass": "example.com/own", "ports": [{"port": 80}]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}
        (warning,) = await warnings(tmp_path, client, "/api/v1/namespaces/default/services", service)
        assert warning.startswith('299 - "spec.loadBalancerClass: only what you deploy')
        plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}
        assert await warnings(tmp_path, client, "/api/v1/namespaces/default/configmaps", plain) == []

    run(tmp_path, test, warn_of_gaps=True)


def test_what_is_asked_at_an_object_says_what_of_it_is_unknown(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        home = "/api/v1/namespaces/default"
        await client.request("POST", f"{home}/serviceaccounts", body={"metadata": {"name": "default"}})
        for name in ("p", "q"):
            pod = {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
            await client.request("POST", f"{home}/pods", body=pod)
        named = {"metadata": {"name": "p"}, "odd": 1}
        for path, asked in (
            ("serviceaccounts/default/token", {"odd": 1}),
            ("pods/p/binding", {**named, "target": {"name": "n"}}),
            ("pods/q/eviction", {"metadata": {"name": "q"}, "odd": 1}),
        ):
            assert await warnings(tmp_path, client, f"{home}/{path}", asked) == ['299 - "unknown field \\"odd\\""'], (
                path
            )

    run(tmp_path, test)
