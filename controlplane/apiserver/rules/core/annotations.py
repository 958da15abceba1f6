"""What annotations of pods and of their templates mean."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apimachinery import errors
from apimachinery.errors import FieldError
from apimachinery.numerals import whole
from apimachinery.objects import Obj
from controlplane.apiserver.rules.core import annotated
from controlplane.apiserver.rules.core.scheduling import tolerations_at
from controlplane.apiserver.rules.core.security import profiles_in_annotations
from controlplane.apiserver.rules.values import MAX_INT32

MIRROR = "kubernetes.io/config.mirror"
_TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
_COST = "controller.kubernetes.io/pod-deletion-cost"
_WHOLE_NUMBER = re.compile(r"(0|-[0-9]+|[1-9][0-9]*)\Z")


def pod_annotations(values: Obj, spec: Obj, path: str) -> Iterator[FieldError]:
    """path: that of the annotations."""
    if MIRROR in values and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        yield errors.invalid(f"{path}[{MIRROR}]", values[MIRROR], text)
    if values.get(_TOLERATIONS):
        listed, why = annotated.read(values[_TOLERATIONS], "tolerations")
        if why:
            yield errors.invalid(path, _TOLERATIONS, why)
        else:
            yield from tolerations_at(f"{path}.{_TOLERATIONS}", listed or ())
    cost = values.get(_COST)
    if cost is not None and not (_WHOLE_NUMBER.match(cost) and -MAX_INT32 - 1 <= (whole(cost) or 0) <= MAX_INT32):
        yield errors.invalid(f"{path}[{_COST}]", cost, "must be a 32bit integer")
    yield from profiles_in_annotations(values, spec, path)
