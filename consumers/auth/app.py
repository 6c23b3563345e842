"""The auth service: `app` is its FastStream application, request/reply over Kafka."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from consumers.auth.asking import Identity
from consumers.auth.attempts import Attempts, make_decoy
from consumers.auth.changing_password import ChangingPassword
from consumers.auth.issuing import Issuing
from consumers.auth.passwords import Passwords
from consumers.auth.progress import Progress
from consumers.auth.refresh_tokens import RefreshTokens
from consumers.auth.refreshing import Refreshing
from consumers.auth.registering import Registering
from consumers.auth.sender import Sender
from consumers.auth.service import Auth
from consumers.auth.signing_in import SigningIn
from consumers.auth.tail import Tail
from consumers.auth.tokens import Tokens
from runtime.dynamodb import DynamoTable, open_dynamodb
from runtime.errors import Unavailable
from runtime.kafka_options import kafka_security
from runtime.membership import leave_at_once
from runtime.security.audit import Audit, AuditLog
from runtime.security.day_keys import DayKeys, each_hour
from runtime.security.files import ensure_secrets
from runtime.security.kms import open_wrapping
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.sealed import OpeningKey
from runtime.security.vault import VAULT, Vault
from runtime.settings import Settings, settings
from schemas.audit import Happened, SecurityEvent
from schemas.envelope import derived_id
from schemas.identity import Ciphertext
from schemas.topics import AUTH_REQUESTS

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_IN_WORK_MAX: Final = 512
_COMMIT_EVERY_S: Final = 1.0
_BACKOFF_S: Final = 0.5
_KEYS_READ_EVERY_S: Final = 2.0
_DRAIN_S_MAX: Final = 4.0


class Requests:
    """Takes requests off the topic and works on many at once, so that none waits for a hash."""

    def __init__(self, consumer: Callable[[], AIOKafkaConsumer | None]) -> None:
        self._consumer: Final = consumer
        self._places: Final = asyncio.Semaphore(_IN_WORK_MAX)
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._progress: Final = Progress()
        self._is_draining = False
        self.auth: Auth | None = None

    async def take(self, message: KafkaMessage) -> None:
        """Start to work on a request; waits while too many are in work."""
        record: Any = message.raw_message
        place = TopicPartition(record.topic, record.partition)
        self._progress.begin(place, record.offset)
        if self._is_draining or self.auth is None:
            return  # not committed, so another process or the next life takes it
        await self._places.acquire()
        task = asyncio.create_task(self._work(self.auth, record, place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Finish what is in work, for some seconds, and commit."""
        self._is_draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_DRAIN_S_MAX)
        await self._commit()

    def leave_at_once(self) -> None:
        """Give the partitions back when the consumer stops, which it does on purpose."""
        leave_at_once(self._consumer())

    async def commit_for_ever(self) -> None:
        """Commit what is done, every second."""
        while True:
            await asyncio.sleep(_COMMIT_EVERY_S)
            await self._commit()

    async def _work(
        self, auth: Auth, record: ConsumerRecord[bytes, bytes], place: TopicPartition
    ) -> None:
        try:
            await auth.handle(record)
        except Exception:  # noqa: BLE001  # one request's fault must not end the others
            _LOG.exception("request %s/%s failed", record.partition, record.offset)
        finally:
            self._progress.end(place, record.offset)
            self._places.release()

    async def _commit(self) -> None:
        consumer = self._consumer()
        if consumer is None:
            return
        assigned = consumer.assignment()
        done = self._progress.committable()
        offsets = {place: at for place, at in done.items() if place in assigned}
        if not offsets:
            return
        try:
            await consumer.commit(offsets)
        except (KafkaError, IllegalStateError) as error:
            _LOG.info("progress is not committed: %r", error)


def auth_app(settings: Settings) -> FastStream:
    """The FastStream application with these settings."""
    broker = KafkaBroker(
        settings.kafka_bootstrap,
        security=kafka_security(settings),
        allow_auto_create_topics=False,
        apply_types=False,
        client_id="cnop-auth-requests",
        logger=None,
    )
    requests = Requests(lambda: subscriber.consumer)
    subscriber = broker.subscriber(
        settings.topic(AUTH_REQUESTS),
        group_id=f"{settings.namespace}auth",
        group_instance_id=settings.instance,
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=250,
        parser=_unparsed,
        decoder=_undecoded,
    )
    subscriber(requests.take)

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            tail = await _opened(settings, stack, requests, application.exit)
            committing = asyncio.create_task(requests.commit_for_ever())
            stack.callback(committing.cancel)
            yield
        if tail.failure is not None:
            raise tail.failure

    application = FastStream(broker, lifespan=lifespan)
    application.on_shutdown(requests.drain)
    application.on_shutdown(requests.leave_at_once)
    return application


async def _unparsed(record: Any) -> KafkaMessage:  # noqa: ANN401  # FastStream's raw message
    """Leave headers and body alone: FastStream would lose what does not decode."""
    return KafkaMessage(raw_message=record, body=b"", consumer=FAKE_CONSUMER)


async def _undecoded(message: KafkaMessage) -> KafkaMessage:
    return message


async def _opened(
    settings: Settings, stack: AsyncExitStack, requests: Requests, on_failure: Callable[[], None]
) -> Tail:
    """Let requests be answered, once Kafka and DynamoDB are there and the journals are read."""
    secrets_dir = ensure_secrets(settings.secrets)
    rows = DynamoTable(await stack.enter_async_context(open_dynamodb(settings)), settings)
    vault = Vault(rows, await stack.enter_async_context(open_wrapping(settings)))
    sender = Sender(settings)
    await sender.start()
    stack.push_async_callback(sender.stop)
    audit = Audit("auth", AuditLog(settings))
    audit.start()
    stack.push_async_callback(audit.stop)
    await _answering(rows)
    tail = Tail(
        settings,
        partitions=sender.partitions,
        unwanted_key=_Destroyer(vault, stack).destroy,
        on_failure=on_failure,
    )
    await tail.start()
    stack.push_async_callback(tail.stop)
    passwords = Passwords()
    stack.callback(passwords.close)
    pseudonyms = Pseudonyms.of(secrets_dir)
    await _knowing(DayKeys(rows, vault, pseudonyms).renew, stack)
    tokens = Tokens.of(secrets_dir)
    stack.callback(asyncio.create_task(_reading_keys(tokens, audit)).cancel)
    identity = Identity(sender, tail)
    issuing = Issuing(
        tokens,
        RefreshTokens.of(secrets_dir),
        token_s=settings.access_token_s,
        session_s=settings.refresh_token_s,
    )
    attempts = Attempts(
        identity=identity,
        passwords=passwords,
        pseudonyms=pseudonyms,
        vault=vault,
        audit=audit,
        decoy=await _decoy(vault, passwords, stack),
    )
    requests.auth = Auth(
        opening=OpeningKey.of_auth(secrets_dir),
        tokens=tokens,
        registering=Registering(
            passwords=passwords, pseudonyms=pseudonyms, vault=vault, sender=sender, tail=tail
        ),
        signing_in=SigningIn(
            attempts=attempts,
            passwords=passwords,
            pseudonyms=pseudonyms,
            vault=vault,
            issuing=issuing,
        ),
        refreshing=Refreshing(identity, issuing),
        changing_password=ChangingPassword(attempts=attempts, passwords=passwords, vault=vault),
        sender=sender,
        tail=tail,
    )
    return tail


async def _reading_keys(tokens: Tokens, audit: Audit) -> None:
    """Know keys that were rotated, well before they sign, and tell of them."""
    known = tokens.kids
    while True:
        await asyncio.sleep(_KEYS_READ_EVERY_S)
        tokens.read_keys_again()
        for kid in sorted(tokens.kids - known):
            rotated = SecurityEvent(happened=Happened.KEY_ROTATED, detail=kid)
            audit.tell(rotated, event_id=derived_id("key-rotated", kid))
        known |= tokens.kids


async def _answering(rows: DynamoTable) -> None:
    """Wait until the vault can be read."""
    while True:
        try:
            await rows.get(VAULT.name, {VAULT.partition_key: "none"})
        except Unavailable as error:
            _LOG.warning("no vault yet: %s", error)
            await asyncio.sleep(_BACKOFF_S)
        else:
            return


async def _knowing(renew: Callable[[], Awaitable[None]], stack: AsyncExitStack) -> None:
    """Have the keys of addresses now, and from now on."""
    await _until_available(renew)
    stack.callback(asyncio.create_task(each_hour(renew)).cancel)


async def _decoy(vault: Vault, passwords: Passwords, stack: AsyncExitStack) -> Ciphertext:
    """A decoy for as long as this process lives."""
    decoy = await _until_available(lambda: make_decoy(vault, passwords))

    async def destroy() -> None:
        with suppress(Unavailable):  # the key is worth nothing
            await vault.destroy(decoy.key_id)

    stack.push_async_callback(destroy)
    return decoy


async def _until_available(get: Callable[[], Awaitable[T]]) -> T:
    """What the vault gives, as soon as it does."""
    while True:
        try:
            return await get()
        except Unavailable as error:
            _LOG.warning("the vault does not answer yet: %s", error)
            await asyncio.sleep(_BACKOFF_S)


class _Destroyer:
    """Destroys keys of refused registrations and erased users, until the store takes it."""

    def __init__(self, vault: Vault, stack: AsyncExitStack) -> None:
        self._vault: Final = vault
        self._queue: Final[asyncio.Queue[str]] = asyncio.Queue()
        task = asyncio.create_task(self._run())
        stack.callback(task.cancel)

    def destroy(self, key_id: str) -> None:
        """Destroy this key soon."""
        self._queue.put_nowait(key_id)

    async def _run(self) -> None:
        while True:
            key_id = await self._queue.get()
            try:
                await self._vault.destroy(key_id)
            except Unavailable:
                self._queue.put_nowait(key_id)
                await asyncio.sleep(_BACKOFF_S)


app = auth_app(settings())
