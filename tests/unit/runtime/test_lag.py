from aiokafka import TopicPartition

from runtime import metrics
from runtime.lag import Lag, Span, export, lag_of
from schemas.acls import FALL_BEHIND

PLACE = ("accounts", TopicPartition("accounts.commands", 2))


def test_the_registry_says_which_groups_must_consume_what() -> None:
    groups = FALL_BEHIND
    assert ("accounts", "accounts.commands") in groups
    assert ("read-models-accounts", "accounts.journal") in groups
    assert ("read-models-markets", "markets.journal") in groups
    assert ("auditor", "accounts.journal") in groups
    assert ("auth", "auth.requests") in groups
    assert len({group for group, _ in groups}) == 8


def test_lag_counts_from_the_position_to_the_end() -> None:
    lag = lag_of(PLACE, 7, Span(0, 10))
    assert lag == Lag("accounts", "accounts.commands", 2, 7, 10, 3, 0.0)


def test_a_group_without_a_position_is_behind_by_all_there_is() -> None:
    assert lag_of(PLACE, None, Span(4, 10)).messages == 6


def test_what_retention_removed_does_not_count() -> None:
    assert lag_of(PLACE, 1, Span(4, 10)).messages == 6
    assert lag_of(PLACE, 1, Span(10, 10)).messages == 0


def test_a_position_beyond_the_end_is_no_lag() -> None:
    assert lag_of(PLACE, 12, Span(0, 10)).messages == 0


def test_a_group_that_is_gone_disappears_from_the_metrics() -> None:
    labels = ["old", "t", "0"]
    export([Lag("old", "t", 0, 1, 3, 2, 4.5)])
    assert metrics.LAG_SECONDS.labels(*labels)._value.get() == 4.5
    export([Lag("new", "t", 0, None, 3, 3, 1.0)])
    samples = next(iter(metrics.LAG_MESSAGES.collect())).samples
    assert [each.labels["consumergroup"] for each in samples] == ["new"]
    assert not next(iter(metrics.GROUP_OFFSET.collect())).samples
