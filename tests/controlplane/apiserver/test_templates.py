"""Pod templates are checked as the pods will be that are made of them."""

import copy

import pytest

from apimachinery import errors
from apimachinery.kinds import CRON_JOB, DAEMON_SET, DEPLOYMENT, JOB, POD_TEMPLATE, REPLICA_SET, STATEFUL_SET
from apimachinery.kinds import REPLICATION_CONTROLLER as RC
from tests.controlplane.apiserver.server import run

LABELS = {"app": "a"}
IMPOSSIBLE = {"emptyDir": {}, "hostPath": {"path": "/x"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def pod(**spec):
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "x"}], **spec}}


def mounting(name, field="volumeMounts", place="mountPath"):
    return pod(containers=[{"name": "c", "image": "x", field: [{"name": name, place: "/data"}]}])


def claims(*names, mode="Filesystem"):
    return [{"metadata": {"name": name}, "spec": {**CLAIM, "volumeMode": mode}} for name in names]


def stateful_set(template, templates=(), **spec):
    selected = {"selector": {"matchLabels": LABELS}, "serviceName": "s", "template": template, **spec}
    metadata = {"name": "s", "namespace": "default"}
    kind = {"kind": "StatefulSet", "apiVersion": "apps/v1"}
    return {**kind, "metadata": metadata, "spec": {**selected, "volumeClaimTemplates": list(templates)}}


def test_a_stateful_set_mounts_what_its_claim_templates_will_be(tmp_path):
    async def test(client):
        made = await client.create(STATEFUL_SET, stateful_set(mounting("data"), claims("data")))
        made["spec"]["template"]["spec"]["containers"][0]["image"] = "y"
        await client.update(STATEFUL_SET, made)

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("template", "templates", "field"),
    [
        (mounting("data"), claims("data"), None),
        (mounting("data"), claims("other", "data"), None),
        (mounting("data"), claims("other"), "spec.template.spec.containers[0].volumeMounts[0].name"),
        (mounting("data"), (), "spec.template.spec.containers[0].volumeMounts[0].name"),
        # A raw device is a claim, too.
        (mounting("data", "volumeDevices", "devicePath"), claims("data", mode="Block"), None),
        # The claim takes the place of a volume of that name, also of one that could not be.
        (pod(volumes=[{"name": "data", **IMPOSSIBLE}]), claims("data"), None),
        (pod(volumes=[{"name": "other", **IMPOSSIBLE}]), claims("data"), "spec.template.spec.volumes[1].hostPath"),
        # Host name and subdomain are the controller's to give.
        (pod(hostname="Not_A_Name", subdomain="Nor_This"), (), None),
        (pod(volumes=[{"name": "v"}, {"name": "v"}]), (), "spec.template.spec.volumes[1].name"),
    ],
)  # fmt: skip
def test_a_stateful_sets_template(tmp_path, template, templates, field):
    async def test(client):
        obj = stateful_set(copy.deepcopy(template), templates)
        if field is None:
            await client.create(STATEFUL_SET, obj)
            return
        with pytest.raises(errors.Invalid) as found:
            await client.create(STATEFUL_SET, obj)
        assert field in [cause["field"] for cause in found.value.status()["details"]["causes"]]

    run(tmp_path, test)


def test_the_templates_of_other_kinds_need_nothing_that_is_added_later(tmp_path):
    """A Job's selector and labels are the server's, a CronJob's Jobs get theirs later, claims come with the pod."""
    ephemeral = {"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}
    template = mounting("data")
    template["spec"]["volumes"] = [ephemeral]
    once = {"metadata": {}, "spec": {**template["spec"], "restartPolicy": "Never"}}
    selected = {"selector": {"matchLabels": LABELS}, "template": template}
    specs = {
        DEPLOYMENT: selected,
        REPLICA_SET: selected,
        DAEMON_SET: selected,
        RC: {"template": template},
        JOB: {"template": once},
        CRON_JOB: {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": once}}},
    }

    async def test(client):
        for kind, spec in specs.items():
            obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"name": "n", "namespace": "default"}}
            await client.create(kind, {**obj, "spec": spec})
        obj = {"kind": "PodTemplate", "apiVersion": "v1", "metadata": {"name": "n", "namespace": "default"}}
        await client.create(POD_TEMPLATE, {**obj, "template": template})

    run(tmp_path, test)
