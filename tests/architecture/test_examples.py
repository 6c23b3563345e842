import json
from pathlib import Path

import pytest

from schemas import accounts, audit, auth, identity, journal, markets
from schemas.codec import Codec, Message, encode

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
CODECS: dict[str, tuple[Codec, ...]] = {
    "identity": (identity.COMMANDS, identity.EVENTS),
    "accounts": (accounts.COMMANDS, accounts.EVENTS),
    "markets": (markets.COMMANDS, markets.EVENTS),
    "auth": (auth.REQUESTS, auth.ANSWERS),
    "journal": (journal.JOURNAL,),
    "security": (audit.EVENTS,),
}
TYPES = {
    name: (context, codec)
    for context, codecs in CODECS.items()
    for codec in codecs
    for name in codec.types
}


@pytest.mark.parametrize("message_type", TYPES)
def test_every_message_type_has_an_example_that_decodes_and_encodes_the_same(
    message_type: str,
) -> None:
    context, codec = TYPES[message_type]
    path = EXAMPLES / context / f"{message_type}.json"
    assert path.exists(), f"write an example of {message_type}"
    body = path.read_bytes()
    message = codec.decode(message_type, body)
    assert json.loads(encode(message)) == json.loads(body)


@pytest.mark.parametrize(
    "path",
    sorted(EXAMPLES.rglob("*.json")),
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_no_example_is_left_over(path: Path) -> None:
    assert path.stem in TYPES, "events of old versions stay in their codec for ever"
    assert TYPES[path.stem][0] == path.parent.name


def test_every_message_belongs_to_one_codec_and_says_its_version() -> None:
    count = sum(len(codec.types) for codecs in CODECS.values() for codec in codecs)
    assert count == len(TYPES)
    for name, (context, _) in TYPES.items():
        assert name.startswith(f"{context}.")
        assert name.rpartition(".v")[2].isdigit()


def test_no_message_class_is_forgotten_by_the_codecs() -> None:
    declared = {
        each.TYPE
        for module in (audit, identity, accounts, markets, auth, journal)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Message) and each.TYPE
    }
    assert declared == TYPES.keys()
