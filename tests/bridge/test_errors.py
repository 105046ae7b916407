"""The error tree: where, expected, received, what to do; and a family for each of them."""

import pickle

import pytest

from bridge.errors import Fenced, HaltereError, Malformed, Misconfigured, Unavailable

FAMILIES = [Malformed, Misconfigured, Unavailable, Fenced]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_error_says_where_what_was_expected_and_what_came(family: type[HaltereError]) -> None:
    error = family("readings[3].value", "a number", "'n/a'")
    assert str(error) == "readings[3].value: expected a number, received 'n/a'"
    assert (error.where, error.expected, error.received) == (
        *("readings[3].value", "a number", "'n/a'"),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_what_to_do_stands_at_the_end(family: type[HaltereError]) -> None:
    assert str(family("a", "b", "c", "d")) == "a: expected b, received c (d)"


def test_the_four_families_are_all_and_none_is_within_another() -> None:
    assert set(HaltereError.__subclasses__()) == set(FAMILIES)
    assert all(family.__bases__ == (HaltereError,) for family in FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_error_survives_the_way_to_another_process(family: type[HaltereError]) -> None:
    error = family("a", "b", "c", "d")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
