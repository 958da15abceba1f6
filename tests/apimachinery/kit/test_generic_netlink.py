"""Families of generic netlink: found by name, and told apart from what the kernel does not have."""

from __future__ import annotations

import errno

import pytest

from apimachinery.kit.netlink import generic, wire
from apimachinery.kit.netlink.wire import Reply

_CONTROLLER = "nlctrl"
_GET_FAMILY, _ID, _NAME = 3, 1, 2


def family(reply: Reply) -> tuple[str, int]:
    found = wire.attributes(reply.payload, generic.HEAD)
    return wire.as_text(found[_NAME]), wire.as_int(found[_ID])


def test_a_family_is_asked_by_its_name() -> None:
    with generic.Family(_CONTROLLER) as controller:
        asked = generic.command(_GET_FAMILY, wire.text(_NAME, _CONTROLLER))
        assert controller.ask(asked, "look for the controller", family) == (_CONTROLLER, 16)


def test_all_that_a_command_lists_is_read() -> None:
    with generic.Family(_CONTROLLER) as controller:
        every = dict(controller.dump(generic.command(_GET_FAMILY), "list families", family))
    assert every[_CONTROLLER] == 16 and len(every) > 1


def test_what_the_kernel_does_not_have_is_told() -> None:
    with pytest.raises(OSError, match="wherry-none") as refused:
        generic.Family("wherry-none")
    assert refused.value.errno == errno.ENOENT
