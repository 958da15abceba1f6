"""/configz: the settings in the words of upstream's KubeletConfiguration (kubelet.config.k8s.io/v1beta1). Pure.

What is said there is what the agent does: a field of upstream's that is not here has nothing behind it in this agent.
"""

from __future__ import annotations

from agent.server.authorize import PATIENCE
from agent.settings import AgentSettings
from apimachinery.objects import Obj


def configuration(settings: AgentSettings) -> Obj:
    """The document that `/configz` shows: {"kubeletconfig": KubeletConfiguration}."""
    webhook = settings.kubeconfig is not None
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
    taints = [_taint(each) for each in settings.register_taints]
    lists = {
        "clusterDNS": [*settings.cluster_dns],
        "allowedUnsafeSysctls": [*settings.allowed_unsafe_sysctls],
        "registerWithTaints": taints,
    }
    return {
        "kubeletconfig": {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "enableServer": True,
            **{name: str(value) for name, value in text.items() if value},
            **{name: values for name, values in lists.items() if values},
            "port": settings.port,
            "healthzPort": settings.healthz_port,
            "healthzBindAddress": "127.0.0.1",
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
            "syncFrequency": duration(settings.resync_seconds),
            "fileCheckFrequency": duration(settings.file_check_seconds),
            "nodeStatusUpdateFrequency": duration(settings.node_status_seconds),
            "nodeStatusReportFrequency": duration(settings.node_status_report_seconds),
            "nodeLeaseDurationSeconds": round(4 * settings.lease_seconds),
            "runtimeRequestTimeout": duration(settings.runtime_request_seconds),
            "crashLoopBackOff": {"maxContainerRestartPeriod": duration(settings.max_container_backoff_seconds)},
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": settings.manage_cgroups,
            "cpuCFSQuota": True,
            "cpuManagerPolicy": "none",
            "memoryManagerPolicy": "None",
            "topologyManagerPolicy": "none",
            "maxPods": settings.max_pods,
            "serializeImagePulls": settings.parallel_pulls == 1,
            "maxParallelImagePulls": settings.parallel_pulls,
            "containerLogMaxSize": f"{settings.container_log_max_bytes // 1024}Ki",
            "containerLogMaxFiles": settings.container_log_max_files,
            "configMapAndSecretChangeDetectionStrategy": "Watch",
            "enableDebuggingHandlers": True,
            "enableSystemLogHandler": True,
            "enableSystemLogQuery": False,
            "registerNode": settings.register_node,
            "seccompDefault": settings.seccomp_default,
            "containerRuntimeEndpoint": f"unix://{settings.cri_socket}",
        }
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
