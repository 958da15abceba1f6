"""Errors turn into upstream's Status bodies and back."""

from apimachinery import errors


def test_not_found_has_upstreams_words() -> None:
    status = errors.not_found("deployments", "web", "apps").status()
    assert status == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'deployments.apps "web" not found',
        "reason": "NotFound",
        "details": {"name": "web", "group": "apps", "kind": "deployments"},
        "code": 404,
    }


def test_a_status_comes_back_as_the_right_class() -> None:
    for error in (errors.Conflict("x"), errors.Expired("x"), errors.TooManyRequests("x", retry_after=3)):
        again = errors.from_status(error.status())
        assert type(again) is type(error)
        assert again.retry_after == error.retry_after


def test_invalid_joins_several_problems_and_names_each_cause() -> None:
    problems = [
        errors.required("spec.containers[0].image"),
        errors.not_supported("spec.restartPolicy", "Ever", ("Always", "Never")),
    ]
    error = errors.invalid_object("Pod", "a", problems)
    assert error.message == (
        'Pod "a" is invalid: [spec.containers[0].image: Required value, '
        'spec.restartPolicy: Unsupported value: "Ever": supported values: "Always", "Never"]'
    )
    assert error.details is not None
    assert error.details["causes"][0] == {
        "reason": "FieldValueRequired",
        "message": "Required value",
        "field": "spec.containers[0].image",
    }
