"""/configz: the settings in the words of upstream's KubeletConfiguration (kubelet.config.k8s.io/v1beta1). Pure.

What is said there is what the agent does: a field of upstream's that is not here has nothing behind it in this agent.
"""

from __future__ import annotations

from agent.node import lease
from agent.server.authorize import PATIENCE
from agent.settings import AgentSettings
from apimachinery import quantity
from apimachinery.objects import Obj


def configuration(settings: AgentSettings) -> Obj:
    """The document that `/configz` shows: {"kubeletconfig": KubeletConfiguration}."""
    return {
        "kubeletconfig": {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            **_where_it_is_set(settings),
            **_served(settings),
            **_told(settings),
            **_run(settings),
        }
    }


def _where_it_is_set(settings: AgentSettings) -> Obj:
    """What is left out where it is empty."""
    text = {
        "address": settings.bind_address,
        "staticPodPath": settings.static_pod_dir,
        "tlsCertFile": settings.tls_cert_file,
        "tlsPrivateKeyFile": settings.tls_key_file,
        "resolvConf": settings.resolv_conf,
        "providerID": settings.provider_id,
        "podLogsDir": settings.pod_log_dir,
        "cgroupRoot": settings.cgroup_root,
        "clusterDomain": settings.cluster_domain,
    }
    lists = {
        "clusterDNS": [*settings.cluster_dns],
        "allowedUnsafeSysctls": [*settings.allowed_unsafe_sysctls],
        "registerWithTaints": [_taint(each) for each in settings.register_taints],
    }
    return {name: str(value) for name, value in text.items() if value} | {
        name: values for name, values in lists.items() if values
    }


def _served(settings: AgentSettings) -> Obj:
    """Ports, and who may ask at them."""
    webhook = settings.kubeconfig is not None
    return {
        "enableServer": True,
        "port": settings.port,
        "healthzPort": settings.healthz_port,
        "healthzBindAddress": "127.0.0.1",
        "enableDebuggingHandlers": True,
        "enableSystemLogHandler": True,
        "enableSystemLogQuery": False,
        "authentication": {
            "x509": {"clientCAFile": str(settings.client_ca_file)} if settings.client_ca_file else {},
            "webhook": {"enabled": webhook, "cacheTTL": duration(PATIENCE.token)},
            "anonymous": {"enabled": False},
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": {
                "cacheAuthorizedTTL": duration(PATIENCE.allowed),
                "cacheUnauthorizedTTL": duration(PATIENCE.denied),
            },
        },
    }


def _told(settings: AgentSettings) -> Obj:
    """The node as the API server hears of it, and how the agent hears of pods."""
    return {
        "registerNode": settings.register_node,
        "nodeStatusUpdateFrequency": duration(settings.node_status_seconds),
        "nodeStatusReportFrequency": duration(settings.node_status_report_seconds),
        "nodeLeaseDurationSeconds": lease.lifetime(settings.lease_seconds),
        "maxPods": settings.max_pods,
        "syncFrequency": duration(settings.resync_seconds),
        "fileCheckFrequency": duration(settings.file_check_seconds),
        "configMapAndSecretChangeDetectionStrategy": "Watch",
    }


def _run(settings: AgentSettings) -> Obj:
    """What containers run in, and with."""
    log_size = quantity.Quantity(settings.container_log_max_bytes * quantity.NANO, quantity.BINARY)
    return {
        "containerRuntimeEndpoint": f"unix://{settings.cri_socket}",
        "runtimeRequestTimeout": duration(settings.runtime_request_seconds),
        "crashLoopBackOff": {"maxContainerRestartPeriod": duration(settings.max_container_backoff_seconds)},
        "serializeImagePulls": settings.parallel_pulls == 1,
        "maxParallelImagePulls": settings.parallel_pulls,
        "containerLogMaxSize": str(log_size),
        "containerLogMaxFiles": settings.container_log_max_files,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": settings.manage_cgroups,
        "cpuCFSQuota": True,
        "cpuManagerPolicy": "none",
        "memoryManagerPolicy": "None",
        "topologyManagerPolicy": "none",
        "seccompDefault": settings.seccomp_default,
    }


def duration(seconds: float) -> str:
    """As Go writes a time.Duration: `4h0m0s`, `2m0s`, `1.5s`, `0s`."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    head = f"{hours:.0f}h" * bool(hours) + f"{minutes:.0f}m" * bool(hours or minutes)
    return f"{head}{left:g}s"


def _taint(text: str) -> Obj:
    """`key=value:effect` as an object."""
    head, _, effect = text.rpartition(":")
    key, _, value = head.partition("=")
    return {"key": key, **({"value": value} if value else {}), "effect": effect}
