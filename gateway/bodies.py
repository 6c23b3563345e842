"""Reads JSON bodies: size, content type, exact numbers, and validation into one form."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar, cast

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from gateway.problems import FieldError, Problem

BODY_BYTES_MAX: Final = 64 * 1024
_DEPTH_MAX: Final = 8
_ERRORS_MAX: Final = 50
_FIELD_CHARACTERS_MAX: Final = 100
_SHORT_DIGITS: Final = 40
_JSON_TYPES: Final = frozenset({"application/json", "application/problem+json"})

Form = TypeVar("Form", bound=BaseModel)


def _exact(text: str) -> Decimal:
    """A JSON number as written; an exponent beyond all reason is no number."""
    try:
        return Decimal(text) if len(text) <= _SHORT_DIGITS else Decimal("NaN")
    except InvalidOperation:
        return Decimal("NaN")


_DECODER: Final = msgspec.json.Decoder(float_hook=_exact)


async def read_form(request: Request, form: type[Form]) -> Form:
    """The request's JSON body as this form.

    Raises:
        Problem: not JSON by content type or by content, too large, or not valid.
    """
    fields = await read_object(request)
    try:
        return form.model_validate(fields)
    except ValidationError as error:
        raise Problem("validation-failed", errors=_field_errors(error)) from None


async def read_object(request: Request) -> Mapping[str, Any]:
    """The request's JSON object, numbers exact.

    Raises:
        Problem: not JSON by content type or by content, too large, or no object.
    """
    _check_content_type(request.headers.get("content-type"))
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem("unsupported-media-type")  # taken as it is, it would be another body
    body = await _read(request)
    try:
        value = _DECODER.decode(body)
    except msgspec.ValidationError:
        raise _not_an_object("A number in the body is out of range.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem("not-json") from None
    if body.count(b"{") + body.count(b"[") > _DEPTH_MAX and _depth(value) > _DEPTH_MAX:
        raise _not_an_object(f"The body is nested deeper than {_DEPTH_MAX} levels.")
    if not isinstance(value, dict):
        raise _not_an_object("The body has to be a JSON object.")
    return cast("dict[str, Any]", value)


def _depth(value: object) -> int:
    """How many levels of objects and lists a value has; what is too deep is not walked further."""
    deepest, level = 0, _nested([value])
    while level and deepest <= _DEPTH_MAX:
        deepest += 1
        level = _nested(inner for each in level for inner in each)
    return deepest


def _nested(values: Iterable[object]) -> list[Iterable[object]]:
    """What the objects and lists among these hold."""
    found: list[Iterable[object]] = []
    for each in values:
        if isinstance(each, dict):
            found.append(cast("dict[str, object]", each).values())
        elif isinstance(each, list):
            found.append(cast("list[object]", each))
    return found


def _not_an_object(message: str) -> Problem:
    return Problem("validation-failed", errors=(FieldError("", message),))


def _check_content_type(content_type: str | None) -> None:
    """A body that says nothing of its type is taken as JSON, as legacy clients send it."""
    if content_type is None:
        return
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in _JSON_TYPES and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise Problem("unsupported-media-type")


async def _read(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > BODY_BYTES_MAX:
        raise _too_large()
    chunks: list[bytes] = []
    size_bytes = 0
    try:
        async for chunk in request.stream():
            size_bytes += len(chunk)
            if size_bytes > BODY_BYTES_MAX:
                raise _too_large()
            chunks.append(chunk)
    except ClientDisconnect:
        raise Problem("bad-request") from None
    return b"".join(chunks)


def _too_large() -> Problem:
    return Problem("body-too-large", headers={"Connection": "close"})


def _field_errors(error: ValidationError) -> tuple[FieldError, ...]:
    """What is wrong, never with what was sent."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(
        FieldError(
            ".".join(str(part) for part in each["loc"])[:_FIELD_CHARACTERS_MAX],
            each["msg"].removeprefix("Value error, "),
        )
        for each in details[:_ERRORS_MAX]
    )
