"""What is said to requests that lead nowhere."""

from __future__ import annotations

from apimachinery import errors


def nothing_there() -> errors.ApiError:
    return errors.NotFound("the server could not find the requested resource", details={})


def not_allowed() -> errors.ApiError:
    return errors.MethodNotAllowed("the server does not allow this method on the requested resource", details={})
