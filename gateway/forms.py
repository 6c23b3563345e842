"""The bodies that clients send, validated once; rules are those of the HTTP contract."""

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    model_validator,
)

from gateway.amounts import Amount, Price, Quantity
from gateway.common_passwords import is_common

_USERNAME: Final = re.compile(r"[A-Za-z0-9_]{6,30}")
_SYMBOLS: Final = frozenset("!@#$%^&*()-_=+")
_SHORT_PASSWORD: Final = range(12, 21)
_PASSPHRASE_MAX: Final = 64
_NAME_MAX: Final = 50
_NAME_EXTRAS: Final = frozenset(" '-\u2019")
_BLANK_LETTERS: Final = frozenset("\u115f\u1160\u3164\uffa0")
"""Fillers: letters to Unicode, nothing to the eye."""
_PHONE_DIGITS: Final = range(10, 16)
_PHONE_CHARACTERS_MAX: Final = 40
_PHONE_SEPARATORS: Final = frozenset("+-.()/ \u00a0")
_EMAIL_CHARACTERS_MAX: Final = 254
_AGES: Final = range(13, 121)
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_ASSET: Final = re.compile(r"[A-Za-z0-9]{1,10}")
_TOKEN_CHARACTERS_MAX: Final = 1_000
_MOMENT_CHARACTERS_MAX: Final = 40
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_CLIENT_ID: Final = re.compile(r"[!-~]{1,64}")


def username(value: str) -> str:
    """A username in its stored form, lower case."""
    if _USERNAME.fullmatch(value) is None:
        raise ValueError("has to be 6 to 30 letters, digits or underscores")
    return value.lower()


def password(value: str) -> str:
    """12 to 20 characters of four kinds, or a passphrase of up to 64."""
    if not _SHORT_PASSWORD.start <= len(value) <= _PASSPHRASE_MAX:
        raise ValueError("has to be 12 to 64 characters long")
    if any(_is_control(each) for each in value):
        raise ValueError("may not hold control characters")
    if len(value) in _SHORT_PASSWORD and not _has_four_kinds(value):
        raise ValueError(
            "up to 20 characters need an upper-case and a lower-case letter, a digit and one of"
            " !@#$%^&*()-_=+"
        )
    return value


def new_password(value: str) -> str:
    """A password that is none of those that everybody tries first."""
    if is_common(value):
        raise ValueError("is one of the most common passwords")
    return value


def _has_four_kinds(value: str) -> bool:
    return (
        any(each.isupper() for each in value)
        and any(each.islower() for each in value)
        and any(each.isdigit() for each in value)
        and not _SYMBOLS.isdisjoint(value)
    )


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character < "\xa0"


def email(value: str) -> str:
    """A valid address, lower case; whether it receives mail is not asked."""
    if len(value) > _EMAIL_CHARACTERS_MAX:
        raise ValueError("is not a valid email address")
    try:
        return validate_email(
            value, check_deliverability=False, test_environment=True
        ).normalized.lower()
    except (EmailNotValidError, ValueError, IndexError):
        raise ValueError("is not a valid email address") from None


def person_name(value: str) -> str:
    """1 to 50 letters of any script with combining marks, spaces, apostrophes and hyphens."""
    trimmed = value.strip(" ")
    if not 1 <= len(trimmed) <= _NAME_MAX:
        raise ValueError("has to be 1 to 50 characters long")
    if not all(_in_a_name(each) for each in trimmed) or not any(map(str.isalpha, trimmed)):
        raise ValueError("may hold letters, spaces, ' and -")
    return trimmed


def _in_a_name(character: str) -> bool:
    if character in _BLANK_LETTERS:
        return False
    return character.isalpha() or character in _NAME_EXTRAS or _is_mark(character)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Mc")


def phone(value: str) -> str:
    """10 to 15 digits; separators are ignored, a leading + is kept."""
    digits = [each for each in value if each not in _PHONE_SEPARATORS]
    if (
        len(value) > _PHONE_CHARACTERS_MAX
        or len(digits) not in _PHONE_DIGITS
        or not all(each in "0123456789" for each in digits)
    ):
        raise ValueError("has to hold 10 to 15 digits")
    return "+" * value.strip().startswith("+") + "".join(digits)


def date_of_birth(value: str) -> str:
    """An ISO date of somebody between 13 and 120 years old."""
    try:
        born = date.fromisoformat(value) if _ISO_DATE.fullmatch(value) else None
    except ValueError:
        born = None
    if born is None:
        raise ValueError("has to be a date such as 1990-12-31")
    if _age(born, datetime.now(UTC).date()) not in _AGES:
        raise ValueError("has to make the age 13 to 120 years")
    return value


def _age(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def asset(value: str) -> str:
    """An asset id in upper case."""
    if _ASSET.fullmatch(value) is None:
        raise ValueError("has to be 1 to 10 letters or digits")
    return value.upper()


def moment(value: str) -> int:
    """An RFC 3339 time, which names its offset, as milliseconds since 1970, rounded down."""
    try:
        parsed = datetime.fromisoformat(value) if len(value) <= _MOMENT_CHARACTERS_MAX else None
        if parsed is not None and parsed.tzinfo is not None:
            return (parsed - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        pass
    raise ValueError("has to be a time such as 2030-01-31T12:00:00Z")


def key_name(value: str) -> str:
    """1 to 50 characters that can be seen; spaces around them do not count."""
    name = value.strip()
    if not 0 < len(name) <= _NAME_MAX or any(_is_control(each) for each in name):
        raise ValueError("has to be 1 to 50 characters")
    return name


def client_order_id(value: str) -> str:
    """1 to 64 visible ASCII characters."""
    if _CLIENT_ID.fullmatch(value) is None:
        raise ValueError("has to be 1 to 64 visible characters")
    return value


def _empty_is_none(value: Any) -> Any:  # noqa: ANN401  # whatever the JSON held
    return None if value == "" else value


def _in_the_future(moment_ms: int) -> int:
    if moment_ms <= (datetime.now(UTC) - _EPOCH) // _MILLISECOND:
        raise ValueError("has to be in the future")
    return moment_ms


def _moment(value: Any) -> int:  # noqa: ANN401  # whatever the JSON held
    if not isinstance(value, str):
        raise ValueError("has to be text")  # noqa: TRY004  # pydantic wants it
    return moment(value)


Username = Annotated[StrictStr, AfterValidator(username)]
Password = Annotated[StrictStr, AfterValidator(password)]
NewPassword = Annotated[Password, AfterValidator(new_password)]
Email = Annotated[StrictStr, AfterValidator(email)]
PersonName = Annotated[StrictStr, AfterValidator(person_name)]
Phone = Annotated[StrictStr, AfterValidator(phone)]
DateOfBirth = Annotated[StrictStr, AfterValidator(date_of_birth)]
OptionalPhone = Annotated[Phone | None, BeforeValidator(_empty_is_none)]
OptionalDate = Annotated[DateOfBirth | None, BeforeValidator(_empty_is_none)]
Asset = Annotated[StrictStr, AfterValidator(asset)]
Moment = Annotated[
    int,
    BeforeValidator(_moment, json_schema_input_type=str),
    Field(json_schema_extra={"format": "date-time"}),
]
ScopeWord = Literal["read", "trade", "deposit", "withdraw"]
KeyName = Annotated[StrictStr, AfterValidator(key_name)]
ClientOrderId = Annotated[StrictStr, AfterValidator(client_order_id)]


class Form(BaseModel):
    """A body; unknown fields are ignored, as legacy clients expect."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class RegisterForm(Form):
    """POST /auth/register."""

    username: Username
    email: Email
    password: NewPassword
    first_name: PersonName
    last_name: PersonName
    phone: OptionalPhone = None
    date_of_birth: OptionalDate = None
    marketing_emails_consent: StrictBool | None = None


class LoginForm(Form):
    """POST /auth/login."""

    username: Username
    password: Password


class RefreshForm(Form):
    """POST /auth/refresh."""

    refresh_token: Annotated[StrictStr, Field(min_length=1, max_length=_TOKEN_CHARACTERS_MAX)]


class PasswordForm(Form):
    """POST /auth/password."""

    current_password: Password
    new_password: NewPassword


class ProfileForm(Form):
    """PUT /auth/profile: what is absent or null stays as it is; an empty text clears it."""

    first_name: PersonName | None = None
    last_name: PersonName | None = None
    email: Email | None = None
    phone: Literal[""] | Phone | None = None
    date_of_birth: Literal[""] | DateOfBirth | None = None
    marketing_emails_consent: StrictBool | None = None


class AmountForm(Form):
    """POST /balance/deposit and /balance/withdraw."""

    amount: Amount


class OrderForm(Form):
    """POST /orders; the price of a market order is ignored.

    A GTD order, and only one, names the time when it ends; a post-only order never takes. One with
    a stop price waits until the last price gets there. Where it would trade with another order of
    the same account, the newest (this one), the oldest or both are canceled.
    """

    asset_id: Asset
    order_type: Literal["market_buy", "market_sell", "limit_buy", "limit_sell"]
    quantity: Quantity
    price: Price | None = None
    time_in_force: Literal["GTC", "DAY", "GTD", "IOC", "FOK"] | None = None
    expires_at: Moment | None = None
    post_only: StrictBool = False
    stop_price: Price | None = None
    self_trade_prevention: Literal["cancel_newest", "cancel_oldest", "cancel_both"] = (
        "cancel_newest"
    )
    client_order_id: ClientOrderId | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_a_market_price(cls, fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("order_type") in ("market_buy", "market_sell"):
            return {**fields, "price": None}
        return fields

    @model_validator(mode="after")
    def _with_a_limit(self) -> Self:
        if self.order_type in ("limit_buy", "limit_sell") and self.price is None:
            raise ValueError("a limit order needs a price")
        return self


class ReplaceForm(Form):
    """PATCH /orders/{order_id}: what is absent or null stays as it is."""

    quantity: Quantity | None = None
    price: Price | None = None
    stop_price: Price | None = None

    @model_validator(mode="after")
    def _with_a_change(self) -> Self:
        if self.quantity is None and self.price is None and self.stop_price is None:
            raise ValueError("a quantity, a price or a stop_price has to change")
        return self


class RoleForm(Form):
    """POST /ops/users/{username}/role."""

    role: Literal["trader", "analyst", "operator"]


class ApiKeyForm(Form):
    """POST /auth/api-keys: without `expires_at` the key is good until it is deleted."""

    name: KeyName
    scopes: Annotated[tuple[ScopeWord, ...], Field(min_length=1, max_length=10)]
    expires_at: Annotated[Moment, AfterValidator(_in_the_future)] | None = None


class NoForm(Form):
    """A body of which nothing is used."""
