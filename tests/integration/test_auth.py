"""Auth and identity together on a real broker: register, sign in, validate, sign out."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from principals import as_principal

from consumers.auth.app import auth_app
from consumers.identity.context import IdentityContext
from runtime.dynamodb import create_tables, open_dynamodb
from runtime.kafka_options import kafka_options
from runtime.security.day_keys import DAY_KEYS
from runtime.security.files import ensure_secrets
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.sealed import OpeningKey, SealingKey
from runtime.security.vault import VAULT
from runtime.settings import Settings
from runtime.worker import Worker
from schemas import auth, identity
from schemas.codec import Codec, Message, encode
from schemas.envelope import (
    AUTH_SERVICE,
    CE_TYPE,
    COMMAND_ID,
    EXPIRES_AT,
    REPLY_TO,
    USER_ID,
    X_AUTH_SERVICE,
    X_SOURCE,
    X_USER_ROLE,
    Headers,
    ReplyRoute,
    cloud_event,
    header_map,
)
from schemas.journal import JOURNAL
from schemas.topics import (
    AUTH_REQUESTS,
    GATEWAY_REPLIES,
    IDENTITY_COMMANDS,
    IDENTITY_JOURNAL,
    SECURITY_AUDIT,
    dlq_of,
    snapshots_of,
)

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

T = TypeVar("T", bound=Message)
DECISIONS = Codec(
    *identity.EVENTS.types.values(), *auth.ANSWERS.types.values(), *JOURNAL.types.values()
)
TOPICS = (
    AUTH_REQUESTS,
    dlq_of(AUTH_REQUESTS),
    GATEWAY_REPLIES,
    IDENTITY_COMMANDS,
    dlq_of(IDENTITY_COMMANDS),
    IDENTITY_JOURNAL,
    SECURITY_AUDIT,
    snapshots_of("identity"),
)
PASSWORD = "Str0ng!Passw0rd"  # noqa: S105  # an example


@dataclass
class Gateway:
    """A gateway's half of request/reply, on reply partition 0."""

    settings: Settings
    producer: AIOKafkaProducer
    key: OpeningKey = field(default_factory=OpeningKey.generate)
    futures: dict[str, asyncio.Future[Message]] = field(default_factory=dict)

    @property
    def sealing(self) -> SealingKey:
        return SealingKey.of_auth(self.settings.secrets)

    @property
    def pseudonyms(self) -> Pseudonyms:
        return Pseudonyms.of(self.settings.secrets)

    async def ask(self, topic: str, message: Message, key: str | None = None) -> Message:
        command_id = secrets.token_hex(16)
        future = self.futures[command_id] = asyncio.get_running_loop().create_future()
        await self.send(topic, encode(message), self.headers(message, command_id), key)
        async with asyncio.timeout(20):
            return await future

    def headers(self, message: Message, command_id: str) -> Headers:
        now_ms = int(time.time() * 1_000)
        return [
            *cloud_event(event_id=command_id, event_type=message.TYPE, source="t", time_ms=now_ms),
            (COMMAND_ID, command_id.encode()),
            (EXPIRES_AT, str(now_ms + 15_000).encode()),
            (REPLY_TO, ReplyRoute(0, command_id).encode()),
            (X_SOURCE, b"gateway"),
            (X_AUTH_SERVICE, AUTH_SERVICE),
            (USER_ID, b"u"),
            (X_USER_ROLE, b"trader"),
        ]

    async def send(
        self, topic: str, body: bytes, headers: Headers, key: str | None = None
    ) -> tuple[int, int]:
        sent = await self.producer.send_and_wait(
            self.settings.topic(topic), body, key=key.encode() if key else None, headers=headers
        )
        return sent.partition, sent.offset

    async def register(self, username: str, email: str) -> Message:
        secret = auth.RegisterSecret(
            username=username,
            email=email,
            password=PASSWORD,
            first_name="Annabelle",
            last_name="O'Leary-Smythe",
            phone="15550102030",
        )
        return await self.ask(AUTH_REQUESTS, auth.Register(secret=self.sealing.seal(secret)))

    async def sign_in(
        self, username: str, password: str = PASSWORD, address: str = "203.0.113.7"
    ) -> Message:
        secret = auth.SignInSecret(username=username, password=password, address=address)
        return await self.ask(
            AUTH_REQUESTS,
            auth.SignIn(secret=self.sealing.seal(secret), reply_key=self.key.public),
        )

    async def token(self, username: str, address: str = "203.0.113.7") -> str:
        answer = one(auth.SignedIn, await self.sign_in(username, address=address))
        return self.key.open(answer.secret, auth.SignedInSecret).access_token

    async def validate(self, token: str) -> auth.Verdict | None:
        secret = auth.TokensSecret(access_tokens=(token,))
        question = auth.Validate(secret=self.sealing.seal(secret))
        (verdict,) = one(auth.Verdicts, await self.ask(AUTH_REQUESTS, question)).verdicts
        return verdict

    async def sign_out(self, verdict: auth.Verdict) -> Message:
        command = identity.EndSession(
            username_hmac=verdict.username_hmac, session_id=verdict.session_id
        )
        return await self.ask(IDENTITY_COMMANDS, command, key=verdict.username_hmac)


def one(kind: type[T], answer: Message) -> T:
    assert isinstance(answer, kind), answer
    return answer


@pytest.fixture
async def gateway(  # noqa: ANN201  # an async generator
    make_topics,  # noqa: ANN001  # tests/conftest.py
    dynamodb_endpoint: str,
    tmp_path: Path,
):
    settings: Settings = await make_topics(
        *TOPICS, partitions=2, dynamodb_endpoint=dynamodb_endpoint, state_dir=tmp_path
    )
    ensure_secrets(settings.secrets)
    async with open_dynamodb(settings) as dynamodb:
        await create_tables(dynamodb, settings, [VAULT])
        async with _identity(settings), _auth(settings), _gateway(settings) as gateway:
            yield gateway
        await dynamodb.delete_table(TableName=settings.table(VAULT.name))


@asynccontextmanager
async def _identity(settings: Settings) -> AsyncIterator[None]:
    worker = Worker(IdentityContext(), as_principal(settings, "identity"), on_failure=lambda: None)
    await worker.start()
    yield
    await worker.stop()
    assert worker.failure is None


@asynccontextmanager
async def _auth(settings: Settings) -> AsyncIterator[None]:
    app = auth_app(as_principal(settings, "auth"))
    started = asyncio.Event()
    app.after_startup(started.set)
    running = asyncio.create_task(app.run())
    async with asyncio.timeout(60):
        await started.wait()
    yield
    app.exit()
    async with asyncio.timeout(20):
        await running


@asynccontextmanager
async def _gateway(settings: Settings) -> AsyncIterator[Gateway]:
    producer = AIOKafkaProducer(**kafka_options(settings), enable_idempotence=True)
    replies = AIOKafkaConsumer(**kafka_options(settings))
    await producer.start()
    await replies.start()
    replies.assign([TopicPartition(settings.topic(GATEWAY_REPLIES), 0)])
    await replies.seek_to_beginning()
    gateway = Gateway(settings, producer)
    reading = asyncio.create_task(_resolve(replies, gateway))
    yield gateway
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    await producer.stop()
    await replies.stop()


async def _resolve(replies: AIOKafkaConsumer, gateway: Gateway) -> None:
    async for record in replies:
        headers = header_map(record.headers)
        future = gateway.futures.pop(headers[COMMAND_ID].decode(), None)
        if future:
            event = DECISIONS.decode(headers[CE_TYPE].decode(), record.value or b"")
            future.set_result(event)


async def test_a_trader_registers_signs_in_is_known_and_signs_out(gateway: Gateway) -> None:
    one(identity.UserRegistered, await gateway.register("ann_lee", "ann@example.org"))
    token = await gateway.token("Ann_Lee")
    verdict = await gateway.validate(token)
    assert verdict is not None
    assert verdict.role == "trader"
    assert verdict.expires_at_ms > time.time() * 1_000
    one(identity.SessionEnded, await gateway.sign_out(verdict))
    async with asyncio.timeout(2):
        while await gateway.validate(token) is not None:
            pass
    assert await gateway.validate(await gateway.token("ann_lee")) is not None


async def test_of_twenty_registrations_of_one_name_or_one_email_one_wins(gateway: Gateway) -> None:
    at_first = await _vault_keys(gateway)
    same_name = [gateway.register("popular", f"p{each}@example.org") for each in range(20)]
    same_email = [gateway.register(f"person{each}", "one@example.org") for each in range(20)]
    answers = await asyncio.gather(*same_name, *same_email)
    for group in (answers[:20], answers[20:]):
        won = [each for each in group if isinstance(each, identity.UserRegistered)]
        lost = [each for each in group if isinstance(each, identity.RegistrationRejected)]
        assert (len(won), len(lost)) == (1, 19)
    kept = {
        each.user.profile.key_id for each in answers if isinstance(each, identity.UserRegistered)
    }
    async with asyncio.timeout(10):
        # keys of refused registrations are destroyed soon
        while await _vault_keys(gateway) - at_first - {DAY_KEYS} != kept:  # noqa: ASYNC110  # only asking tells
            await asyncio.sleep(0.05)


async def _vault_keys(gateway: Gateway) -> set[str]:
    """The ids of the keys in the vault; some belong to nobody."""
    async with open_dynamodb(gateway.settings) as dynamodb:
        rows = await dynamodb.scan(TableName=gateway.settings.table(VAULT.name))
    return {row["key_id"]["S"] for row in rows["Items"]}


async def test_wrong_passwords_are_counted_exactly_and_right_ones_never(gateway: Gateway) -> None:
    await gateway.register("ann_lee", "ann@example.org")
    rights = await asyncio.gather(
        *(gateway.sign_in("ann_lee", address=f"198.51.100.{each % 3}") for each in range(12))
    )
    assert all(isinstance(each, auth.SignedIn) for each in rights), rights
    wrongs = await asyncio.gather(
        *(gateway.sign_in("ann_lee", "Wr0ng!Passw0rd", f"192.0.2.{each}") for each in range(9))
    )
    reasons = sorted(one(auth.Refused, each).reason for each in wrongs)
    assert reasons.count(auth.Reason.INVALID_CREDENTIALS) == 5
    assert reasons.count(auth.Reason.SIGN_IN_BLOCKED) == 4
    sixth = one(auth.Refused, await gateway.sign_in("ann_lee", address="192.0.2.99"))
    assert sixth.reason is auth.Reason.SIGN_IN_BLOCKED
    assert 0 < sixth.retry_after_s <= 300


async def test_a_hash_of_older_parameters_is_renewed_at_sign_in(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gateway.register("ann_lee", "ann@example.org")
    monkeypatch.setattr("consumers.auth.passwords.ROUNDS", 3)
    rehashed = 0
    async with _auth(gateway.settings), _journal(gateway) as started:
        for _ in range(30):
            one(auth.SignedIn, await gateway.sign_in("ann_lee"))
            session = await started()
            rehashed += session.password_hash is not None
            if rehashed == 2:  # by the one whose parameters are new, then back by the other
                break
    assert rehashed == 2
    wrong = one(auth.Refused, await gateway.sign_in("ann_lee", "Wr0ng!Passw0rd"))
    assert wrong.reason is auth.Reason.INVALID_CREDENTIALS


@asynccontextmanager
async def _journal(
    gateway: Gateway,
) -> AsyncIterator[Callable[[], Awaitable[identity.SessionStarted]]]:
    """Gives the sessions that start, one after another."""
    topic = gateway.settings.topic(IDENTITY_JOURNAL)
    consumer = AIOKafkaConsumer(
        topic, **kafka_options(gateway.settings), auto_offset_reset="earliest"
    )

    async def started() -> identity.SessionStarted:
        async with asyncio.timeout(20):
            async for record in consumer:
                kind = header_map(record.headers)[CE_TYPE].decode()
                if kind == identity.SessionStarted.TYPE:
                    return one(
                        identity.SessionStarted, identity.EVENTS.decode(kind, record.value or b"")
                    )
        raise AssertionError("unreachable")

    await consumer.start()
    yield started
    await consumer.stop()


async def test_an_unknown_user_gets_the_answer_of_a_wrong_password(gateway: Gateway) -> None:
    unknown = one(auth.Refused, await gateway.sign_in("nobody_here"))
    assert unknown == auth.Refused(reason=auth.Reason.INVALID_CREDENTIALS)


async def test_poison_goes_to_the_dead_letters_and_the_rest_goes_on(gateway: Gateway) -> None:
    good = gateway.headers(auth.Validate(secret=auth.Sealed("x", "y")), secrets.token_hex(16))
    sent = {
        await gateway.send(AUTH_REQUESTS, b"\xff\x00poison", good),
        await gateway.send(AUTH_REQUESTS, b"{}", []),
        await gateway.send(AUTH_REQUESTS, b'{"secret":{"key_id":"a","box":"b"}}', good),
        await gateway.send(AUTH_REQUESTS, b"{}", [(CE_TYPE, b"\xff"), (REPLY_TO, b"\xff")]),
    }
    assert await gateway.validate("no.token.atall") is None
    dead = AIOKafkaConsumer(
        gateway.settings.topic(dlq_of(AUTH_REQUESTS)),
        **kafka_options(gateway.settings),
        auto_offset_reset="earliest",
    )
    await dead.start()
    seen: set[tuple[int, int]] = set()
    async with asyncio.timeout(20):
        while seen != sent:
            record = await dead.getone()
            headers = header_map(record.headers)
            seen.add((int(headers["dlq-partition"]), int(headers["dlq-offset"])))
    await dead.stop()


async def test_nothing_personal_is_readable_in_any_topic(gateway: Gateway) -> None:
    await gateway.register("ann_lee", "ann@example.org")
    token = await gateway.token("ann_lee", address="203.0.113.77")
    await gateway.sign_in("ann_lee", "Wr0ng!Passw0rd", "203.0.113.77")
    assert await gateway.validate(token) is not None
    secret_texts = (
        "ann_lee",
        "ann@example.org",
        PASSWORD,
        "Wr0ng!",
        "Annabelle",
        "O'Leary",
        "15550102030",
        "203.0.113.77",
        "argon2",
        token,
    )
    topics = [gateway.settings.topic(each) for each in TOPICS]
    consumer = AIOKafkaConsumer(
        *topics, **kafka_options(gateway.settings), auto_offset_reset="earliest"
    )
    await consumer.start()
    records = 0
    while batches := await consumer.getmany(timeout_ms=2_000):
        for record in (each for batch in batches.values() for each in batch):
            records += 1
            text = msgspec.json.encode(
                [str(record.key), str(record.value), str(record.headers)]
            ).decode()
            assert not any(each in text for each in secret_texts), record
    await consumer.stop()
    assert records > 15
