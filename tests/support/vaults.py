"""What DynamoDB holds of a namespace, raw; what a journal's replay hashes to."""

import json
from typing import Any

from topics import Stored, read_topics

from consumers.identity.context import IdentityContext
from runtime.dynamodb import open_dynamodb
from runtime.journal.partition import Partition
from runtime.log import Record
from runtime.security.vault import VAULT
from runtime.settings import Settings
from schemas.topics import IDENTITY_JOURNAL

Item = dict[str, Any]


async def read_tables(settings: Settings) -> dict[str, list[Item]]:
    """Every item of every table of the namespace, as DynamoDB has it, by physical table."""
    found: dict[str, list[Item]] = {}
    async with open_dynamodb(settings) as client:
        async for page in client.get_paginator("list_tables").paginate():
            for name in page.get("TableNames", ()):
                if name.startswith(settings.table("")):
                    scanning = client.get_paginator("scan").paginate(
                        TableName=name, ConsistentRead=True
                    )
                    found[name] = [item async for each in scanning for item in each["Items"]]
    return found


def as_stored(tables: dict[str, list[Item]]) -> list[Stored]:
    """Items in the shape of records, so that one search goes over both."""
    return [
        Stored(name, 0, number, None, json.dumps(item, ensure_ascii=False).encode(), ())
        for name, items in tables.items()
        for number, item in enumerate(items)
    ]


async def vault_keys(settings: Settings) -> dict[str, str]:
    """The vault's keys of people by id, as they lie in its table."""
    items = (await read_tables(settings))[settings.table(VAULT.name)]
    return {item["key_id"]["S"]: item["key"]["S"] for item in items if "key" in item}


async def identity_journal(settings: Settings) -> dict[int, list[Stored]]:
    """All of identity's journal, by partition."""
    found: dict[int, list[Stored]] = {}
    for each in await read_topics(settings, [IDENTITY_JOURNAL]):
        found.setdefault(each.partition, []).append(each)
    return found


def replayed_hash(records: list[Stored]) -> str:
    """The state hash (S2) after these first records of one partition, by replay alone."""
    partition = Partition(IdentityContext(), records[0].partition, lambda _topic: 4)
    for each in records:
        headers: Any = list(each.headers)
        partition.replay(Record(each.offset, 0, each.key, each.value, headers))
    partition.begin_round()
    partition.snapshots.take(1 << 30)
    return partition.snapshots.finish()[0].state_hash
