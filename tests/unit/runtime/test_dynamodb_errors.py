"""DynamoDB Local never throttles and never conflicts, so what AWS says then is made up here."""

from collections.abc import Awaitable

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dynamodb import DynamoTable
from runtime.dynamodb_items import from_item, to_item
from runtime.errors import Unavailable
from runtime.settings import Settings
from runtime.table import Checkpoint, ConditionFailed

WIDEST = 10**38 - 1
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-WIDEST, WIDEST) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class Failing:
    """A client whose every answer is one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def transact_write_items(self, **_request: object) -> None:
        raise self._error

    def get_item(self, **_request: object) -> Awaitable[None]:
        return self.transact_write_items()


def canceled(*codes: str) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": "TransactionCanceledException", "Message": ""},
            "CancellationReasons": [{"Code": each} for each in codes],
        },
        "TransactWriteItems",
    )


def other(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}},
        "TransactWriteItems",
    )


async def write(error: Exception) -> None:
    table = DynamoTable(Failing(error), Settings(), pinned={"orders": 1})
    checkpoint = Checkpoint("orders", {"account_id": "checkpoint", "offset": 1}, None)
    await table.transact([], checkpoints=[checkpoint])


async def test_only_the_checkpoint_condition_means_fenced() -> None:
    with pytest.raises(ConditionFailed):
        await write(canceled("ConditionalCheckFailed", "None", "None"))


@pytest.mark.parametrize(
    "error",
    [
        canceled("TransactionConflict", "None"),
        canceled("None", "TransactionConflict"),
        canceled("None", "ThrottlingError"),
        canceled("None", "ProvisionedThroughputExceeded"),
        other("ThrottlingException"),
        other("TransactionInProgressException"),
        other("RequestLimitExceeded"),
        other("ResourceNotFoundException"),
        other("InternalServerError", 500),
        other("Anything", 503),
        EndpointConnectionError(endpoint_url="http://nowhere"),
        TimeoutError(),
        ConnectionResetError(),
    ],
)
async def test_conflicts_throttling_and_lost_connections_are_tried_again(error: Exception) -> None:
    with pytest.raises(Unavailable):
        await write(error)


@pytest.mark.parametrize("error", [canceled("None", "ValidationError"), other("AccessDenied")])
async def test_what_no_retry_can_mend_is_not_hidden(error: Exception) -> None:
    with pytest.raises(ClientError):
        await write(error)


@given(st.dictionaries(st.text(), VALUES, max_size=3))
@settings(deadline=None, max_examples=50)
def test_rows_come_back_as_they_were(row: dict[str, object]) -> None:
    assert from_item(to_item(row)) == row


def test_floats_are_no_rows() -> None:
    with pytest.raises(TypeError):
        to_item({"price": 1.5})
