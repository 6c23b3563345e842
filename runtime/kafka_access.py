"""Tells the broker who may sign in and what each principal may do: what `schemas.acls` says.

aiokafka's requests make one grant at a time and no credentials; these are the same requests with
many grants, and AlterUserScramCredentials (KIP-554).
"""

import asyncio
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    BrokerNotAvailableError,
    KafkaError,
    NotControllerError,
    RequestTimedOutError,
    SecurityDisabled,
    for_code,
)
from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest_v1,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from runtime.kafka_options import kafka_options
from runtime.settings import Settings
from schemas.acls import GROUPS, PRINCIPALS, grants
from schemas.topics import TOPICS, Topic

_ANY: Final = 1
_ALLOW: Final = 3
_LITERAL: Final = 3
_PREFIXED: Final = 4
_KINDS: Final = {"topic": 2, "group": 3}
_OPERATIONS: Final = {"read": 3, "write": 4, "describe": 8}
_ITERATIONS: Final = 4_096
"""Kafka's least; the passwords are random and long, so more would only slow signing in."""
_SCRAM_SHA_512: Final = 2
_RETRY_S: Final = 0.1
_TRIES: Final = 50
_NOT_YET: Final = (BrokerNotAvailableError, NotControllerError, RequestTimedOutError)


class Binding(NamedTuple):
    """A grant as the broker keeps it, in its numbers."""

    kind: int
    name: str
    pattern: int
    principal: str
    host: str
    operation: int
    permission: int


class Applied(NamedTuple):
    """How many grants the broker got, and how many it lost."""

    made: int
    withdrawn: int


def wanted_bindings(settings: Settings, topics: Iterable[Topic] = TOPICS) -> frozenset[Binding]:
    """What this system's principals may do in its namespace."""
    return frozenset(
        Binding(
            _KINDS[each.kind],
            settings.topic(each.name),
            _LITERAL,
            f"User:{each.principal}",
            "*",
            _OPERATIONS[each.operation],
            _ALLOW,
        )
        for each in grants(topics)
    )


async def apply_grants(
    admin: AIOKafkaAdminClient, settings: Settings, topics: Iterable[Topic] = TOPICS
) -> Applied | None:
    """Let our principals do this on these topics and our groups, and nothing else there.

    Returns None where the broker checks nothing.

    Raises:
        KafkaError: the broker refused; ClusterAuthorizationFailedError to all but administrators.
    """
    chosen = tuple(topics)
    wanted = wanted_bindings(settings, chosen)
    try:
        present = await _ours(admin, settings, chosen)
    except SecurityDisabled:
        return None
    await _create(admin, wanted - present)
    await _delete(admin, present - wanted)
    return Applied(len(wanted - present), len(present - wanted))


async def withdraw_grants(
    admin: AIOKafkaAdminClient, settings: Settings, topics: Iterable[Topic] = TOPICS
) -> None:
    """Let our principals do nothing on these topics and our groups any more."""
    with suppress(SecurityDisabled):
        await _delete(admin, await _ours(admin, settings, tuple(topics)))


async def set_passwords(settings: Settings, passwords: Mapping[str, str]) -> None:
    """Let each principal sign in with its password, by SCRAM-SHA-512.

    Raises:
        KafkaError: the broker refused or did not answer.
    """
    admin = AIOKafkaAdminClient(**kafka_options(settings))
    try:
        await admin.start()
        tries = _TRIES
        while errors := await _altered(admin, passwords):
            tries -= 1
            if not tries or not isinstance(errors[0], _NOT_YET):
                raise errors[0]
            await asyncio.sleep(_RETRY_S)
    finally:
        await admin.close()


# --- grants -----------------------------------------------------------------------------------


async def _ours(
    admin: AIOKafkaAdminClient, settings: Settings, topics: tuple[Topic, ...]
) -> frozenset[Binding]:
    """What our principals may do on these topics and our groups, by whatever pattern."""
    names = {
        _KINDS["topic"]: {settings.topic(each.name) for each in topics},
        _KINDS["group"]: {
            settings.topic(group) for followed in GROUPS.values() for group, _ in followed
        },
    }
    principals = {f"User:{each}" for each in PRINCIPALS}
    answer = await _send(admin, _DescribeAll())
    if answer.error_code:
        raise for_code(answer.error_code)(answer.error_message)
    return frozenset(
        binding
        for kind, name, pattern, entries in answer.resources
        for binding in (Binding(kind, name, pattern, *entry) for entry in entries)
        if binding.principal in principals and _concerns(binding, names.get(kind, set()))
    )


def _concerns(binding: Binding, names: set[str]) -> bool:
    if binding.pattern == _PREFIXED:
        return any(each.startswith(binding.name) for each in names)
    return binding.name == "*" or binding.name in names


async def _create(admin: AIOKafkaAdminClient, bindings: Iterable[Binding]) -> None:
    if chosen := sorted(bindings):
        answer = await _send(admin, _Create(chosen))
        for code, message in answer.creation_responses:
            if code:
                raise for_code(code)(message)


async def _delete(admin: AIOKafkaAdminClient, bindings: Iterable[Binding]) -> None:
    if chosen := sorted(bindings):
        answer = await _send(admin, _Delete(chosen))
        for code, message, _ in answer.filter_responses:
            if code:
                raise for_code(code)(message)


async def _send(admin: AIOKafkaAdminClient, request: "Request[Any]") -> Any:  # noqa: ANN401  # the answer's fields are its schema's
    client: Any = admin  # which has no public method for these
    return await client._send_request(request)  # noqa: SLF001


class _DescribeAll(Request[DescribeAclsRequest_v1]):
    API_KEY = 29

    def build(self, request_struct_class: type[DescribeAclsRequest_v1]) -> DescribeAclsRequest_v1:
        return request_struct_class(_ANY, None, _ANY, None, None, _ANY, _ANY)


class _Create(Request[CreateAclsRequest_v1]):
    API_KEY = 30

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self._bindings: Final = list(bindings)

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(self._bindings)


class _Delete(Request[DeleteAclsRequest_v1]):
    API_KEY = 31

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self._bindings: Final = list(bindings)

    def build(self, request_struct_class: type[DeleteAclsRequest_v1]) -> DeleteAclsRequest_v1:
        return request_struct_class(self._bindings)


# --- credentials ------------------------------------------------------------------------------


async def _altered(admin: AIOKafkaAdminClient, passwords: Mapping[str, str]) -> list[KafkaError]:
    answer = await _send(admin, _AlterCredentials(passwords))
    return [for_code(code)(said) for _, code, said, _ in answer.results if code]


class _AlterCredentialsResponse(Response):
    API_KEY = 51  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]  # as aiokafka's own
    API_VERSION = 0  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterCredentialsRequest(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _AlterCredentialsResponse
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterCredentials(Request[_AlterCredentialsRequest]):
    """The broker gets salted hashes, never a password (RFC 5802)."""

    API_KEY = 51

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._entries: Final = [
            _salted(principal, password) for principal, password in passwords.items()
        ]

    def build(
        self, request_struct_class: type[_AlterCredentialsRequest]
    ) -> _AlterCredentialsRequest:
        return request_struct_class([], self._entries, {})


def _salted(principal: str, password: str) -> tuple[str, int, int, bytes, bytes, dict[int, bytes]]:
    salt = secrets.token_bytes(32)
    hashed = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return (principal, _SCRAM_SHA_512, _ITERATIONS, salt, hashed, {})
