"""What is refused of a new pod, type by type: a valid pod, one change, the complaints in upstream's order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controlplane.apiserver.rules.cases import ABSENT, Obj, expect, put, teller, told

POD: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "n", "labels": {"app": "a"}},
    "spec": {"containers": [{"name": "c", "image": "i:1"}], "serviceAccountName": "default"},
}
C, INIT, E = "spec.containers.0", "spec.initContainers", "spec.ephemeralContainers"
AT = "spec.containers[0]"
LABEL = "a lowercase RFC 1123 label must consist of"
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of"

check = teller(POD)
Cases = list[tuple[Obj, list[str]]]


def test_the_base_is_fine() -> None:
    assert check({}) == []


CONTAINERS: Cases = [
    ({"spec.containers": []}, ["spec.containers: Required value"]),
    ({f"{C}.name": ""}, [f"{AT}.name: Required value"]),
    ({f"{C}.name": "A"}, [f'{AT}.name: Invalid value: "A": {LABEL}']),
    ({"spec.containers.1": {"name": "c", "image": "i"}}, ['spec.containers[1].name: Duplicate value: "c"']),
    (
        {f"{C}.name": "", "spec.containers.1": {"image": "i"}},
        [f"{AT}.name: Required value", "spec.containers[1].name: Required value", "spec.containers[1].name: Duplicate"],
    ),
    ({f"{C}.image": ""}, [f"{AT}.image: Required value"]),
    ({f"{C}.image": " i "}, [f'{AT}.image: Invalid value: " i ": must not have leading or trailing whitespace']),
    (
        {f"{C}.terminationMessagePolicy": "X"},
        [f'{AT}.terminationMessagePolicy: Unsupported value: "X": supported values: "File", "FallbackToLogsOnError"'],
    ),
    ({f"{C}.imagePullPolicy": "X"}, [f'{AT}.imagePullPolicy: Unsupported value: "X": supported values: "Always", "If']),
    # Ports
    ({f"{C}.ports": [{}]}, [f"{AT}.ports[0].containerPort: Required value"]),
    ({f"{C}.ports": [{"containerPort": -1}]}, [f"{AT}.ports[0].containerPort: Invalid value: -1: must be between 1"]),
    (
        {f"{C}.ports": [{"containerPort": 1, "hostPort": 65536, "protocol": "tcp"}]},
        [
            f"{AT}.ports[0].hostPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
            f'{AT}.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"',
        ],
    ),
    (
        {f"{C}.ports": [{"name": "A_", "containerPort": 1}]},
        [
            f'{AT}.ports[0].name: Invalid value: "A_": must contain only alpha-numeric characters (a-z, 0-9), and hyph',
            f'{AT}.ports[0].name: Invalid value: "A_": must contain at least one letter (a-z)',
        ],
    ),
    (
        {f"{C}.ports": [{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]},
        [f'{AT}.ports[1].name: Duplicate value: "a"'],
    ),
    (
        {f"{C}.ports": [{"containerPort": 1, "hostPort": 80}, {"containerPort": 2, "hostPort": 80}]},
        [f'{AT}.ports[1].hostPort: Duplicate value: "TCP//80"'],
    ),
    (
        {f"{C}.ports": [{"containerPort": 1, "hostPort": 2}], "spec.hostNetwork": True},
        [f"{AT}.ports[0].hostPort: Invalid value: 2: must match `containerPort` when `hostNetwork` is true"],
    ),
    # Resize policy and restart rules
    (
        {
            f"{C}.resizePolicy": [
                {"resourceName": "cpu", "restartPolicy": "NotRequired"},
                {"resourceName": "cpu", "restartPolicy": "X"},
                {"resourceName": "disk"},
            ]
        },
        [
            f'{AT}.resizePolicy[1]: Duplicate value: "cpu"',
            f'{AT}.resizePolicy: Unsupported value: "X": supported values: "NotRequired", "RestartContainer"',
            f'{AT}.resizePolicy: Unsupported value: "disk": supported values: "cpu", "memory"',
            f"{AT}.resizePolicy: Required value",
        ],
    ),
    (
        {
            "spec.restartPolicy": "Never",
            f"{C}.resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}],
        },
        [f"{AT}.resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when pod `restartPolicy` is"],
    ),
    ({f"{C}.restartPolicy": "X"}, [f'{AT}.restartPolicy: Unsupported value: "X": supported values: "Always", "Never"']),
    (
        {f"{C}.restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]},
        [f"{AT}.restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
    ),
    (
        {
            f"{C}.restartPolicy": "Never",
            f"{C}.restartPolicyRules": [
                {"action": "X", "exitCodes": {"operator": "Near", "values": list(range(256))}},
                {"action": "RestartAllContainers"},
            ],
        },
        [
            f'{AT}.restartPolicyRules[0].action: Unsupported value: "X": supported values: "Restart", "RestartAllC',
            f'{AT}.restartPolicyRules[0].exitCodes.operator: Unsupported value: "Near": supported values: "In", "Not',
            f"{AT}.restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items",
            f"{AT}.restartPolicyRules[1].exitCodes: Required value: must be specified",
        ],
    ),
    # Init containers
    (
        {INIT: [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}, {"name": "d", "image": "i"}]},
        ['spec.initContainers[0].name: Duplicate value: "c"', 'spec.initContainers[2].name: Duplicate value: "d"'],
    ),
    (
        {INIT: [{"name": "d", "image": "i", "lifecycle": {}, "startupProbe": {}}]},
        [
            "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=A",
            "spec.initContainers[0].startupProbe: Forbidden: may not be set for init containers without restartPolic",
        ],
    ),
    (
        {INIT: [{"name": "d", "image": "i", "restartPolicy": "Always", "livenessProbe": {}}]},
        ["spec.initContainers[0].livenessProbe: Required value: must specify a handler type"],
    ),
    (
        {
            INIT: [
                {
                    "name": "d",
                    "image": "i",
                    "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}],
                }
            ]
        },
        ['spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: "RestartContainer": must not be set to'],
    ),
    (
        {INIT: [{"name": "d", "image": "i", "restartPolicyRules": [{"action": "X"}]}]},
        ["spec.initContainers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are "],
    ),
    ({E: [{"name": "e", "image": "i"}]}, ["spec.ephemeralContainers: Forbidden: cannot be set on create"]),
    (
        {
            E: [
                {
                    "name": "c",
                    "image": " i",
                    "targetContainerName": "x",
                    "ports": [{"containerPort": 1}],
                    "resources": {"limits": {"cpu": "1"}},
                    "readinessProbe": {"tcpSocket": {"port": 1}},
                }
            ]
        },
        [
            'spec.ephemeralContainers[0].image: Invalid value: " i": must not have leading',
            'spec.ephemeralContainers[0].name: Duplicate value: "c"',
            'spec.ephemeralContainers[0].targetContainerName: Not found: "x"',
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers[0].readinessProbe: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ],
    ),
]

ENVIRONMENT: Cases = [
    ({f"{C}.env": [{"name": ""}]}, [f"{AT}.env[0].name: Required value"]),
    ({f"{C}.env": [{"name": "a=b"}]}, [f'{AT}.env[0].name: Invalid value: "a=b": a valid environment variable name']),
    ({f"{C}.env": [{"name": "a b.c-1"}]}, []),
    (
        {f"{C}.env": [{"name": "a", "valueFrom": {}}]},
        [f'{AT}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configM'],
    ),
    (
        {f"{C}.env": [{"name": "a", "value": "v", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
        [f'{AT}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ),
    (
        {
            f"{C}.env": [
                {
                    "name": "a",
                    "valueFrom": {
                        "secretKeyRef": {"name": "s", "key": "k"},
                        "configMapKeyRef": {"name": "S", "key": ""},
                    },
                }
            ]
        },
        [
            f'{AT}.env[0].valueFrom.configMapKeyRef.name: Invalid value: "S": {SUBDOMAIN}',
            f"{AT}.env[0].valueFrom.configMapKeyRef.key: Required value",
            f'{AT}.env[0].valueFrom: Invalid value: "": may not have more than one field specified at a time',
        ],
    ),
    (
        {f"{C}.env": [{"name": "a", "valueFrom": {"secretKeyRef": {"key": "a b"}}}]},
        [
            f'{AT}.env[0].valueFrom.secretKeyRef.name: Invalid value: "": {SUBDOMAIN}',
            f'{AT}.env[0].valueFrom.secretKeyRef.key: Invalid value: "a b": a valid config key must consist of',
        ],
    ),
    (
        {f"{C}.env": [{"name": "a", "valueFrom": {"fileKeyRef": {"key": "=", "volumeName": "V", "path": "a/../b"}}}]},
        [
            f'{AT}.env[0].valueFrom.fileKeyRef.key: Invalid value: "="',
            f'{AT}.env[0].valueFrom.fileKeyRef.volumeName: Invalid value: "V": {LABEL}',
            f"{AT}.env[0].valueFrom.fileKeyRef.path: Invalid value: \"a/../b\": must not contain '..'",
            f'{AT}.env[0].valueFrom.fileKeyRef.volumeName: Not found: "V"',
        ],
    ),
    (
        {
            "spec.volumes": [{"name": "v", "secret": {"secretName": "s"}}],
            f"{C}.env": [{"name": "a", "valueFrom": {"fileKeyRef": {"key": "k", "volumeName": "v", "path": "p"}}}],
        },
        [f'{AT}.env[0].valueFrom.fileKeyRef.volumeName: Invalid value: "v": referenced volume must be of type empt'],
    ),
    *(
        (
            {f"{C}.env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": path}}}]},
            [f"{AT}.env[0].valueFrom.fieldRef{told_}"] if told_ else [],
        )
        for path, told_ in (
            ("", ".fieldPath: Required value"),
            ("metadata.name", ""),
            ("spec.host", ""),
            ("metadata.labels['a']", ""),
            ("metadata.annotations['A/b']", ""),
            ("metadata.labels['a b']", ': Invalid value: "a b": name part must consist of'),
            (
                "metadata.labels",
                '.fieldPath: Unsupported value: "metadata.labels": supported values: "metadata.name", "',
            ),
            ("spec.schedulerName", '.fieldPath: Unsupported value: "spec.schedulerName": supported values'),
            (
                "spec.nodeName['a']",
                ".fieldPath: Invalid value: \"spec.nodeName['a']\": error converting fieldPath: field label does not",
            ),
            (
                "spec.image",
                '.fieldPath: Invalid value: "spec.image": error converting fieldPath: field label not supported: spe',
            ),
        )
    ),
    (
        {f"{C}.env": [{"name": "a", "valueFrom": {"fieldRef": {"apiVersion": "v2", "fieldPath": "metadata.name"}}}]},
        [
            f'{AT}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.name": error converting fieldPath: '
            "unsupported pod version: v2"
        ],
    ),
    *(
        (
            {
                f"{C}.env": [
                    {"name": "a", "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}}
                ]
            },
            [f"{AT}.env[0].valueFrom.resourceFieldRef{told_}"] if told_ else [],
        )
        for resource, divisor, told_ in (
            ("", "0", ".resource: Required value"),
            (
                "limits.gpu",
                "0",
                '.resource: Unsupported value: "limits.gpu": supported values: "limits.cpu", "limits.eph',
            ),
            ("limits.cpu", "1m", ""),
            ("limits.cpu", "2", '.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 are supported'),
            ("requests.memory", "1Mi", ""),
            (
                "requests.memory",
                "2Mi",
                '.divisor: Invalid value: "requests.memory": only divisor\'s values 1, 1k, 1M, 1',
            ),
            ("limits.ephemeral-storage", "3", '.divisor: Invalid value: "limits.ephemeral-storage": only divisor\'s'),
            ("requests.hugepages-2Mi", "1Ki", ""),
            (
                "requests.hugepages-2Mi",
                "3",
                '.divisor: Invalid value: "requests.hugepages-2Mi": only divisor\'s values',
            ),
        )
    ),
    (
        {f"{C}.envFrom": [{"prefix": "a="}]},
        [f'{AT}.envFrom[0].prefix: Invalid value: "a="', f"{AT}.envFrom: Invalid va"],
    ),
    (
        {f"{C}.envFrom": [{"configMapRef": {}, "secretRef": {"name": "S"}}]},
        [
            f"{AT}.envFrom[0].configMapRef.name: Required value",
            f'{AT}.envFrom[0].secretRef.name: Invalid value: "S": {SUBDOMAIN}',
            f'{AT}.envFrom: Invalid value: "": may not have more than one field specified at a time',
        ],
    ),
]

PROBES: Cases = [
    ({f"{C}.livenessProbe": {}}, [f"{AT}.livenessProbe: Required value: must specify a handler type"]),
    (
        {f"{C}.readinessProbe": {"tcpSocket": {"port": ""}}},
        [
            f'{AT}.readinessProbe.tcpSocket.port: Invalid value: "": must contain only alpha-numeric characters',
            f'{AT}.readinessProbe.tcpSocket.port: Invalid value: "": must contain at least one letter',
        ],
    ),
    (
        {f"{C}.readinessProbe": {"exec": {}, "tcpSocket": {"port": 0}}},
        [
            f"{AT}.readinessProbe.exec.command: Required value",
            f"{AT}.readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ],
    ),
    (
        {
            f"{C}.startupProbe": {
                "httpGet": {"port": "-", "scheme": "x", "httpHeaders": [{"name": "a b"}]},
                "periodSeconds": -1,
                "successThreshold": 2,
                "terminationGracePeriodSeconds": 0,
            }
        },
        [
            f'{AT}.startupProbe.httpGet.port: Invalid value: "-": must contain at least one letter (a-z)',
            f'{AT}.startupProbe.httpGet.port: Invalid value: "-": must not begin or end with a hyphen',
            f'{AT}.startupProbe.httpGet.scheme: Unsupported value: "x": supported values: "HTTP", "HTTPS"',
            f'{AT}.startupProbe.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header must consist of',
            f"{AT}.startupProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            f"{AT}.startupProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
            f"{AT}.startupProbe.successThreshold: Invalid value: 2: must be 1",
        ],
    ),
    ({f"{C}.livenessProbe": {"grpc": {"port": 70000}}}, [f"{AT}.livenessProbe.grpc.port: Invalid value: 70000"]),
    (
        {f"{C}.readinessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 3}},
        [f"{AT}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 3: must not be set for readinessProbes"],
    ),
    (
        {f"{C}.lifecycle": {"preStop": {"sleep": {"seconds": 31}}, "postStart": {}}},
        [
            f"{AT}.lifecycle.postStart: Required value: must specify a handler type",
            f"{AT}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePe",
        ],
    ),
    ({f"{C}.lifecycle": {"stopSignal": "SIGTERM"}}, [f"{AT}.lifecycle.stopSignal: Forbidden: may not be set for cont"]),
    (
        {f"{C}.lifecycle": {"stopSignal": "SIGUSR1"}, "spec.os": {"name": "windows"}},
        [f'{AT}.lifecycle.stopSignal: Unsupported value: "SIGUSR1": supported values: "SIGKILL", "SIGTERM"'],
    ),
    ({f"{C}.lifecycle": {"stopSignal": "SIGRTMIN+15"}, "spec.os": {"name": "linux"}}, []),
]

RESOURCES: Cases = [
    (
        {f"{C}.resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
        [f'{AT}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ),
    (
        {f"{C}.resources": {"limits": {"cpu": "-1"}, "requests": {"cpu": "-2"}}},
        [
            f'{AT}.resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
            f'{AT}.resources.requests[cpu]: Invalid value: "-2": must be greater than or equal to 0',
        ],
    ),
    (
        {f"{C}.resources": {"limits": {"gold": "1"}}},
        [
            f'{AT}.resources.limits[gold]: Invalid value: "gold": must be a standard resource type or fully qualified',
            f'{AT}.resources.limits[gold]: Invalid value: "gold": must be a standard resource for containers',
            f'{AT}.resources.requests[gold]: Invalid value: "gold": must be a standard resource type or fully qualif',
            f'{AT}.resources.requests[gold]: Invalid value: "gold": must be a standard resource for containers',
        ],
    ),
    (
        {f"{C}.resources": {"limits": {"pods": "1"}, "requests": {"pods": "1"}}},
        [
            f'{AT}.resources.limits[pods]: Invalid value: "pods": must be a standard resource for containers',
            f'{AT}.resources.requests[pods]: Invalid value: "pods": must be a standard resource for containers',
        ],
    ),
    (
        {f"{C}.resources": {"requests": {"e.com/gpu": "1"}}},
        [f"{AT}.resources.limits: Required value: Limit must be set for non overcommitable resources"],
    ),
    (
        {f"{C}.resources": {"limits": {"e.com/gpu": "1500m"}, "requests": {"e.com/gpu": "1"}}},
        [
            f'{AT}.resources.limits[e.com/gpu]: Invalid value: "1500m": must be an integer',
            f'{AT}.resources.requests: Invalid value: "1": must be equal to e.com/gpu limit of 1500m',
        ],
    ),
    (
        {f"{C}.resources": {"limits": {"hugepages-2Mi": "3Mi"}}},
        [
            f'{AT}.resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of huge',
            f'{AT}.resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hu',
            f"{AT}.resources: Forbidden: HugePages require cpu or memory",
        ],
    ),
    (
        {f"{C}.resources": {"claims": [{"name": "a"}, {"name": ""}]}},
        [
            f'{AT}.resources.claims[0]: Not found: "a": must be one of the names in pod.spec.resourceClaims which is',
            f"{AT}.resources.claims[1]: Required value",
        ],
    ),
    (
        {
            "spec.resourceClaims": [{"name": "a", "resourceClaimName": "x"}],
            f"{C}.resources": {
                "claims": [
                    {"name": "a", "request": "R"},
                    {"name": "a", "request": "R"},
                    {"name": "a"},
                    {"name": "b"},
                ]
            },
        },
        [
            f'{AT}.resources.claims[0].request: Invalid value: "R": {LABEL}',
            f'{AT}.resources.claims[1].request: Invalid value: "R": {LABEL}',
            f'{AT}.resources.claims[1]: Duplicate value: "a/R"',
            f'{AT}.resources.claims[2]: Duplicate value: "a"',
            f'{AT}.resources.claims[3]: Not found: "b": must be one of the names in pod.spec.resourceClaims: a',
        ],
    ),
    (
        {
            "spec.resourceClaims": [
                {"name": "a"},
                {"name": "a", "resourceClaimName": "x", "resourceClaimTemplateName": "Y"},
                {"resourceClaimName": ""},
            ]
        },
        [
            'spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,"ResourceClaimTemplateName"',
            'spec.resourceClaims[1].name: Duplicate value: "a"',
            'spec.resourceClaims[1]: Invalid value: {"Name":"a","ResourceClaimName":"x","ResourceClaimTemplateName":',
            f'spec.resourceClaims[1].resourceClaimTemplateName: Invalid value: "Y": {SUBDOMAIN}',
            "spec.resourceClaims[2].name: Required value",
            f'spec.resourceClaims[2].resourceClaimName: Invalid value: "": {SUBDOMAIN}',
        ],
    ),
    # Of the pod as a whole
    (
        {"spec.resources": {"requests": {"disk": "1"}, "limits": {"ephemeral-storage": "1"}}},
        [
            'spec.resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cp',
            'spec.resources.requests[disk]: Invalid value: "disk": must be a standard resource type or fully qualified',
        ],
    ),
    (
        {"spec.resources": {"limits": {"cpu": "1"}}, f"{C}.resources": {"limits": {"cpu": "2"}}},
        [
            'spec.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
            'spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits ',
        ],
    ),
    (
        {
            "spec.resources": {"requests": {"cpu": "2"}},
            f"{C}.resources": {"requests": {"cpu": "1"}},
            INIT: [
                {"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
                {"name": "d", "image": "i", "resources": {"requests": {"cpu": "1500m"}}},
            ],
        },
        ['spec.resources.requests[cpu]: Invalid value: "2": must be greater than or equal to aggregate container r'],
    ),
    (
        {"spec.resources": {"claims": [{"name": "a"}]}},
        [
            "spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level",
            'spec.resources.claims[0]: Not found: "a": must be one of the names in pod.spec.resourceClaims which is',
        ],
    ),
    (
        {"spec.resources": {"limits": {"cpu": "1"}}, "spec.os": {"name": "windows"}},
        ["spec.resources: Forbidden: may not be set for a windows pod"],
    ),
    (
        {"spec.overhead": {"gold": "1"}},
        [
            'spec.overhead.limits[gold]: Invalid value: "gold": must be a standard resource type or fully qualified',
            'spec.overhead.limits[gold]: Invalid value: "gold": must be a standard resource for containers',
        ],
    ),
]


def volume(**source: Any) -> Obj:
    return {"spec.volumes": [{"name": "v", **source}]}


V = "spec.volumes[0]"
VOLUMES: Cases = [
    ({"spec.volumes": [{"emptyDir": {}}]}, [f"{V}.name: Required value"]),
    (
        {"spec.volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]},
        ['spec.volumes[1].name: Duplicate value: "v"'],
    ),
    (
        volume(emptyDir={}, hostPath={"path": "/"}, cephfs={"monitors": ["m"]}),
        [
            f"{V}.hostPath: Forbidden: may not specify more than 1 volume type",
            f"{V}.cephFS: Forbidden: may not specify more than 1 volume type",
        ],
    ),
    (volume(emptyDir={"sizeLimit": "-1"}), [f"{V}.emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid res"]),
    (volume(hostPath={"type": "X"}), [f"{V}.hostPath.path: Required value"]),
    (
        volume(hostPath={"path": "/a/../b", "type": "X"}),
        [
            f"{V}.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
            f'{V}.hostPath.type: Unsupported value: "X": supported values: "", "BlockDevice"',
        ],
    ),
    (
        volume(gitRepo={"directory": "/.."}),
        [
            f"{V}.gitRepo.repository: Required value",
            f'{V}.gitRepo.directory: Invalid value: "/..": must be a relative path',
            f"{V}.gitRepo.directory: Invalid value: \"/..\": must not contain '..'",
        ],
    ),
    (
        volume(gcePersistentDisk={"pdName": "", "partition": 300}),
        [
            f"{V}.persistentDisk.pdName: Required value",
            f"{V}.persistentDisk.partition: Invalid value: 300: must be between 1 and 255, inclusive",
        ],
    ),
    (volume(awsElasticBlockStore={"volumeID": ""}), [f"{V}.awsElasticBlockStore.volumeID: Required value"]),
    (
        volume(nfs={"server": "", "path": "a"}),
        [f"{V}.nfs.server: Required value", f'{V}.nfs.path: Invalid value: "a": must be an absolute path'],
    ),
    (
        volume(iscsi={"targetPortal": "", "iqn": "x", "lun": 256, "chapAuthSession": True, "initiatorName": "iqn.bad"}),
        [
            f"{V}.iscsi.targetPortal: Required value",
            f'{V}.iscsi.iqn: Invalid value: "x": must be valid format starting with iqn, eui, or naa',
            f"{V}.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
            f"{V}.iscsi.secretRef: Required value",
            f'{V}.iscsi.initiatorname: Invalid value: "iqn.bad": must be valid format',
        ],
    ),
    (volume(iscsi={"targetPortal": "p", "iqn": "eui.0123456789ABCDEF", "lun": 0}), []),
    (
        volume(
            iscsi={
                "targetPortal": "p" * 63,
                "iqn": "iqn.2001-04.com.e:d",
                "initiatorName": "iqn.2001-04.com.e:d",
                "lun": 0,
            }
        ),
        [f'{V}.name: Invalid value: "v": Total length of <volume name>:<iscsi.targetPortal> must be under 64'],
    ),
    (volume(fc={}), [f"{V}.fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"]),
    (
        volume(fc={"targetWWNs": ["a"], "wwids": ["b"]}),
        [
            f'{V}.fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously',
            f"{V}.fc.lun: Required value: lun is required if targetWWNs is specified",
        ],
    ),
    (volume(fc={"targetWWNs": ["a"], "lun": 256}), [f"{V}.fc.lun: Invalid value: 256: must be between 0 and 255"]),
    (volume(glusterfs={}), [f"{V}.glusterfs.endpoints: Required value", f"{V}.glusterfs.path: Required value"]),
    (volume(flocker={}), [f"{V}.flocker: Required value: one of datasetName and datasetUUID is required"]),
    (
        volume(flocker={"datasetName": "a/b", "datasetUUID": "u"}),
        [
            f'{V}.flocker: Invalid value: "resource": datasetName and datasetUUID can not be specified simultaneously',
            f"{V}.flocker.datasetName: Invalid value: \"a/b\": must not contain '/'",
        ],
    ),
    (volume(rbd={}), [f"{V}.rbd.monitors: Required value", f"{V}.rbd.image: Required value"]),
    (
        volume(cinder={"secretRef": {}}),
        [f"{V}.cinder.volumeID: Required value", f"{V}.cinder.secretRef.name: Required value"],
    ),
    (volume(cephfs={}), [f"{V}.cephfs.monitors: Required value"]),
    (
        volume(quobyte={}),
        [f"{V}.quobyte.registry: Required value: must be a host:port pair", f"{V}.quobyte.volume: Required value"],
    ),
    (
        volume(quobyte={"registry": "a:1,b", "volume": "v"}),
        [f'{V}.quobyte.registry: Invalid value: "a:1,b": must be a host:port pair or multiple pairs separated by c'],
    ),
    (
        volume(flexVolume={"options": {"a.kubernetes.io/x": "", "k8s.io/y": "", "z": ""}}),
        [
            f"{V}.flexVolume.driver: Required value",
            f'{V}.flexVolume.options[a.kubernetes.io/x]: Invalid value: "a.kubernetes.io/x": kubernetes.io and k8s.io',
            f'{V}.flexVolume.options[k8s.io/y]: Invalid value: "k8s.io/y"',
        ],
    ),
    (volume(azureFile={}), [f"{V}.azureFile.secretName: Required value", f"{V}.azureFile.shareName: Required value"]),
    (
        volume(azureDisk={"cachingMode": "X", "kind": "Y"}),
        [
            f"{V}.azureDisk.diskName: Required value",
            f"{V}.azureDisk.diskURI: Required value",
            f'{V}.azureDisk.cachingMode: Unsupported value: "X": supported values: "None", "ReadOnly", "ReadWrite"',
            f'{V}.azureDisk.kind: Unsupported value: "Y": supported values: "Dedicated", "Managed", "Shared"',
            f'{V}.azureDisk.diskURI: Unsupported value: "": supported values: "https://{{account-name}}.blob',
        ],
    ),
    (
        volume(azureDisk={"diskName": "d", "diskURI": "https://x", "kind": "Managed"}),
        [f'{V}.azureDisk.diskURI: Unsupported value: "https://x": supported values: "/subscriptions/{{sub-id}}'],
    ),
    (volume(vsphereVolume={}), [f"{V}.vsphereVolume.volumePath: Required value"]),
    (volume(photonPersistentDisk={}), [f"{V}.photonPersistentDisk.pdID: Required value"]),
    (volume(portworxVolume={}), [f"{V}.portworxVolume.volumeID: Required value"]),
    (
        volume(scaleIO={}),
        [f"{V}.scaleIO.{field}: Required value" for field in ("gateway", "system", "volumeName")],
    ),
    (
        volume(storageos={"volumeNamespace": "A", "secretRef": {}}),
        [
            f"{V}.storageos.volumeName: Required value",
            f'{V}.storageos.volumeNamespace: Invalid value: "A": {LABEL}',
            f"{V}.storageos.secretRef.name: Required value",
        ],
    ),
    (volume(csi={}), [f"{V}.csi.driver: Required value"]),
    (
        volume(csi={"driver": "a" * 64 + "_", "nodePublishSecretRef": {"name": "S"}}),
        [
            f"{V}.csi.driver: Too long: may not be more than 63 bytes",
            f'{V}.csi.driver: Invalid value: "{"a" * 64}_": {SUBDOMAIN}',
            f'{V}.csi.name: Invalid value: "S": {SUBDOMAIN}',
        ],
    ),
    (volume(csi={"driver": "Disk.CSI", "nodePublishSecretRef": {}}), [f"{V}.csi.nodePublishSecretRef.name: Required"]),
    (volume(persistentVolumeClaim={}), [f"{V}.persistentVolumeClaim.claimName: Required value"]),
    (
        volume(secret={"defaultMode": 512, "items": [{"path": "/a"}, {"key": "k", "path": "..a", "mode": -1}]}),
        [
            f"{V}.secret.secretName: Required value",
            f"{V}.secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            f"{V}.secret.items[0].key: Required value",
            f'{V}.secret.items[0].path: Invalid value: "/a": must be a relative path',
            f"{V}.secret.items[1].path: Invalid value: \"..a\": must not start with '..'",
            f"{V}.secret.items[1].mode: Invalid value: -1: must be a number between 0 and 0777",
        ],
    ),
    (
        volume(configMap={"items": [{}]}),
        [f"{V}.configMap.{f}: Required value" for f in ("name", "items[0].key", "items[0].path")],
    ),
    (
        volume(downwardAPI={"items": [{"path": "a"}, {"fieldRef": {"fieldPath": "metadata.name"}, "path": "b"}]}),
        [f"{V}.downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"],
    ),
    (
        volume(
            downwardAPI={
                "items": [
                    {"path": "a", "fieldRef": {"fieldPath": "spec.nodeName"}, "resourceFieldRef": {"resource": "x"}},
                    {"path": "b", "resourceFieldRef": {"resource": "limits.cpu"}, "mode": 1000},
                ]
            }
        ),
        [
            f'{V}.downwardAPI.fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: "metadata.an',
            f'{V}.downwardAPI: Invalid value: "resource": fieldRef and resourceFieldRef can not be specified simultan',
            f"{V}.downwardAPI.resourceFieldRef.containerName: Required value",
            f"{V}.downwardAPI.mode: Invalid value: 1000: must be a number between 0 and 0777 (octal)",
        ],
    ),
    (
        volume(
            projected={
                "sources": [
                    {"secret": {"items": [{"key": "k", "path": "p"}]}},
                    {"configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}, "secret": {"name": "s"}},
                    {"serviceAccountToken": {"expirationSeconds": 10}},
                    {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                ]
            }
        ),
        [
            f"{V}.projected.sources[0].secret.name: Required value",
            f'{V}.projected: Invalid value: "m": conflicting duplicate paths',
            f"{V}.projected.sources[1]: Forbidden: may not specify more than 1 volume type per source",
            f"{V}.projected.sources[2].serviceAccountToken.expirationSeconds: Invalid value: 10: may not specify a dur",
            f"{V}.projected.path: Required value",
            f'{V}.projected: Invalid value: "p": conflicting duplicate paths',
        ],
    ),
    (
        volume(
            projected={
                "sources": [
                    {"clusterTrustBundle": {"path": "/a"}},
                    {"clusterTrustBundle": {"name": "n", "signerName": "s", "path": "b"}},
                    {"clusterTrustBundle": {"name": "A:b", "labelSelector": {}, "path": "b"}},
                    {"clusterTrustBundle": {"signerName": "x", "labelSelector": {"matchLabels": {"a b": ""}}}},
                ]
            }
        ),
        [
            f"{V}.projected.sources[0].clusterTrustBundle: Required value: either name or signerName must be specified",
            f'{V}.projected.sources[0].clusterTrustBundle.path: Invalid value: "/a": must be a relative path',
            f'{V}.projected.sources[1].clusterTrustBundle: Invalid value: {{"Name":"n","SignerName":"s","LabelSelect',
            f"{V}.projected.sources[2].clusterTrustBundle.labelSelector: Invalid value: {{}}: labelSelector must be ",
            f'{V}.projected: Invalid value: "b": conflicting duplicate paths',
            f'{V}.projected.sources[3].clusterTrustBundle.signerName: Invalid value: "x": must be a fully qualified do',
            f'{V}.projected.sources[3].clusterTrustBundle.labelSelector.matchLabels: Invalid value: "a b"',
            f"{V}.projected.sources[3].clusterTrustBundle.path: Required value",
        ],
    ),
    (
        volume(
            projected={
                "sources": [
                    {"podCertificate": {"signerName": "a/b", "keyType": "X", "maxExpirationSeconds": 10}},
                    {"podCertificate": {"signerName": "e.com/b", "keyType": "ED25519", "keyPath": "../k"}},
                ]
            }
        ),
        [
            f'{V}.projected.sources[0].podCertificate.signerName: Invalid value: "a": should be a domain with at least',
            f'{V}.projected.sources[0].podCertificate.keyType: Unsupported value: "X": supported values: "RSA3072"',
            f"{V}.projected.sources[0].podCertificate.maxExpirationSeconds: Invalid value: 10: if provided",
            f"{V}.projected.sources[0].podCertificate: Required value: specify at least one of credentialBundlePath",
            f"{V}.projected.sources[1].podCertificate.keyPath: Invalid value: \"../k\": must not contain '..'",
        ],
    ),
    (
        volume(ephemeral={"volumeClaimTemplate": {"metadata": {"name": "n"}, "spec": {}}}),
        [
            f"{V}.ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
            f"{V}.ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
            f"{V}.ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
        ],
    ),
    (volume(ephemeral={}), [f"{V}.ephemeral.volumeClaimTemplate: Required value"]),
    (
        {
            "spec.volumes": [
                {
                    "name": "v",
                    "ephemeral": {
                        "volumeClaimTemplate": {
                            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
                        }
                    },
                },
                {"name": "w", "persistentVolumeClaim": {"claimName": "p-v"}},
            ]
        },
        ['spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "p-v": must not reference a PVC that gets '],
    ),
    (volume(image={}), [f"{V}.image.reference: Required value"]),
    (
        {"spec.serviceAccountName": ABSENT, **volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]})},
        [f"{V}.projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName "],
    ),
]

MOUNTED = [{"name": "v", "emptyDir": {}}, {"name": "d", "persistentVolumeClaim": {"claimName": "x"}}]


def mounts(**fields: Any) -> Obj:
    return {"spec.volumes": MOUNTED, **{f"{C}.{field}": value for field, value in fields.items()}}


MOUNTS: Cases = [
    (
        mounts(volumeMounts=[{}]),
        [
            f"{AT}.volumeMounts[0].name: Required value",
            f'{AT}.volumeMounts[0].name: Not found: ""',
            f"{AT}.volumeMounts[0].mountPath: Required value",
        ],
    ),
    (
        mounts(volumeMounts=[{"name": "v", "mountPath": "/a"}, {"name": "d", "mountPath": "/a"}]),
        [f'{AT}.volumeMounts[1].mountPath: Invalid value: "/a": must be unique'],
    ),
    (
        mounts(volumeMounts=[{"name": "v", "mountPath": "/a", "subPath": "/b", "subPathExpr": "../c"}]),
        [
            f'{AT}.volumeMounts.subPath: Invalid value: "/b": must be a relative path',
            f'{AT}.volumeMounts[0].subPathExpr: Invalid value: "../c": subPathExpr and subPath are mutually exclusive',
            f"{AT}.volumeMounts.subPathExpr: Invalid value: \"../c\": must not contain '..'",
        ],
    ),
    (
        mounts(
            volumeMounts=[{"name": "v", "mountPath": "/a", "mountPropagation": "X", "recursiveReadOnly": "Enabled"}]
        ),
        [
            f'{AT}.volumeMounts.mountPropagation: Unsupported value: "X": supported values: "Bidirectional", "HostToC',
            f"{AT}.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
            f"{AT}.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None",
        ],
    ),
    (
        mounts(volumeMounts=[{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}]),
        [f"{AT}.volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to priv"],
    ),
    (
        mounts(volumeMounts=[{"name": "v", "mountPath": "/a", "recursiveReadOnly": "X"}]),
        [f'{AT}.volumeMounts.recursiveReadOnly: Unsupported value: "X": supported values: "Disabled", "Enabled", "IfP'],
    ),
    (
        mounts(volumeDevices=[{"name": "v", "devicePath": "/d"}, {"name": "d", "devicePath": "/a/../b"}, {}]),
        [
            f'{AT}.volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim',
            f"{AT}.volumeDevices[1].devicePath: Invalid value: \"/a/../b\": can not contain backsteps ('..')",
            f"{AT}.volumeDevices[2].name: Required value",
            f'{AT}.volumeDevices[2].name: Not found: ""',
            f"{AT}.volumeDevices[2].devicePath: Required value",
        ],
    ),
    (
        mounts(
            volumeMounts=[{"name": "d", "mountPath": "/d"}],
            volumeDevices=[{"name": "d", "devicePath": "/d"}, {"name": "d", "devicePath": "/d"}],
        ),
        [
            f'{AT}.volumeMounts[0].name: Invalid value: "d": must not already exist in volumeDevices',
            f'{AT}.volumeMounts[0].mountPath: Invalid value: "/d": must not already exist as a path in volumeDevices',
            f'{AT}.volumeDevices[0].name: Invalid value: "d": must not already exist in volumeMounts',
            f'{AT}.volumeDevices[0].devicePath: Invalid value: "/d": must not already exist as a path in volumeMounts',
            f'{AT}.volumeDevices[1].name: Invalid value: "d": must be unique',
            f'{AT}.volumeDevices[1].devicePath: Invalid value: "/d": must be unique',
            f'{AT}.volumeDevices[1].name: Invalid value: "d": must not already exist in volumeMounts',
            f'{AT}.volumeDevices[1].devicePath: Invalid value: "/d": must not already exist as a path in volumeMounts',
        ],
    ),
]

REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
NODE, PODS = "spec.affinity.nodeAffinity", "spec.affinity.podAffinity"


def expressions(*listed: Obj, where: str = "matchExpressions") -> Obj:
    return {f"{NODE}.{REQUIRED}": {"nodeSelectorTerms": [{where: list(listed)}]}}


TERM = f"{NODE}.{REQUIRED}.nodeSelectorTerms[0]"
SPREAD: Obj = {"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
S = "spec.topologySpreadConstraints"

SCHEDULING: Cases = [
    ({f"{NODE}.{REQUIRED}": {}}, [f"{NODE}.{REQUIRED}.nodeSelectorTerms: Required value: must have at least one"]),
    (
        expressions({"key": "a", "operator": "Gt", "values": ["1", "2"]}),
        [f"{TERM}.matchExpressions[0].values: Required"],
    ),
    (
        expressions({"key": "a b", "operator": "In"}, {"key": "a", "operator": "Exists", "values": ["!"]}),
        [
            f"{TERM}.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            f'{TERM}.matchExpressions[0].key: Invalid value: "a b": name part must consist of',
            f"{TERM}.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or",
            f'{TERM}.matchExpressions[1].values[0]: Invalid value: "!": a valid label must be an empty string or',
        ],
    ),
    (
        expressions({"key": "x", "operator": "Exists"}, where="matchFields"),
        [
            f'{TERM}.matchFields[0].operator: Invalid value: "Exists": not a valid selector operator',
            f'{TERM}.matchFields[0].key: Invalid value: "x": not a valid field selector key',
        ],
    ),
    (
        expressions({"key": "metadata.name", "operator": "In", "values": ["A", "b"]}, where="matchFields"),
        [
            f"{TERM}.matchFields[0].values: Required value: must be only one value when `operator` is 'In' or 'NotIn'",
            f'{TERM}.matchFields[0].values[0]: Invalid value: "A": {SUBDOMAIN}',
        ],
    ),
    (
        {
            f"{NODE}.{PREFERRED}": [
                {"weight": 0, "preference": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["!"]}]}}
            ]
        },
        [f"{NODE}.{PREFERRED}[0].weight: Invalid value: 0: must be in the range 1-100"],
    ),
    (
        {f"{PODS}.{REQUIRED}": [{"namespaces": ["A"], "labelSelector": {"matchExpressions": [{"key": "a"}]}}]},
        [
            f'{PODS}.{REQUIRED}[0].labelSelector.matchExpressions[0].operator: Invalid value: "": not a valid selector',
            f'{PODS}.{REQUIRED}[0].namespace: Invalid value: "A": {LABEL}',
            f"{PODS}.{REQUIRED}[0].topologyKey: Required value: can not be empty",
            f'{PODS}.{REQUIRED}[0].topologyKey: Invalid value: "": name part must be non-empty',
            f'{PODS}.{REQUIRED}[0].topologyKey: Invalid value: "": name part must consist of',
        ],
    ),
    (
        {
            f"{PODS}.{PREFERRED}": [
                {
                    "weight": 101,
                    "podAffinityTerm": {
                        "topologyKey": "k",
                        "matchLabelKeys": ["a", "b c"],
                        "mismatchLabelKeys": ["a"],
                        "labelSelector": {
                            "matchLabels": {"a": "x"},
                            "matchExpressions": [{"key": "a", "operator": "Exists"}],
                        },
                    },
                }
            ]
        },
        [
            f"{PODS}.{PREFERRED}[0].weight: Invalid value: 101: must be in the range 1-100",
            f'{PODS}.{PREFERRED}[0].podAffinityTerm.matchLabelKeys[1]: Invalid value: "b c": name part must consist of',
            f'{PODS}.{PREFERRED}[0].podAffinityTerm[0]: Invalid value: "a": exists in both matchLabelKeys and labelSel',
            f'{PODS}.{PREFERRED}[0].podAffinityTerm.matchLabelKeys[0]: Invalid value: "a": exists in both matchLabelK',
        ],
    ),
    (
        {f"{PODS}.{REQUIRED}": [{"topologyKey": "k", "matchLabelKeys": ["a"], "mismatchLabelKeys": ["b"]}]},
        [
            f"{PODS}.{REQUIRED}[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
            f"{PODS}.{REQUIRED}[0].mismatchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
        ],
    ),
    (
        {S: [{"labelSelector": {"matchLabels": {"a": "!"}}}]},
        [
            f"{S}[0].maxSkew: Invalid value: 0: must be greater than zero",
            f"{S}[0].topologyKey: Required value: can not be empty",
            f'{S}[0].whenUnsatisfiable: Unsupported value: "": supported values: "DoNotSchedule", "ScheduleAnyway"',
            f'{S}[0].labelSelector.matchLabels: Invalid value: "!": a valid label must be',
        ],
    ),
    ({S: [SPREAD, SPREAD]}, [f'{S}[0].{{topologyKey, whenUnsatisfiable}}: Duplicate value: "{{k, DoNotSchedule}}"']),
    (
        {S: [{**SPREAD, "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 0, "nodeTaintsPolicy": "X"}]},
        [
            f"{S}[0].minDomains: Invalid value: 0: must be greater than zero",
            f"{S}[0].minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not Sch",
            f'{S}[0].nodeTaintsPolicy: Unsupported value: "X": supported values: "Honor", "Ignore"',
        ],
    ),
    (
        {S: [{**SPREAD, "labelSelector": ABSENT, "matchLabelKeys": ["a"]}]}
        and {S: [{k: v for k, v in SPREAD.items() if k != "labelSelector"} | {"matchLabelKeys": ["a"]}]},
        [f"{S}[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"],
    ),
    *(
        ({"spec.tolerations": [toleration]}, [f"spec.tolerations[0].{said}"] if said else [])
        for toleration, said in (
            ({"operator": "Exists"}, ""),
            ({"key": "a", "operator": "X"}, 'operator: Unsupported value: "X": supported values: "Equal", "Exists"'),
            (
                {"key": "a", "operator": "Lt"},
                'operator: Unsupported value: "Lt": supported values: "Equal", "Exists", "',
            ),
            (
                {"value": "a"},
                'operator: Invalid value: "": operator must be Exists when `key` is empty, which means "ma',
            ),
            ({"key": "a", "value": "!"}, 'operator: Invalid value: "!": a valid label must be an empty string'),
            (
                {"key": "a", "operator": "Exists", "value": "b"},
                'operator: Invalid value: "b": value must be empty when',
            ),
            ({"key": "a b", "operator": "Exists"}, 'key: Invalid value: "a b": name part must consist'),
            (
                {"key": "a", "tolerationSeconds": 1, "effect": "NoSchedule"},
                "effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
            ),
            (
                {"key": "a", "effect": "X"},
                'effect: Unsupported value: "X": supported values: "NoSchedule", "PreferNoSc',
            ),
        )
    ),
    (
        {"spec.schedulingGates": [{"name": "a"}, {"name": "a"}, {}], "spec.nodeName": "n"},
        [
            'spec.schedulingGates[1]: Duplicate value: "a"',
            'spec.schedulingGates[2]: Invalid value: "": name part must be non-empty',
            'spec.schedulingGates[2]: Invalid value: "": name part must consist of',
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ],
    ),
]

SECURITY: Cases = [
    (
        {f"{C}.securityContext": {"runAsUser": -1, "runAsGroup": 2**31, "procMount": "X"}},
        [
            f"{AT}.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            f"{AT}.securityContext.runAsGroup: Invalid value: 2147483648: must be between 0 and 2147483647, inclusive",
            f'{AT}.securityContext.procMount: Unsupported value: "X": supported values: "Default", "Unmasked"',
        ],
    ),
    (
        {f"{C}.securityContext": {"procMount": "Unmasked"}},
        [f'{AT}.securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'],
    ),
    ({f"{C}.securityContext": {"procMount": "Unmasked"}, "spec.hostUsers": False}, []),
    (
        {f"{C}.securityContext": {"allowPrivilegeEscalation": False, "privileged": True}},
        [f'{AT}.securityContext: Invalid value: {{"Capabilities":null,"Privileged":true,"SELinuxOptions":null,'],
    ),
    *(
        (
            {f"{C}.securityContext": {"seccompProfile": profile}},
            [f"{AT}.securityContext.seccompProfile{s}" for s in said],
        )
        for profile, said in (
            ({}, [".type: Required value: type is required when seccompProfile is set"]),
            (
                {"type": "X"},
                ['.type: Unsupported value: "X": supported values: "Localhost", "RuntimeDefault", "Unconf'],
            ),
            ({"type": "Localhost"}, [".localhostProfile: Required value: must be set when seccomp type is Localhost"]),
            (
                {"type": "Localhost", "localhostProfile": "/../a"},
                [
                    '.localhostProfile: Invalid value: "/../a": must be a relative path',
                    ".localhostProfile: Invalid value: \"/../a\": must not contain '..'",
                ],
            ),
            (
                {"type": "Unconfined", "localhostProfile": "a"},
                ['.localhostProfile: Invalid value: {"Type":"Unconfined","LocalhostProfile":"a"}: can only be set '],
            ),
        )
    ),
    *(
        (
            {f"{C}.securityContext": {"appArmorProfile": profile}},
            [f"{AT}.securityContext.appArmorProfile{s}" for s in said],
        )
        for profile, said in (
            ({}, [".type: Required value: type is required when appArmorProfile is set"]),
            ({"type": "X"}, ['.type: Unsupported value: "X"']),
            (
                {"type": "Localhost", "localhostProfile": ""},
                [".localhostProfile: Required value: must be set when AppA"],
            ),
            (
                {"type": "Localhost", "localhostProfile": " a"},
                ['.localhostProfile: Invalid value: " a": must not be padded with whitespace'],
            ),
            (
                {"type": "Localhost", "localhostProfile": "a" * 4096},
                [".localhostProfile: Too long: may not be more than 4095 bytes"],
            ),
            (
                {"type": "RuntimeDefault", "localhostProfile": "a"},
                ['.localhostProfile: Invalid value: "a": can only be set when AppArmor type is Localhost'],
            ),
        )
    ),
    *(
        (
            {f"{C}.securityContext": {"windowsOptions": {"runAsUserName": user}}},
            [f"{AT}.securityContext.windowsOptions.runAsUserName: Invalid value: {s}" for s in said],
        )
        for user, said in (
            ("", ['"": runAsUserName cannot be an empty string']),
            ("a\tb", ['"a\\tb": runAsUserName cannot contain control characters']),
            ("a\\b\\c", ['"a\\\\b\\\\c": runAsUserName cannot contain more than one backslash']),
            (".a\\b", ["\".a\\\\b\": runAsUserName's Domain doesn't match the NetBios nor the DNS format"]),
            ("a\\", ['"a\\\\": runAsUserName\'s User cannot be empty']),
            ("..", ['"..": runAsUserName\'s User cannot contain only periods or spaces']),
            ("a@b", ['"a@b": runAsUserName\'s User cannot contain the following characters: "/\\:;|=,+*?<>@[]']),
            ("u" * 105, [f'"{"u" * 105}": runAsUserName\'s User length must not be longer than 104 characters']),
            ("NT AUTHORITY\\SYSTEM", []),
        )
    ),
    (
        {"spec.securityContext.windowsOptions": {"gmsaCredentialSpecName": "A", "gmsaCredentialSpec": ""}},
        [
            f'spec.securityContext.windowsOptions.gmsaCredentialSpecName: Invalid value: "A": {SUBDOMAIN}',
            'spec.securityContext.windowsOptions.gmsaCredentialSpec: Invalid value: "": gmsaCredentialSpec cannot be',
        ],
    ),
    (
        {
            "spec.securityContext": {
                "fsGroup": -1,
                "supplementalGroups": [1, -2],
                "fsGroupChangePolicy": "X",
                "supplementalGroupsPolicy": "Y",
                "seLinuxChangePolicy": "MountOption",
            }
        },
        [
            "spec.securityContext.fsGroup: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            "spec.securityContext.supplementalGroups[1]: Invalid value: -2: must be between 0",
            'spec.securityContext.fsGroupChangePolicy: Unsupported value: "X": supported values: "Always", "OnRootMi',
            'spec.securityContext.supplementalGroupsPolicy: Unsupported value: "Y": supported values: "Merge", "Stri',
            'spec.securityContext.seLinuxChangePolicy: Unsupported value: "MountOption": supported values: "Recursive"',
        ],
    ),
    (
        {"spec.shareProcessNamespace": True, "spec.hostPID": True},
        ["spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID canno"],
    ),
    (
        {
            "spec.hostNetwork": True,
            "spec.hostIPC": True,
            "spec.securityContext.sysctls": [
                {"name": ""},
                {"name": "A"},
                {"name": "net/core/x"},
                {"name": "kernel.shm_x"},
                {"name": "kernel.sem"},
                {"name": "kernel.sem"},
            ],
        },
        [
            "spec.securityContext.sysctls[0].name: Required value",
            'spec.securityContext.sysctls[1].name: Invalid value: "A": must have at most 253 characters and match re',
            'spec.securityContext.sysctls[2].name: Invalid value: "net/core/x": may not be specified when \'hostNet',
            'spec.securityContext.sysctls[3].name: Invalid value: "kernel.shm_x": may not be specified when \'hostI',
            "spec.securityContext.sysctls[4].name: Invalid value: \"kernel.sem\": may not be specified when 'hostIPC'",
            'spec.securityContext.sysctls[5].name: Duplicate value: "kernel.sem"',
            "spec.securityContext.sysctls[5].name: Invalid value: \"kernel.sem\": may not be specified when 'hostIPC'",
        ],
    ),
    (
        {"spec.hostUsers": False, "spec.hostNetwork": True, "spec.hostPID": True, "spec.hostIPC": True},
        [f"spec.{field}: Forbidden: when `hostUsers` is false" for field in ("hostNetwork", "HostPID", "HostIPC")],
    ),
    (
        {"spec.hostUsers": False, **mounts(volumeDevices=[{"name": "d", "devicePath": "/d"}])},
        [f"{AT}.volumeDevices: Forbidden: when `hostUsers` is false"],
    ),
    ({"spec.os": {}}, ["spec.os.name: Required value"]),
    ({"spec.os": {"name": "plan9"}}, ['spec.os: Unsupported value: "plan9": supported values: "linux", "windows"']),
    (
        {
            "spec.os": {"name": "windows"},
            "spec.hostPID": True,
            "spec.securityContext": {"seLinuxChangePolicy": "Recursive", "supplementalGroups": []},
            f"{C}.securityContext": {"runAsUser": 0, "seccompProfile": {"type": "Unconfined"}},
        },
        [
            "spec.hostPID: Forbidden: cannot be set for a windows pod",
            "spec.securityContext.seLinuxChangePolicy: Forbidden: cannot be set for a windows pod",
            f"{AT}.securityContext.seccompProfile: Forbidden: cannot be set for a windows pod",
            f"{AT}.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
        ],
    ),
    (
        {"spec.os": {"name": "linux"}, "spec.securityContext": {"windowsOptions": {}}},
        ["spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"],
    ),
    (
        {
            f"{C}.securityContext": {"windowsOptions": {"hostProcess": True}},
            "spec.containers.1": {"name": "d", "image": "i"},
        },
        [
            'spec: Invalid value: "": If pod contains any hostProcess containers then all containers must be HostPro',
            "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess contai",
        ],
    ),
    (
        {
            "spec.hostNetwork": True,
            "spec.securityContext": {"windowsOptions": {"hostProcess": True}},
            f"{C}.securityContext": {"windowsOptions": {"hostProcess": False}},
        },
        [f"{AT}.securityContext.windowsOptions.hostProcess: Invalid value: false: pod hostProcess value must be iden"],
    ),
]

REST: Cases = [
    (
        {"spec.restartPolicy": "X"},
        ['spec.restartPolicy: Unsupported value: "X": supported values: "Always", "OnFailure"'],
    ),
    (
        {"spec.dnsPolicy": "X"},
        ['spec.dnsPolicy: Unsupported value: "X": supported values: "ClusterFirstWithHostNet", "'],
    ),
    ({"spec.dnsPolicy": "None"}, ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
    (
        {"spec.dnsPolicy": "None", "spec.dnsConfig": {"searches": ["!"]}},
        ["spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is"],
    ),
    (
        {
            "spec.dnsConfig": {
                "nameservers": ["1.1.1.1", "x", "1.1.1.3", "1.1.1.4"],
                "searches": [".", "_a.b.", "A"],
                "options": [{}],
            }
        },
        [
            'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","x","1.1.1.3","1.1.1.4"]: must not have more than',
            'spec.dnsConfig.nameservers[1]: Invalid value: "x": must be a valid IP address',
            'spec.dnsConfig.searches[2]: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of',
            "spec.dnsConfig.options[0]: Required value: must not be empty",
        ],
    ),
    (
        {"spec.dnsConfig": {"searches": [f"s{n}.{'x' * 60}" for n in range(33)]}},
        [
            'spec.dnsConfig.searches: Invalid value: ["s0.xxx',
            'spec.dnsConfig.searches: Invalid value: ["s0.xxx',
        ],
    ),
    (
        {"spec.nodeSelector": {"a b": "!"}},
        ['spec.nodeSelector: Invalid value: "a b"', 'spec.nodeSelector: Invalid value: "!"'],
    ),
    (
        {"spec.readinessGates": [{"conditionType": "a b"}]},
        ['spec.readinessGates[0].conditionType: Invalid value: "a b"'],
    ),
    ({"spec.serviceAccountName": "A"}, [f'spec.serviceAccountName: Invalid value: "A": {SUBDOMAIN}']),
    ({"spec.nodeName": "A"}, [f'spec.nodeName: Invalid value: "A": {SUBDOMAIN}']),
    (
        {"spec.activeDeadlineSeconds": 0},
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647"],
    ),
    (
        {"spec.hostname": "a.b", "spec.subdomain": "A"},
        ['spec.hostname: Invalid value: "a.b": must not contain dots', "spec.subdomain: I"],
    ),
    (
        {"spec.hostAliases": [{"ip": "01.1.1.1", "hostnames": ["a", "B"]}]},
        [
            'spec.hostAliases[0].ip: Invalid value: "01.1.1.1": must not have leading 0s',
            f'spec.hostAliases[0].hostnames[1]: Invalid value: "B": {SUBDOMAIN}',
        ],
    ),
    ({"spec.priorityClassName": "A"}, [f'spec.priorityClassName: Invalid value: "A": {SUBDOMAIN}']),
    ({"spec.runtimeClassName": ""}, [f'spec.runtimeClassName: Invalid value: "": {SUBDOMAIN}']),
    (
        {"spec.preemptionPolicy": ""},
        ["spec.preemptionPolicy: Required value"],
    ),
    (
        {"spec.preemptionPolicy": "X"},
        ['spec.preemptionPolicy: Unsupported value: "X": supported values: "PreemptLowerP'],
    ),
    (
        {"spec.hostnameOverride": "a" * 65 + ".B", "spec.setHostnameAsFQDN": True, "spec.hostNetwork": True},
        [
            "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
            "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
            "spec.hostnameOverride: Too long: may not be more than 64 bytes",
            f'spec.hostnameOverride: Invalid value: "{"a" * 65}.B": {SUBDOMAIN}',
        ],
    ),
]

MIRROR = "kubernetes.io/config.mirror"
COST = "controller.kubernetes.io/pod-deletion-cost"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
ARMOR = "container.apparmor.security.beta.kubernetes.io/"


def annotated(key: str, value: str, **more: Any) -> Obj:
    return {"metadata.annotations": {key: value}, **more}


ANNOTATIONS: Cases = [
    (
        annotated(MIRROR, "x"),
        [f'metadata.annotations[{MIRROR}]: Invalid value: "x": must set spec.nodeName if mirror pod'],
    ),
    (
        annotated(MIRROR, "x", **{"spec.nodeName": "n", "spec.resourceClaims": [{"name": "a"}]}),
        ["[]: Forbidden: static pods do not support resource claims"],
    ),
    *(
        (annotated(TOLERATIONS, text), [f'metadata.annotations: Invalid value: "{TOLERATIONS}": {why}'])
        for text, why in (
            ("[" * 100_000, "exceeded max depth"),
            ("NaN", "invalid character 'N' looking for beginning of value"),
            ("{}", "json: cannot unmarshal object into Go value of type []v1.Toleration"),
        )
    ),
    (annotated(TOLERATIONS, "null"), []),
    (
        annotated(TOLERATIONS, '[{"key": "a/b", "operator": "Exists", "effect": "NoExecute"}, {"operator": "Exists"}]'),
        [],
    ),
    *(
        (annotated(TOLERATIONS, f'[{{"operator": "Exists"}}, {text}]'), [f"metadata.annotations.{TOLERATIONS}[1]{why}"])
        for text, why in (
            ('{"key": "a b", "operator": "Exists"}', '.key: Invalid value: "a b": name part must consist of'),
            ("null", '.operator: Invalid value: "": operator must be Exists when `key` is empty'),
            ('{"key": "a", "tolerationSeconds": 1}', ".effect: Invalid value: \"\": effect must be 'NoExecute' when"),
            ('{"key": "a", "value": "b c"}', '.operator: Invalid value: "b c": a valid label must be'),
            (
                '{"key": "a", "operator": "Is"}',
                '.operator: Unsupported value: "Is": supported values: "Equal", "Exists"',
            ),
            ('{"key": "a", "effect": "None"}', '.effect: Unsupported value: "None": supported values'),
        )
    ),
    (annotated(COST, "-5"), []),
    (annotated(COST, "+5"), [f'metadata.annotations[{COST}]: Invalid value: "+5": must be a 32bit integer']),
    (annotated(COST, "2147483648"), [f"metadata.annotations[{COST}]: Invalid value"]),
    (annotated(COST, "9" * 5000), [f"metadata.annotations[{COST}]: Invalid value"]),
    (annotated(SECCOMP, "localhost/a"), []),
    (annotated(SECCOMP, "x"), [f'metadata.annotations.{SECCOMP}: Invalid value: "x": must be a valid seccomp profile']),
    (
        annotated(SECCOMP, "localhost/../a"),
        [f'metadata.annotations.{SECCOMP}: Invalid value: "../a": must not contain'],
    ),
    (
        annotated(SECCOMP, "unconfined", **{"spec.securityContext.seccompProfile": {"type": "RuntimeDefault"}}),
        ["spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"],
    ),
    (
        annotated(
            "container.seccomp.security.alpha.kubernetes.io/c",
            "localhost/a",
            **{f"{C}.securityContext.seccompProfile": {"type": "Localhost", "localhostProfile": "b"}},
        ),
        [f"{AT}.securityContext.seccompProfile.localhostProfile: Forbidden: seccomp profile in annotation and field"],
    ),
    (
        annotated(f"{ARMOR}x", "y"),
        [
            f'metadata.annotations[{ARMOR}x]: Invalid value: "x": container not found',
            f'metadata.annotations[{ARMOR}x]: Invalid value: "y": invalid AppArmor profile name: "y"',
        ],
    ),
    (
        annotated(f"{ARMOR}c", "unconfined", **{"spec.securityContext.appArmorProfile": {"type": "RuntimeDefault"}}),
        [f"{AT}.securityContext.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match"],
    ),
]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        pytest.param(*case, id=f"{topic}-{number}")
        for topic, cases in (
            ("containers", CONTAINERS),
            ("environment", ENVIRONMENT),
            ("probes", PROBES),
            ("resources", RESOURCES),
            ("volumes", VOLUMES),
            ("mounts", MOUNTS),
            ("scheduling", SCHEDULING),
            ("security", SECURITY),
            ("rest", REST),
            ("annotations", ANNOTATIONS),
        )
        for number, case in enumerate(cases)
    ],
)
def test_a_new_pod(changes: Obj, wanted: list[str]) -> None:
    expect(check(changes), wanted)


def test_a_template_may_leave_open_what_a_pod_may_not() -> None:
    template = {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": "t", "namespace": "n"},
        "template": {"metadata": {"labels": {"a b": "c"}}, "spec": POD["spec"]},
    }
    changes = {
        "template.spec.containers.0.image": " i",
        "template.spec.containers.0.ports": [{"containerPort": 1}],
        "template.spec.hostNetwork": True,
        "template.spec.volumes": [{"name": "v", "image": {}}],
    }
    expect(told(put(template, changes)), ['template.labels: Invalid value: "a b": name part must consist'])
    expect(
        told(
            put(template, {"template.metadata": {}, "template.spec.ephemeralContainers": [{"name": "e", "image": "i"}]})
        ),
        ["template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"],
    )
