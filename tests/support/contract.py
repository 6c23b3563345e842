"""Holds an answer to what /openapi.json says of it."""

from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator

from gateway.docs import document


def check_answer(method: str, path: str, status: int, body: object) -> None:
    """The body is as the document says; `path` is as it was asked for.

    Raises:
        AssertionError: no call has this path, or the body is not of its schema.
    """
    asked = path.partition("?")[0].split("/")
    template = min(
        (each for each in document()["paths"] if _fits(each, asked)),
        key=lambda each: each.count("{"),
    )
    errors = list(_validator(method, template, str(status)).iter_errors(body))
    assert not errors, f"{method} {path}: {errors[0].message} at {errors[0].json_path}"


def _fits(template: str, asked: list[str]) -> bool:
    parts = template.split("/")
    return len(parts) == len(asked) and all(
        each == given or each.startswith("{") for each, given in zip(parts, asked, strict=True)
    )


@lru_cache(maxsize=100)
def _validator(method: str, template: str, status: str) -> Draft202012Validator:
    told: dict[str, Any] = document()
    answer = told["paths"][template][method]["responses"][status]
    schema = answer["content"]["application/json"]["schema"]
    return Draft202012Validator(schema | {"components": told["components"]})
