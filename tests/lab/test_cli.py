"""The command line: every command in help, other tools' words, a file for `up`, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import bench
from lab import config, spec, state, status, versions
from lab import paths as places
from lab.cli import main
from lab.commands import e2e
from lab.images import load
from lab.images.rootfs import ImageError
from lab.paths import Paths
from lab.spec import SpecError
from tests.lab.test_spec import make

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(places, "RUN", tmp_path / "run")
    monkeypatch.setattr(places, "STATE", tmp_path / "state")


def test_help_of_everything() -> None:
    context = click.Context(main)
    names = main.list_commands(context)
    assert {"up", "server", "agent", "proxy", "e2e"} <= set(names)
    for name in names:
        told = CliRunner().invoke(main, ["help", name])
        assert told.exit_code == 0 and f"Usage: main {name}" in told.output, told.output
        command = main.get_command(context, name)
        assert command is not None and command.help
    assert "Add a node" in CliRunner().invoke(main, ["help", "node", "add"]).output
    wrong = CliRunner().invoke(main, ["help", "nodes"])
    assert wrong.exit_code == 2 and "there is no command 'nodes'" in wrong.output


# A command in a document, a message or an example: to the end of what stands between backticks, or of the line.
TOLD = re.compile(r"(?:`(?:sudo )?(?:\./)?|\./)wherry ([a-z][^\n`#]*)")
# What there is before anything is installed.
FIRST = {"lock": {"--upgrade"}, "install": {"--without"}}


def unknown_word(words: Sequence[str]) -> str:
    """The first that the command line does not know; "" for none. `node stop|start` are two commands."""
    if words[0] in FIRST:
        return next((word for word in words[1:] if word.startswith("-") and word not in FIRST[words[0]]), "")
    command: click.Command = main
    for word in words:
        context = click.Context(command)
        if word == "--":
            break
        if word.startswith("-"):
            options = (option for option in command.get_params(context) if isinstance(option, click.Option))
            known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
            if word.partition("=")[0] not in known and not command.context_settings.get("ignore_unknown_options"):
                return word
        elif isinstance(command, click.Group):
            found = [command.get_command(context, each) for each in word.split("|")]
            if None in found:
                return word
            command = bench if word == "bench" else found[-1] or command
    return ""


def test_what_people_are_told_to_type_is_there() -> None:
    assert (
        unknown_word(["node", "stop|begin"]) == "stop|begin" and unknown_word(["bench", "up", "--turns"]) == "--turns"
    )
    tops = [path for path in ROOT.iterdir() if not path.name.startswith(".") and path.name != "tests"]
    files = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*"))]
    told: list[tuple[Path, list[str]]] = []
    for path in (path for path in files if path.suffix in (".md", ".py", ".sh") or path == ROOT / "wherry"):
        for line in TOLD.findall(path.read_text(encoding="utf-8")):
            # Up to what else stands on the line: another command, an arrow of a picture, what a program puts in.
            words = re.split(r"  |&&|[;)\\\"{─]", line)[0].split()
            told += [(path, words)] if words else []
    assert len(told) > 150
    wrong = [f"{path.relative_to(ROOT)}: wherry {' '.join(words)}" for path, words in told if unknown_word(words)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "words", [["delete"], ["ls"], ["node", "ls"], ["node", "rm"], ["node", "delete"], ["image", "list"]]
)
def test_the_words_of_other_tools(words: list[str]) -> None:
    assert CliRunner().invoke(main, [*words, "--help"]).exit_code == 0


def test_labs_are_listed_whatever_became_of_them(elsewhere: None) -> None:
    for name in ("whta", "wht-b", "whtc"):
        state.save(Paths(name), make(name=name))
    Paths("whta").spec.write_text("{")
    Paths("whtc").spec.write_text("{")
    Paths("whtc").spec_copy.unlink()
    told = json.loads(CliRunner().invoke(main, ["list", "-o", "json"]).output)
    assert [(each["lab"], each["state"], each["nodes"]) for each in told] == [
        ("wht-b", "off", 3),
        ("whta", "off", 3),
        ("whtc", "damaged", 0),
    ]
    table = CliRunner().invoke(main, ["list"]).output
    assert "whtc   damaged  -" in table
    assert all(len(line) <= status.WIDTH for line in table.splitlines())


@pytest.mark.parametrize("option", ["--etcd-cert-file", "--etcd-key-file"])
def test_half_a_certificate_of_an_etcd_is_refused(tmp_path: Path, option: str) -> None:
    given = ["restore", "--etcd-servers", "https://127.0.0.1:1", option, "a.pem", str(tmp_path / "lab.db")]
    told = CliRunner().invoke(main, given)
    assert told.exit_code == 2 and "both --etcd-cert-file and --etcd-key-file" in told.output


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--etcd-ca-file", "a.pem", "--etcd-prefix", "/x"], "--etcd-ca-file, --etcd-prefix: that is about an etcd"),
        (["--name", "whtb", "--etcd-servers", "https://127.0.0.1:1"], "--name: that is about a lab's own store"),
    ],
)
def test_what_a_restore_would_not_look_at_is_refused(tmp_path: Path, given: list[str], why: str) -> None:
    told = CliRunner().invoke(main, ["restore", *given, str(tmp_path / "lab.db")])
    assert told.exit_code == 2 and why in told.output


def test_versions() -> None:
    found = json.loads(CliRunner().invoke(main, ["version", "-o", "json"]).output)
    assert found["wherry"] == versions.own()
    assert found["kubernetes"].startswith("v1.36.")
    assert {"containerd", "runc", "nft", "kubectl", "linux"} <= found.keys()


def test_a_file_says_what_options_say(tmp_path: Path) -> None:
    told = config.read(ROOT / "docs" / "examples" / "lab.yaml")
    assert told["--name"] == "second" and told["--nodes"] == 2 and told["--api-port"] == 7443
    assert told["--pod-cidr"] == "10.50.0.0/16" and told["--proxy-mode"] == "iptables"
    # It shows every key, and what it names is there.
    assert None not in told.values() and Path(str(told["--scheduler-config"])).is_file()
    empty = tmp_path / "empty.yaml"
    empty.touch()
    assert set(config.read(empty).values()) == {None}


def test_what_a_file_names_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lab.yaml"
    for named, meant in (("own.yaml", tmp_path / "own.yaml"), ("/etc/own.yaml", Path("/etc/own.yaml"))):
        file.write_text(f"schedulerConfig: {named}\n")
        assert config.read(file)["--scheduler-config"] == str(meant)
    monkeypatch.chdir(tmp_path)
    assert config.read(Path("lab.yaml"))["--scheduler-config"] == "/etc/own.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("node: 3", "unknown field node; known fields: controlPlanes, name, networking, nodes, schedulerConfig, store"),
        ("networking: {podCIDR: 10.0.0.0/16}", "unknown field networking.podCIDR; known fields: .*podSubnet"),
        ("nodes: three", "nodes must be a int, not 'three'|nodes must be"),
        ("nodes: true", "nodes must be"),
        ("networking: [1]", "networking must be a mapping"),
        ("networking: {apiServerPort: 70000}", "networking.apiServerPort is 70000; use 1 to 65535"),
        ("a: [", "is not valid YAML"),
        ("- a", "must hold a mapping"),
    ],
)
def test_a_file_that_will_not_do_names_the_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(text)
    with pytest.raises(SpecError, match=message):
        config.read(file)
    with pytest.raises(SpecError, match="cannot read settings file"):
        config.read(tmp_path / "none.yaml")


def test_what_is_wrong_with_a_value_is_told_in_the_files_words(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as told:
        spec.check_options(0, None)
    explained = config.explained(told.value, Path("lab.yaml"), {"--nodes"})
    assert str(explained) == "lab.yaml: nodes 0 is out of range; use 1 to 10"
    assert config.explained(told.value, Path("lab.yaml"), set()) is told.value


def archive(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    return path


def test_files_that_are_no_image_archive(tmp_path: Path) -> None:
    load.check(archive(tmp_path / "docker.tar", "manifest.json"))
    load.check(archive(tmp_path / "oci.tar", "./index.json", "./blobs"))
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / "gz").write_bytes(b"\x1f\x8b\x08\x00rest")
    archive(tmp_path / "other.tar", "a", "b")
    for name, message in {
        "text": "is no image archive",
        "empty": "is no image archive",
        "gz": "is compressed; unpack it first: `gunzip",
        "other.tar": "is a tar file without images",
        ".": "is no file",
    }.items():
        with pytest.raises(ImageError, match=message):
            load.check(tmp_path / name)


def wherry(*arguments: str, **options: object) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "lab", *arguments]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(argv, **{**streams, "cwd": ROOT, "text": True, **options})  # type: ignore[call-overload]


def test_a_reader_that_had_enough_is_no_error_to_tell() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = wherry("--help", stdout=writing)
    os.close(writing)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode != 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_disk_behind_a_stream(stream: str) -> None:
    with Path("/dev/full").open("w") as full:
        process = wherry("version" if stream == "stdout" else "nonsense", **{stream: full})
        told = "".join(filter(None, process.communicate(timeout=60)))
    assert process.returncode != 0
    assert "Traceback" not in told and "Exception ignored" not in told
    assert stream == "stderr" or "No space left on device" in told


@pytest.mark.parametrize("moment", ["parse_args", "get_command"])
def test_ctrl_c_before_a_command_begins_is_told_as_later(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(main), moment, interrupted)
    done = CliRunner().invoke(main, ["version"])
    assert (done.exit_code, "Aborted" in done.output) == (130, False), done.output


@pytest.mark.parametrize("milliseconds", [0, 40, 80, 120, 180, 250, 400])
def test_ctrl_c_at_any_moment_shows_no_traceback(milliseconds: int) -> None:
    """The script `wherry` hands over with Ctrl-C held back, so that Python's own start tells nothing either."""

    def held_back() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])

    for _ in range(3):
        process = wherry("version", preexec_fn=held_back)
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        # An interpreter that ends has no handler any more: the signal itself ends it, which a shell calls 130, too.
        assert process.returncode in (0, 130, -signal.SIGINT), told
        assert "Traceback" not in told


def test_what_nobody_expected_is_told_in_a_line() -> None:
    code = "import lab.cli, lab.__main__ as m, sys\ndef boom(**_): raise ZeroDivisionError('x')\nlab.cli.main = boom\n"
    process = subprocess.run(
        [sys.executable, "-c", f"{code}sys.exit(m.main())"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert process.stderr.startswith("Error: unexpected: ZeroDivisionError: x\n") and "Traceback" not in process.stderr


@pytest.mark.parametrize("name", ["", "../x", "Lab", "a-guard"])
@pytest.mark.parametrize("words", [["up"], ["down"], ["stop"], ["start"], ["status"], ["node", "list"], ["kubeconfig"]])
def test_no_command_takes_a_name_that_no_lab_can_have(elsewhere: None, words: list[str], name: str) -> None:
    result = CliRunner().invoke(main, [*words, "--name", name])
    assert (result.exit_code, f"--name {name!r} will not do" in result.output) == (1, True), result.output


@pytest.mark.parametrize(
    "words",
    [
        ["shell", "node1"],
        ["node", "add"],
        ["node", "start", "node1"],
        ["node", "stop", "node1"],
        ["image", "ls"],
        ["proxy-mode", "iptables"],
        ["trace", "pod/a", "pod/b"],
        ["backup"],
        ["e2e"],
    ],
)
def test_what_needs_a_running_lab_says_how_to_switch_it_on(
    elsewhere: None, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr("lab.preflight.os.geteuid", lambda: 0)
    state.save(Paths("whta"), make(name="whta"))
    result = CliRunner().invoke(main, [*words, "--name", "whta"])
    assert (result.exit_code, "lab whta is off: `wherry start --name whta`" in result.output) == (1, True), (
        result.output
    )


@pytest.mark.parametrize(
    ("file", "variable", "name"), [("", "", "wherry"), ("name: two", "", "two"), ("name: two", "x", "x")]
)
def test_trials_of_virtual_machines_find_them_by_the_name_that_the_vagrantfile_goes_by(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, variable: str, name: str
) -> None:
    monkeypatch.setattr(e2e, "SOURCE", tmp_path)
    monkeypatch.setattr(e2e, "_VAGRANT", tmp_path)
    monkeypatch.delenv("WHERRY_NAME", raising=False)
    (tmp_path / "wherry.yaml").write_text(file)
    if variable:
        monkeypatch.setenv("WHERRY_NAME", variable)
    result = CliRunner().invoke(main, ["e2e", "--vagrant"])
    assert f"there is no {tmp_path}/{name}.kubeconfig" in result.output
