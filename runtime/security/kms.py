"""AWS KMS around the vault: its table then holds keys that only KMS can unwrap.

So whoever gets the table or its backup reads nobody, and every use of a key is in CloudTrail. What
erases a person stays the same: the row with the wrapped key goes.
"""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Final

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from runtime.errors import Unavailable
from runtime.security.vault import Wrapping
from runtime.settings import Settings

_PURPOSE: Final = "cnop-vault"


class Kms:
    """The `Wrapping` by one key of KMS; the key id is its encryption context.

    So a wrapped key cannot stand in another's place, and CloudTrail tells whose it was.
    """

    def __init__(self, client: Any, key: str) -> None:  # noqa: ANN401  # aiobotocore's, untyped
        self._client: Final = client
        self._key: Final = key

    async def wrap(self, key_id: str, key: bytes) -> bytes:
        """Encrypt the key; raises `Unavailable` when KMS does not."""
        answer = await _asked(
            self._client.encrypt(
                KeyId=self._key, Plaintext=key, EncryptionContext={_PURPOSE: key_id}
            )
        )
        return answer["CiphertextBlob"]

    async def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """Decrypt the key; raises `Unavailable` when KMS does not."""
        answer = await _asked(
            self._client.decrypt(
                KeyId=self._key, CiphertextBlob=wrapped, EncryptionContext={_PURPOSE: key_id}
            )
        )
        return answer["Plaintext"]


@asynccontextmanager
async def open_wrapping(settings: Settings) -> AsyncGenerator[Wrapping | None]:
    """What wraps the vault's keys; None where no KMS key is set.

    AWS_ENDPOINT_URL_KMS and the other variables of the AWS SDK count.
    """
    if settings.vault_kms_key is None:
        yield None
        return
    config = AioConfig(
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2}
    )
    session: Any = aioboto3.Session(region_name=settings.aws_region)
    async with session.client("kms", config=config) as client:
        yield Kms(client, settings.vault_kms_key)


async def _asked(call: Awaitable[Any]) -> Any:  # noqa: ANN401  # what KMS answers
    try:
        return await call
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        raise Unavailable(f"KMS: {code}") from error
    except (BotoCoreError, TimeoutError, OSError) as error:
        raise Unavailable(f"KMS: {type(error).__name__}") from error
