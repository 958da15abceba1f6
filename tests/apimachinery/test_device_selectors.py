"""What expressions say of devices."""

from __future__ import annotations

import pytest

from apimachinery.device_selectors import Unanswered, Unfit, compiled, matches

DEVICE = {
    "name": "gpu-1",
    "attributes": {
        "model": {"string": "large"},
        "numa": {"int": 1},
        "shiny": {"bool": True},
        "firmware": {"version": "1.12.0"},
        "other.example/model": {"string": "small"},
    },
    "capacity": {"memory": {"value": "40Gi"}},
    "allowMultipleAllocations": True,
}


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ('device.driver == "gpu.example"', True),
        ('device.driver == "other.example"', False),
        ('device.attributes["gpu.example"].model == "large" && device.attributes["gpu.example"].numa < 2', True),
        ('device.attributes["other.example"].model == "small"', True),
        ('device.attributes["gpu.example"].shiny', True),
        ('device.attributes["gpu.example"].firmware.isGreaterThan(semver("1.9.0"))', True),
        ('device.capacity["gpu.example"].memory.compareTo(quantity("39Gi")) > 0', True),
        ("device.allowMultipleAllocations", True),
        # A domain that the device does not use is empty, and told apart from one that it does.
        ('"model" in device.attributes["unknown.example"]', False),
        ('has(device.attributes["unknown.example"].model)', False),
        ('"unknown.example" in device.attributes', False),
        ('"gpu.example" in device.attributes', True),
        ('cel.bind(gpu, device.attributes["gpu.example"], gpu.shiny && gpu.numa == 1)', True),
    ],
)
def test_a_selector_means_devices_by_what_drivers_tell(expression: str, answer: bool) -> None:
    assert matches(compiled(expression), "gpu.example", DEVICE) is answer


def test_what_a_device_does_not_have_is_no_answer() -> None:
    for expression, text in {
        'device.attributes["gpu.example"].missing == 1': "no such key: missing",
        'device.attributes["unknown.example"].model == "x"': "no such key: model",
        'device.attributes["gpu.example"].numa': "could not be converted to bool",
    }.items():
        with pytest.raises(Unanswered, match=text):
            matches(compiled(expression), "gpu.example", DEVICE)


def test_what_is_no_selector_is_said_in_upstream_s_words() -> None:
    for expression, text in {
        "cel.bind(1, 2, true)": r"<input>:1:10: cel.bind\(\) variable names must be simple identifiers",
        "device.driver": "must evaluate to bool or the unknown type, not string",
        "device.unknown == 1": "compilation failed: ERROR: <input>:1:7: undefined field 'unknown'",
        "devices": r"compilation failed: ERROR: <input>:1:1: undeclared reference to 'devices' \(in container ''\)",
    }.items():
        with pytest.raises(Unfit, match=text):
            compiled(expression)


def test_a_selector_costs_no_more_than_it_may() -> None:
    wide = ", ".join(["1"] * 120)
    costly = f"[{wide}].all(a, [{wide}].all(b, [{wide}].all(c, a == b && b == c)))"
    with pytest.raises(Unanswered, match="cost limit exceeded"):
        matches(compiled(costly), "gpu.example", DEVICE)
