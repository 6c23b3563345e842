"""A mapping of bounded size."""

from runtime.bounded import Bounded


def test_beyond_its_bound_it_forgets_what_was_put_longest_ago() -> None:
    kept = Bounded[str, int](2)
    for n, key in enumerate(("a", "b", "a", "c")):
        kept.put(key, n)
    assert dict(kept) == {"a": 2, "c": 3}
