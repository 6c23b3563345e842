"""Messages as JSON: msgspec structs, where every `*_e8` integer travels as a decimal string.

JSON readers outside Python lose integers above 2**53, and amounts in 1e-8 units get there at
90 million dollars; a quoted integer survives every reader.
"""

import re
from typing import ClassVar, Final, TypeVar, dataclass_transform

import msgspec

_UNQUOTED_E8: Final = re.compile(rb'_e8":(-?\d+)')
_OPENING: Final = b'_e8":"'
_CLOSING: Final = b'"'
_ENCODER: Final = msgspec.json.Encoder()


class PoisonMessage(Exception):  # noqa: N818  # the field's word, and the name says the reaction
    """A message that cannot be decoded: dead-letter it and go on."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A command or an event; `TYPE` is its CloudEvents type and carries the version.

    A command with `OPERATORS_ONLY` is poison unless an operator sent it.
    """

    TYPE: ClassVar[str] = ""
    OPERATORS_ONLY: ClassVar[bool] = False


MessageT = TypeVar("MessageT", bound=msgspec.Struct)


def encode(message: msgspec.Struct) -> bytes:
    """Encode as compact JSON with `*_e8` integers quoted.

    A quote inside a JSON string is always escaped, so no text can look like such a field.
    """
    parts = _UNQUOTED_E8.split(_ENCODER.encode(message))
    count = len(parts) // 2
    quoted = [b""] * (4 * count + 1)
    quoted[::2], quoted[1::4], quoted[3::4] = parts, [_OPENING] * count, [_CLOSING] * count
    return b"".join(quoted)


class Codec:
    """Decodes the messages of one topic by their CloudEvents type."""

    def __init__(self, *types: type[Message]) -> None:
        self.types: Final = {each.TYPE: each for each in types}
        if len(self.types) != len(types):
            raise ValueError("two message classes share one TYPE")
        self._decoders: Final = {
            name: msgspec.json.Decoder(each, strict=False) for name, each in self.types.items()
        }

    def decode(self, message_type: str, body: bytes) -> Message:
        """Decode a body of a known type.

        Raises:
            PoisonMessage: unknown type, broken JSON or a field of another shape.
        """
        decoder = self._decoders.get(message_type)
        if decoder is None:
            raise PoisonMessage(f"unknown message type {message_type[:80]!r}")
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PoisonMessage(f"{message_type}: {error}") from error
