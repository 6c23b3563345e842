"""Ids that derive from a record's place."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import Cause, derived_id

NAMESPACE = uuid.UUID("6f2f4b0e-0a5c-5a54-9a0b-5d0a3c1d7a11")


@given(st.text(), st.integers(min_value=0), st.integers(min_value=0))
def test_a_derived_id_is_the_uuid5_of_its_parts(text: str, partition: int, offset: int) -> None:
    expected = uuid.uuid5(NAMESPACE, f"{text}/{partition}/{offset}").hex
    assert derived_id(text, partition, offset) == expected


def test_each_id_of_a_record_is_its_own() -> None:
    cause = Cause("accounts.commands", 1, 2, 3, "c")
    assert cause.new_id() == cause.new_id(0) != cause.new_id(1)
