from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.amounts import read_e8
from gateway.forms import (
    AmountForm,
    ApiKeyForm,
    LoginForm,
    OrderForm,
    ProfileForm,
    RegisterForm,
    ReplaceForm,
)
from gateway.orders import placed
from schemas.accounts import TimeInForce
from schemas.identity import Scope
from schemas.money import E8, format_e8

REGISTRATION = {
    "username": "Trader_01",
    "email": "Ann@Example.com",
    "password": "Passw0rd!Passw0rd",
    "first_name": "Ann",
    "last_name": "O'Neil",
}
ORDER = {"asset_id": "btc", "order_type": "limit_buy", "quantity": "0.01", "price": "100"}


def registered(**changes: object) -> RegisterForm:
    return RegisterForm.model_validate(REGISTRATION | changes)


def ordered(**changes: object) -> OrderForm:
    return OrderForm.model_validate(ORDER | changes)


def test_usernames_and_emails_are_stored_in_lower_case() -> None:
    form = registered()
    assert (form.username, form.email) == ("trader_01", "ann@example.com")


@pytest.mark.parametrize("name", ["short", "a" * 31, "with space", "émile1", "", None, 123456, []])
def test_other_usernames_are_refused(name: object) -> None:
    with pytest.raises(ValidationError):
        registered(username=name)


@pytest.mark.parametrize(
    "password",
    ["Passw0rd!Pas", "Aa1!Aa1!Aa1!Aa1!Aa1!", "correct horse battery staple", "x" * 21, "y" * 64],
)
def test_passwords_of_four_kinds_and_passphrases_are_fine(password: str) -> None:
    assert registered(password=password).password == password


@pytest.mark.parametrize(
    "password",
    [
        "Passw0rd!Pa",
        "passw0rd!passw0rd",
        "PASSW0RD!PASSW0RD",
        "Password!Password",
        "Passw0rdPassw0rd",
        "x" * 65,
        "Passw0rd!Pass\x00",
        "",
        None,
        1,
    ],  # two kinds of wrong
)
def test_other_passwords_are_refused_on_registration_and_on_sign_in(password: object) -> None:
    with pytest.raises(ValidationError):
        registered(password=password)
    with pytest.raises(ValidationError):
        LoginForm.model_validate({"username": "trader_01", "password": password})


@pytest.mark.parametrize(
    "name", ["A", "Zoë", "李小龍", "Ngô Đình", "محمد", "Jean-Luc", "रवि", "x" * 50]
)
def test_names_of_any_script_are_fine(name: str) -> None:
    assert registered(first_name=name).first_name == name


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 51, "R2D2", "a<b>", "--", "a\x00b", "💥", "\u3164", None, 1]
)
def test_other_names_are_refused(name: object) -> None:
    with pytest.raises(ValidationError):
        registered(last_name=name)


@pytest.mark.parametrize(
    ("given_phone", "kept"),
    [("1234567890", "1234567890"), ("+1 (555) 123-4567", "+15551234567"), ("", None), (None, None)],
)
def test_phones_lose_their_separators(given_phone: object, kept: object) -> None:
    assert registered(phone=given_phone).phone == kept


@pytest.mark.parametrize("phone", ["123456789", "1" * 16, "12345abcde", "\uff11" * 10, 1234567890])
def test_other_phones_are_refused(phone: object) -> None:
    with pytest.raises(ValidationError):
        registered(phone=phone)


def years_ago(years: int) -> str:
    today = datetime.now(UTC).date()
    return f"{today.year - years}-01-01"


@pytest.mark.parametrize("years", [14, 40, 120])
def test_ages_from_13_to_120_are_fine(years: int) -> None:
    assert registered(date_of_birth=years_ago(years)).date_of_birth == years_ago(years)


@pytest.mark.parametrize(
    "born",
    [years_ago(12), years_ago(122), "1990-13-01", "01.02.1990", "19900101", "1990-1-1", 1990],
)
def test_other_dates_of_birth_are_refused(born: object) -> None:
    with pytest.raises(ValidationError):
        registered(date_of_birth=born)


@pytest.mark.parametrize(
    "email", ["", "a", "a@", "@b.com", "a b@example.com", "a@b", "x" * 300, None, 1]
)
def test_addresses_that_cannot_be_are_refused(email: object) -> None:
    with pytest.raises(ValidationError):
        registered(email=email)


def test_unknown_fields_are_ignored() -> None:
    assert registered(role="operator").username == "trader_01"


def test_a_profile_keeps_what_is_absent_or_null_and_clears_what_is_empty() -> None:
    form = ProfileForm.model_validate({"first_name": None, "phone": ""})
    assert form.first_name is None
    assert form.phone == ""


@pytest.mark.parametrize(
    ("amount", "amount_e8"),
    [
        (500, 500 * E8),
        ("500", 500 * E8),
        ("12.50", 1250_000_000),
        (Decimal("12.5"), 1250_000_000),
        (Decimal("1E+2"), 100 * E8),
        ("1000000", 1_000_000 * E8),
        (Decimal("0.01"), E8 // 100),
    ],
)
def test_amounts_are_read_exactly(amount: object, amount_e8: int) -> None:
    assert AmountForm.model_validate({"amount": amount}).amount == amount_e8


@pytest.mark.parametrize(
    "amount",
    [
        0,
        -1,
        "0",
        "-5",
        "0.001",
        "1000000.01",
        1000001,
        10**30,
        True,
        False,
        None,
        "",
        "abc",
        "NaN",
        "1e3",
        "Infinity",
        "\uff11",
        "1,000",
        " 5",
        [],
        {},
        Decimal("NaN"),
        Decimal("1E+400"),
        1.5,
    ],
)
def test_other_amounts_are_refused(amount: object) -> None:
    with pytest.raises(ValidationError):
        AmountForm.model_validate({"amount": amount})


@given(st.integers(min_value=-(10**17), max_value=10**17))
def test_every_decimal_string_and_number_reads_as_itself(value_e8: int) -> None:
    assert read_e8(format_e8(value_e8)) == value_e8
    assert read_e8(Decimal(format_e8(value_e8))) == value_e8


@given(st.one_of(st.text(), st.booleans(), st.floats(), st.integers(), st.none(), st.decimals()))
def test_whatever_comes_as_an_amount_is_read_or_refused(value: object) -> None:
    try:
        assert isinstance(read_e8(value), int)
    except ValueError:
        assert not isinstance(value, int) or isinstance(value, bool) or abs(value) > 10**9


def test_assets_are_upper_case_and_the_price_of_a_market_order_is_ignored() -> None:
    form = ordered(order_type="market_buy", price="a lie")
    assert (form.asset_id, form.price) == ("BTC", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": "0.0009"},
        {"quantity": 0},
        {"quantity": "1e400"},
        {"quantity": None},
        {"price": None},
        {"price": 0},
        {"price": "1000000.01"},
        {"price": "0.000000001"},
        {"asset_id": "B-T-C"},
        {"asset_id": "ELEVENCHARS"},
        {"asset_id": ""},
        {"order_type": "stop_buy"},
        {"order_type": "LIMIT_BUY"},
        {"order_type": None},
        {"time_in_force": "GTX"},
        {"expires_at": "soon"},
        {"expires_at": "2030-01-01T00:00:00"},
        {"expires_at": 1_900_000_000},
        {"post_only": "yes"},
        {"stop_price": 0},
        {"stop_price": "1000000.01"},
        {"stop_price": "above"},
        {"client_order_id": "a b"},
        {"client_order_id": ""},
    ],
)
def test_orders_beyond_the_rules_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ordered(**changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"order_type": "market_buy"}, (None, None, TimeInForce.IOC)),
        ({"order_type": "market_sell", "stop_price": "9.5"}, (None, 950_000_000, TimeInForce.GTC)),
        ({"order_type": "limit_buy", "stop_price": 9, "price": 10}, (10 * E8, 9 * E8, "GTC")),
        (
            {"order_type": "market_buy", "stop_price": "9", "time_in_force": "DAY"},
            (None, 9 * E8, TimeInForce.DAY),
        ),
    ],
)
def test_a_stop_price_makes_a_stop_of_either_kind(
    changes: dict[str, object], expected: tuple[int | None, int | None, str]
) -> None:
    command = placed(ordered(**changes), account_id="a" * 32)
    assert (command.price_e8, command.stop_price_e8, command.time_in_force) == expected


def test_a_moment_is_read_to_the_millisecond_whatever_its_offset() -> None:
    times = ("2030-01-31T12:00:00.1239Z", "2030-01-31T13:00:00.123+01:00")
    assert {ordered(expires_at=each).expires_at for each in times} == {1_896_091_200_123}


def test_a_change_of_an_order_changes_something() -> None:
    assert ReplaceForm.model_validate({"price": "1"}).price == E8
    with pytest.raises(ValidationError):
        ReplaceForm.model_validate({"quantity": None})


KEY = {"name": " grid bot ", "scopes": ["trade", "read", "trade"]}


def test_an_api_keys_name_is_trimmed_and_its_time_is_read() -> None:
    form = ApiKeyForm.model_validate(KEY | {"expires_at": "2099-01-31T12:00:00Z"})
    assert (form.name, set(form.scopes)) == ("grid bot", {"read", "trade"})
    assert form.expires_at == datetime(2099, 1, 31, 12, tzinfo=UTC).timestamp() * 1_000
    assert ApiKeyForm.model_validate(KEY).expires_at is None


def test_the_form_of_api_keys_takes_every_scope_there_is() -> None:
    assert ApiKeyForm.model_validate(KEY | {"scopes": list(Scope)}).scopes == tuple(Scope)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "a" * 51},
        {"name": "a\nb"},
        {"name": 1},
        {"scopes": []},
        {"scopes": ["admin"]},
        {"scopes": "read"},
        {"scopes": ["read"] * 11},
        {"scopes": None},
        {"expires_at": "2020-01-31T12:00:00Z"},
        {"expires_at": 4_000_000_000_000},
        {"expires_at": "tomorrow"},
    ],
)
def test_other_api_keys_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ApiKeyForm.model_validate(KEY | changes)
