"""Rows, changes and questions as DynamoDB writes them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from runtime.table import Beyond, Change, Checkpoint, Merge, Put, Row, Span, Where

Item = dict[str, Any]


def action(change: Change, table: str) -> Item:
    """What one change is within a transaction."""
    match change:
        case Put():
            return {"Put": {"TableName": table, "Item": to_item(change.row)}}
        case Merge():
            return {"Update": {"TableName": table, "Key": to_item(change.key)} | _set(change.row)}
        case _:
            return {"Delete": {"TableName": table, "Key": to_item(change.key)}}


def checkpoint_action(checkpoint: Checkpoint, table: str) -> Item:
    """A checkpoint within a transaction, under the condition that the expected one is there."""
    put: Item = {"TableName": table, "Item": to_item(checkpoint.row)}
    expected = checkpoint.expected
    condition = (
        absent(checkpoint.row) if expected is None else _equal(expected, "ConditionExpression", "x")
    )
    return {"Put": put | condition}


def absent(row: Row) -> Item:
    """The condition that no row has this key."""
    return {
        "ConditionExpression": "attribute_not_exists(#k)",
        "ExpressionAttributeNames": {"#k": next(iter(row))},
    }


def question(
    table: str, partition: Row, where: Where | None, matching: Row | None, index: str | None
) -> Item:
    """A query: rows of a partition, of a range of it, with these values, by an index."""
    request: Item = {"TableName": table} | _equal(partition, "KeyConditionExpression", "p")
    names, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
    if where is not None:
        term, bounds = _range(where)
        request["KeyConditionExpression"] += f" AND {term}"
        names["#s"] = where.attribute
        values |= {name: _to_value(value) for name, value in bounds.items()}
    if matching is not None:
        wanted = _equal(matching, "FilterExpression", "f")
        request["FilterExpression"] = wanted["FilterExpression"]
        names |= wanted["ExpressionAttributeNames"]
        values |= wanted["ExpressionAttributeValues"]
    if index is not None:
        request |= {"IndexName": index, "Select": "ALL_ATTRIBUTES"}
    return request


def to_item(row: Row) -> Item:
    """A row as DynamoDB writes it; integers up to 38 digits."""
    return {name: _to_value(value) for name, value in row.items()}


def from_item(item: Item) -> Row:
    """A row from what DynamoDB gives."""
    return {name: _from_value(value) for name, value in item.items()}


def _set(row: Row) -> Item:
    """Names are spelled by number: they may be words that DynamoDB keeps for itself."""
    return {
        "UpdateExpression": "SET " + ",".join(f"#{n}=:{n}" for n in range(len(row))),
        "ExpressionAttributeNames": {f"#{n}": name for n, name in enumerate(row)},
        "ExpressionAttributeValues": {
            f":{n}": _to_value(value) for n, value in enumerate(row.values())
        },
    }


def _equal(row: Row, clause: str, letter: str) -> Item:
    terms = [f"#{letter}{n} = :{letter}{n}" for n in range(len(row))]
    return {
        clause: " AND ".join(terms),
        "ExpressionAttributeNames": {f"#{letter}{n}": name for n, name in enumerate(row)},
        "ExpressionAttributeValues": {
            f":{letter}{n}": _to_value(value) for n, value in enumerate(row.values())
        },
    }


def _range(where: Where) -> tuple[str, dict[str, str | int]]:
    if isinstance(where, Span):
        return "#s BETWEEN :low AND :high", {":low": where.low, ":high": where.high}
    if isinstance(where, Beyond):
        return f"#s {'<' if where.below else '>'} :value", {":value": where.value}
    return "begins_with(#s, :text)", {":text": where.text}


def _to_value(value: Any) -> Item:  # noqa: ANN401, PLR0911  # any JSON-like value
    kind = cast("type[object]", type(value))
    if kind is str:
        return {"S": value}
    if kind is int:
        return {"N": str(value)}
    if kind is bool:
        return {"BOOL": value}
    if value is None:
        return {"NULL": True}
    if isinstance(value, str):  # a StrEnum
        return {"S": str(value)}
    if isinstance(value, Mapping):
        return {"M": to_item(cast("Row", value))}
    if isinstance(value, list | tuple):
        return {"L": [_to_value(each) for each in cast("Sequence[Any]", value)]}
    raise TypeError(f"a row cannot hold {kind.__name__}")


def _from_value(value: Item) -> Any:  # noqa: ANN401  # any JSON-like value
    ((kind, content),) = value.items()
    match kind:
        case "S" | "BOOL":
            return content
        case "N":
            return int(content)
        case "NULL":
            return None
        case "L":
            return [_from_value(each) for each in content]
        case "M":
            return from_item(content)
        case _:
            raise TypeError(f"no row of ours holds {kind}")
