from controlplane.controllers.protection import claims_of, classes_of


def pod(*volumes, node="n"):
    return {"metadata": {"name": "p"}, "spec": {"nodeName": node, "volumes": list(volumes)}}


def test_a_pod_uses_the_claims_it_names_and_those_made_for_it():
    named = {"name": "a", "persistentVolumeClaim": {"claimName": "c"}}
    made = {"name": "b", "ephemeral": {"volumeClaimTemplate": {}}}
    assert claims_of(pod(named, made, {"name": "e", "emptyDir": {}})) == ["c", "p-b"]
    assert claims_of(pod(named, node="")) == []


def test_the_class_a_claim_has_and_the_one_it_is_to_get():
    status = {
        "currentVolumeAttributesClassName": "silver",
        "modifyVolumeStatus": {"targetVolumeAttributesClassName": "gold"},
    }
    assert classes_of({"spec": {"volumeAttributesClassName": "gold"}, "status": status}) == ["gold", "silver", "gold"]
    assert classes_of({"spec": {}}) == []
