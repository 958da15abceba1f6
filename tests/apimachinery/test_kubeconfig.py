"""A merged kubeconfig gains one context and keeps everything that was there."""

from pathlib import Path

import pytest
import yaml

from apimachinery import kubeconfig
from apimachinery.kubeconfig import Cluster

CLUSTER = Cluster("https://127.0.0.1:6443", ca=b"CA", cert=b"CERT", key=b"KEY")


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "config"
    kubeconfig.write(path, CLUSTER, "wherry", "admin")
    assert kubeconfig.load(path) == CLUSTER
    assert path.stat().st_mode & 0o777 == 0o600


def test_merge_and_remove_clobber_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config"
    mine = kubeconfig.document(Cluster("https://example.test", token="t"), "work", "me")
    mine["preferences"] = {"colors": True}
    path.write_text(yaml.safe_dump(mine))
    kubeconfig.merge(path, CLUSTER, "wherry")
    kubeconfig.merge(path, CLUSTER, "wherry")
    merged = yaml.safe_load(path.read_text())
    assert [entry["name"] for entry in merged["contexts"]] == ["work", "wherry"]
    assert merged["current-context"] == "work"
    kubeconfig.remove(path, "wherry")
    assert yaml.safe_load(path.read_text()) == mine


def test_errors_name_file_and_entry(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("current-context: gone\n")
    with pytest.raises(kubeconfig.KubeconfigError, match="contexts has no entry named 'gone'"):
        kubeconfig.load(path)


@pytest.mark.parametrize(
    ("half", "missing"),
    [(Cluster("https://a", cert=b"CERT"), "client-key"), (Cluster("https://a", key=b"KEY"), "client-certificate")],
)
def test_half_a_certificate_is_refused_by_name(tmp_path: Path, half: Cluster, missing: str) -> None:
    path = tmp_path / "config"
    kubeconfig.write(path, half, "wherry", "admin")
    with pytest.raises(kubeconfig.KubeconfigError, match=f"the user has no {missing} to its other half"):
        kubeconfig.load(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(b"\xa2\xe6", "not text in UTF-8"), (b"a: [", "not valid YAML"), (b"- a", "must hold a mapping, not a list")],
)
def test_a_damaged_file_is_named_by_whoever_reads_it(tmp_path: Path, damage: bytes, message: str) -> None:
    path = tmp_path / "config"
    path.write_bytes(damage)
    cluster = kubeconfig.Cluster("https://192.0.2.1:6443")
    for use in (kubeconfig.load, lambda p: kubeconfig.merge(p, cluster, "a"), lambda p: kubeconfig.remove(p, "a")):
        with pytest.raises(kubeconfig.KubeconfigError, match=message):
            use(path)
    assert path.read_bytes() == damage
