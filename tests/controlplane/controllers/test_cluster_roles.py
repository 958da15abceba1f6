from controlplane.controllers.cluster_roles import gathered

READ = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
WRITE = {"verbs": ["update"], "apiGroups": [""], "resources": ["pods"]}


def role(name, *rules, **labels):
    return {"metadata": {"name": name, "labels": labels}, "rules": list(rules)}


def test_rules_come_from_labelled_roles_in_order_of_their_names_and_once():
    view = role("view", READ, to="edit")
    view["aggregationRule"] = {
        "clusterRoleSelectors": [{"matchLabels": {"to": "view"}}, {"matchLabels": {"also": "x"}}]
    }
    others = [role("z", READ, to="view"), role("a", WRITE, READ, also="x"), role("n", WRITE, to="edit"), view]
    assert gathered(view, others) == [WRITE, READ]


def test_an_empty_selector_picks_every_other_role():
    everything = role("all")
    everything["aggregationRule"] = {"clusterRoleSelectors": [{}]}
    assert gathered(everything, [everything, role("a", READ)]) == [READ]
    assert gathered({**everything, "aggregationRule": {}}, [role("a", READ)]) == []
