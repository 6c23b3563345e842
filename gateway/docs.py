"""/openapi.json and /docs: the contract for machines, and a plain page for people."""

import base64
import hashlib
import html
from functools import lru_cache
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gateway.access import ACCESS, SIGNED_IN
from gateway.answers import answer
from gateway.calls import CALLS, KEY, PREFER, Call
from gateway.shapes import SHAPES, content_of
from runtime.security.headers import NOTHING


async def openapi(_: Request) -> Response:
    """GET /openapi.json."""
    return answer(document())


async def page(_: Request) -> Response:
    """GET /docs."""
    return HTMLResponse(_page(), headers={"Content-Security-Policy": _POLICY})


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CNOP",
            "version": "1",
            "description": "Trading over events: every command is decided once, on a log.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "api_key": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "cnop_ and 64 hex digits",
                    "description": "An API key; it needs the scope that the operation names.",
                },
            },
            "schemas": {**SHAPES, **_forms()},
        },
    }


def _forms() -> dict[str, Any]:
    return {
        call.body.__name__: call.body.model_json_schema(ref_template="#/components/schemas/{model}")
        for call in CALLS
        if call.body is not None
    }


def _operation(call: Call) -> dict[str, Any]:
    extra = (KEY, PREFER) if call.is_command else ()
    operation: dict[str, Any] = {
        "summary": call.summary,
        "operationId": f"{call.method}{call.path.replace('/', '_').translate(_BRACES)}",
        "parameters": [
            {"name": name, "in": place, "required": place == "path", "schema": schema}
            for name, place, schema in (*call.parameters, *extra)
        ],
        "responses": _responses(call),
        "security": _security(call),
    }
    if roles := _roles(call):
        operation["x-roles"] = roles
    if call.body is not None:
        schema = {"$ref": f"#/components/schemas/{call.body.__name__}"}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _roles(call: Call) -> list[str]:
    """The only roles that may call it; empty where every caller may."""
    access = ACCESS[call.method.upper(), call.path]
    return [] if access == SIGNED_IN else sorted(access.roles or ())


def _security(call: Call) -> list[dict[str, list[str]]]:
    """What opens it: a session's token, or an API key with this scope."""
    if call.is_open:
        return []
    scope = ACCESS[call.method.upper(), call.path].scope
    return [{"token": []}] if scope is None else [{"token": []}, {"api_key": [scope]}]


_BRACES: Final = str.maketrans("", "", "{}")


def _responses(call: Call) -> dict[str, Any]:
    refusals = {*call.refusals, 422, 429, 503}
    if call.body is not None:
        refusals |= {400, 413, 415}
    if not call.is_open:
        refusals |= {401, 403}
    if call.is_command:
        refusals.add(409)
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    done: dict[str, Any] = {"description": "Done"}
    if call.success != 204:  # noqa: PLR2004  # which has no content
        done["content"] = content_of(call.method, call.path)
    responses: dict[str, Any] = {str(call.success): done}
    if call.is_command:
        responses["202"] = {"description": "Still being decided: ask at Location"}
    for status in sorted(refusals):
        responses[str(status)] = {"description": "A problem (RFC 9457)", "content": problem}
    return responses


_STYLE: Final = (
    "body{font:16px sans-serif;margin:2rem;max-width:60rem}td{padding:.3rem .8rem .3rem 0}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"{NOTHING.decode()}; style-src 'sha256-{_STYLE_HASH}'"
"""The page has its own style and nothing else."""


@lru_cache(maxsize=1)
def _page() -> str:
    rows = "".join(
        f"<tr><td><code>{call.method.upper()}</code></td>"
        f"<td><code>{html.escape(call.path)}</code></td>"
        f"<td>{html.escape(call.summary)}</td>"
        f"<td>{'' if call.is_open else ', '.join(_roles(call)) or 'token'}</td></tr>"
        for call in CALLS
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>CNOP API</title>"
        f"<style>{_STYLE}</style>"
        '<h1>CNOP API</h1><p>The whole contract: <a href="/openapi.json">openapi.json</a>.</p>'
        f"<table>{rows}</table></html>"
    )
