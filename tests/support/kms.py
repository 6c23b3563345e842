"""A server that speaks as much of AWS KMS as the vault asks: Encrypt and Decrypt of one key."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

_MEDIA_TYPE = "application/x-amz-json-1.1"


@dataclass
class Kms:
    """Answers for the key `alias`; `context` is bound to what it encrypts, as KMS does."""

    alias: str = "alias/cnop-vault"
    url: str = ""
    is_down: bool = False
    asked: list[str] = field(default_factory=list)
    _box: SecretBox = field(default_factory=lambda: SecretBox(b"k" * 32))

    async def answer(self, request: web.Request) -> web.Response:
        """One call of the JSON protocol."""
        call = request.headers["X-Amz-Target"].rpartition(".")[2]
        self.asked.append(call)
        if self.is_down:
            return _problem("KMSInternalException", status=500)
        body: dict[str, Any] = json.loads(await request.text())
        return self._encrypt(body) if call == "Encrypt" else self._decrypt(body)

    def _encrypt(self, body: dict[str, Any]) -> web.Response:
        if body["KeyId"] != self.alias:
            return _problem("NotFoundException")
        sealed = {"plaintext": body["Plaintext"], "context": body["EncryptionContext"]}
        blob = self._box.encrypt(json.dumps(sealed).encode())
        return _said({"CiphertextBlob": base64.b64encode(blob).decode(), "KeyId": self.alias})

    def _decrypt(self, body: dict[str, Any]) -> web.Response:
        try:
            sealed = json.loads(self._box.decrypt(base64.b64decode(body["CiphertextBlob"])))
        except CryptoError:
            return _problem("InvalidCiphertextException")
        if sealed["context"] != body["EncryptionContext"]:
            return _problem("InvalidCiphertextException")
        return _said({"Plaintext": sealed["plaintext"], "KeyId": self.alias})


def _said(body: dict[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(body), status=status, content_type=_MEDIA_TYPE)


def _problem(code: str, *, status: int = 400) -> web.Response:
    return _said({"__type": code}, status=status)


@asynccontextmanager
async def serving_kms() -> AsyncIterator[Kms]:
    """A KMS on a port of its own."""
    kms = Kms()
    app = web.Application()
    app.router.add_post("/", kms.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    _, port = runner.addresses[0][:2]
    kms.url = f"http://127.0.0.1:{port}"
    try:
        yield kms
    finally:
        await runner.cleanup()
