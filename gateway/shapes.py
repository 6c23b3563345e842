"""What answers look like, as JSON Schema for /openapi.json; tests hold answers to it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from gateway.parameters import Interval, OrderWord, Source
from schemas.accounts import Liquidity, OrderStatus, Side, TimeInForce
from schemas.identity import Role, Scope

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_NUMBER: Final[Schema] = {"type": "number"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_DECIMAL: Final[Schema] = {
    "type": "string",
    "format": "decimal",
    "pattern": r"^-?[0-9]+(\.[0-9]{1,8})?$",
}


def _object(optional: Mapping[str, Schema] | None = None, /, **properties: Schema) -> Schema:
    """Every property is always there but the optional ones; more may come."""
    every = properties | dict(optional or {})
    return {"type": "object", "required": list(properties), "properties": every}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _word(words: type[StrEnum]) -> Schema:
    return {"type": "string", "enum": [str(each) for each in words]}


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_DECIMAL_OR_NULL: Final = _or_null(_DECIMAL)
_TEXT_OR_NULL: Final = _or_null(_TEXT)
_TIME_OR_NULL: Final = _or_null(_TIME)
_AS_OF: Final = {"as_of": _named("AsOf")}
_CURSOR: Final = {"next_cursor": _TEXT_OR_NULL}
_MORE: Final = {"has_more": _FLAG}

_USER_STANDING: Final = _object(role=_word(Role), locked=_FLAG)
_SAID: Final = _object(message=_TEXT)
_PROFILE: Final = _object(
    username=_TEXT,
    email=_TEXT_OR_NULL,
    first_name=_TEXT_OR_NULL,
    last_name=_TEXT_OR_NULL,
    phone=_TEXT_OR_NULL,
    date_of_birth=_or_null({"type": "string", "format": "date"}),
    marketing_emails_consent=_FLAG,
    created_at=_TIME,
    updated_at=_TIME,
)
_FEE_TIER: Final = {
    "tier": _COUNT,
    "minimum_volume_30d": _DECIMAL,
    "maker_fee_rate": _DECIMAL,
    "taker_fee_rate": _DECIMAL,
}
_ASSET: Final = {
    "asset_id": _TEXT,
    "name": _TEXT,
    "description": _TEXT_OR_NULL,
    "category": _TEXT_OR_NULL,
    "price_usd": _or_null(_NUMBER),
    "is_active": _FLAG,
    "symbol": _TEXT_OR_NULL,
    "image": _TEXT_OR_NULL,
    "market_cap_rank": _or_null(_COUNT),
    "price_change_percentage_24h": _or_null(_NUMBER),
    "market_cap": _DECIMAL_OR_NULL,
    "total_volume_24h": _DECIMAL_OR_NULL,
}
_ASSET_IN_DETAIL: Final = _ASSET | {
    "availability_status": {"type": "string", "enum": ["available", "unavailable"]},
    "price_change_24h": _DECIMAL_OR_NULL,
    "price_change_percentage_7d": _or_null(_NUMBER),
    "price_change_percentage_30d": _or_null(_NUMBER),
    "high_24h": _DECIMAL_OR_NULL,
    "low_24h": _DECIMAL_OR_NULL,
    "circulating_supply": _DECIMAL_OR_NULL,
    "total_supply": _DECIMAL_OR_NULL,
    "max_supply": _DECIMAL_OR_NULL,
    "ath": _DECIMAL_OR_NULL,
    "ath_change_percentage": _or_null(_NUMBER),
    "ath_date": _TIME_OR_NULL,
    "atl": _DECIMAL_OR_NULL,
    "atl_change_percentage": _or_null(_NUMBER),
    "atl_date": _TIME_OR_NULL,
    "last_updated": _TIME_OR_NULL,
}
_HEALTH: Final = _object(status=_TEXT, service=_TEXT, missing=_list(_TEXT))

_API_KEY: Final = {
    "api_key_id": _TEXT,
    "name": _TEXT,
    "scopes": _list(_word(Scope)),
    "created_at": _TIME,
    "expires_at": _TIME_OR_NULL,
}

_PROBLEM: Final = _object(
    {"instance": _TEXT, "errors": _list(_object(field=_TEXT, message=_TEXT))},
    type={"type": "string", "format": "uri"},
    title=_TEXT,
    status={"type": "integer"},
    detail=_TEXT,
    code=_TEXT,
    request_id=_TEXT,
)

SHAPES: Final[Mapping[str, Schema]] = {
    "Problem": _PROBLEM,
    "AsOf": _object(version=_COUNT, time=_TIME_OR_NULL, lag_ms=_or_null(_COUNT)),
    "Order": _object(
        order_id=_TEXT,
        order_type=_word(OrderWord),
        asset_id=_TEXT,
        quantity=_DECIMAL,
        price=_DECIMAL_OR_NULL,
        status=_word(OrderStatus),
        total_amount=_DECIMAL_OR_NULL,
        created_at=_TIME,
        client_order_id=_TEXT_OR_NULL,
        time_in_force=_word(TimeInForce),
        expires_at=_TIME_OR_NULL,
        post_only=_FLAG,
        stop_price=_DECIMAL_OR_NULL,
        filled_quantity=_DECIMAL,
        remaining_quantity=_DECIMAL,
        average_price=_DECIMAL_OR_NULL,
        fee=_DECIMAL,
        reject_reason=_TEXT_OR_NULL,
        updated_at=_TIME,
        version=_COUNT,
    ),
    "Position": _object(
        asset_id=_TEXT,
        quantity=_DECIMAL,
        current_price=_DECIMAL_OR_NULL,
        market_value=_DECIMAL,
        percentage=_NUMBER,
        avg_entry_price=_DECIMAL_OR_NULL,
        cost_basis=_DECIMAL,
        unrealized_pl=_DECIMAL,
        realized_pl=_DECIMAL,
    ),
    "Movement": _object(
        time=_TIME,
        type=_TEXT,
        asset_id=_TEXT,
        amount=_DECIMAL,
        balance=_DECIMAL,
        price=_DECIMAL_OR_NULL,
        transaction_id=_TEXT_OR_NULL,
        order_id=_TEXT_OR_NULL,
        trade_id=_TEXT_OR_NULL,
    ),
    "Point": _object(
        time=_TIME,
        cash=_DECIMAL,
        cost_basis=_DECIMAL,
        realized_pl=_DECIMAL,
        market_value=_DECIMAL_OR_NULL,
        unrealized_pl=_DECIMAL_OR_NULL,
        equity=_DECIMAL_OR_NULL,
        priced_at=_TIME_OR_NULL,
    ),
    "Market": _object(
        symbol=_TEXT,
        asset_id=_TEXT,
        quote_asset_id=_TEXT,
        status={"type": "string", "enum": ["open", "halted"]},
        rules=_object(
            tick_size=_DECIMAL,
            lot_size=_DECIMAL,
            min_notional=_DECIMAL,
            maker_fee_rate=_DECIMAL,
            taker_fee_rate=_DECIMAL,
            collar=_DECIMAL,
            stale_after_ms=_COUNT,
        ),
        quote=_or_null(
            _object(
                bid=_DECIMAL,
                bid_size=_DECIMAL,
                ask=_DECIMAL,
                ask_size=_DECIMAL,
                last=_DECIMAL,
                time=_TIME,
                feed=_TEXT,
                simulated=_FLAG,
            )
        ),
        last_24h=_object(
            open=_DECIMAL_OR_NULL,
            high=_DECIMAL_OR_NULL,
            low=_DECIMAL_OR_NULL,
            last=_DECIMAL_OR_NULL,
            change=_DECIMAL_OR_NULL,
            change_percentage=_or_null(_NUMBER),
            volume=_DECIMAL,
            notional=_DECIMAL,
            trades=_COUNT,
        ),
    ),
}
"""Components by their names."""

_BALANCES: Final = _list(_object(asset_id=_TEXT, balance=_DECIMAL))
_LEVELS: Final = _list(_object(price=_DECIMAL, quantity=_DECIMAL, orders=_COUNT, house=_FLAG))
_MOVED: Final = _object(success=_FLAG, message=_TEXT, transaction_id=_TEXT, timestamp=_TIME)
_ORDER: Final = _object(data=_named("Order"))

_TOKENS: Final = _object(
    access_token=_TEXT, token_type=_TEXT, expires_in=_COUNT, refresh_token=_TEXT
)

_COMMAND: Final = _object(
    {"result": {"type": "object"}, "problem": {"type": "object"}, "decided_at": _TIME},
    command_id=_TEXT,
    status={"type": "string", "enum": ["pending", "succeeded", "refused"]},
)

ANSWERS: Final[Mapping[tuple[str, str], Schema]] = {
    ("post", "/auth/register"): _SAID,
    ("post", "/auth/login"): _TOKENS,
    ("post", "/auth/refresh"): _TOKENS,
    ("post", "/auth/logout"): _SAID,
    ("get", "/auth/profile"): _PROFILE,
    ("put", "/auth/profile"): _object(message=_TEXT, user=_PROFILE),
    ("get", "/auth/sessions"): _object(
        data=_list(
            _object(
                session_id=_TEXT,
                created_at=_TIME,
                last_used_at=_TIME,
                expires_at=_TIME,
                current=_FLAG,
            )
        )
    ),
    ("post", "/auth/api-keys"): _object({"api_key": _TEXT}, **_API_KEY),  # in the first answer
    ("get", "/auth/api-keys"): _object(data=_list(_object(**_API_KEY))),
    ("get", "/balance"): _object(
        current_balance=_DECIMAL,
        updated_at=_TIME_OR_NULL,
        available=_DECIMAL,
        locked=_DECIMAL,
        **_AS_OF,
    ),
    ("post", "/balance/deposit"): _MOVED,
    ("post", "/balance/withdraw"): _MOVED,
    ("get", "/balance/transactions"): _object(
        transactions=_list(
            _object(
                transaction_id=_TEXT,
                transaction_type=_TEXT,
                amount=_DECIMAL,
                status=_TEXT,
                created_at=_TIME,
            )
        ),
        total_count=_COUNT,
        **_CURSOR,
        **_AS_OF,
    ),
    ("get", "/balance/asset/{asset_id}"): _object(
        asset_id=_TEXT,
        asset_name=_TEXT,
        quantity=_DECIMAL,
        current_price=_NUMBER,
        total_value=_NUMBER,
        created_at=_TIME,
        updated_at=_TIME,
        **_AS_OF,
    ),
    ("get", "/portfolio"): _object(
        assets=_list(_named("Position")),
        cash=_DECIMAL,
        equity=_DECIMAL,
        total_market_value=_DECIMAL,
        total_cost_basis=_DECIMAL,
        total_unrealized_pl=_DECIMAL,
        total_realized_pl=_DECIMAL,
        **_AS_OF,
    ),
    ("get", "/insights/portfolio"): _object(
        data=_object(summary=_TEXT, generated_at=_TIME, model=_TEXT), **_AS_OF
    ),
    ("get", "/account/equity"): _object(
        interval=_word(Interval), price_source=_TEXT, data=_list(_named("Point")), **_AS_OF
    ),
    ("get", "/account/statement"): _object(
        **{"from": _TIME_OR_NULL, "to": _TIME_OR_NULL},
        opening=_BALANCES,
        movements=_list(_named("Movement")),
        closing=_BALANCES,
        **_AS_OF,
    ),
    ("get", "/account/fees"): _object(
        data=_object(volume_30d=_DECIMAL, **_FEE_TIER, next_tier=_or_null(_object(**_FEE_TIER))),
        **_AS_OF,
    ),
    ("get", "/inventory/assets"): _object(
        data=_list(_object(**_ASSET)), total_count=_COUNT, active_count=_COUNT
    ),
    ("get", "/inventory/assets/{asset_id}"): _object(data=_object(**_ASSET_IN_DETAIL)),
    ("get", "/commands/{command_id}"): _COMMAND,
    ("post", "/orders"): _ORDER,
    ("patch", "/orders/{order_id}"): _ORDER,
    ("delete", "/orders/{order_id}"): _ORDER,
    ("delete", "/orders"): _object(data=_list(_object(order_id=_TEXT))),
    ("get", "/orders"): _object(data=_list(_named("Order")), **_MORE, **_AS_OF),
    ("get", "/orders/{order_id}"): _object(data=_named("Order"), **_AS_OF),
    ("post", "/orders/test"): _object(
        data=_object(
            symbol=_TEXT,
            worst_price=_DECIMAL,
            locked_asset=_TEXT,
            locked=_DECIMAL,
            fee_asset=_TEXT,
            fee_estimate=_DECIMAL,
        )
    ),
    ("get", "/orders/{order_id}/executions"): _object(
        data=_list(
            _object(
                trade_id=_TEXT,
                price=_DECIMAL,
                quantity=_DECIMAL,
                notional=_DECIMAL,
                fee=_DECIMAL,
                fee_asset=_TEXT,
                liquidity=_word(Liquidity),
                time=_TIME,
            )
        ),
        **_CURSOR,
        **_AS_OF,
    ),
    ("get", "/assets/{asset_id}/transactions"): _object(
        data=_list(
            _object(
                asset_id=_TEXT,
                transaction_type=_word(Side),
                quantity=_DECIMAL,
                price=_DECIMAL,
                status=_TEXT,
                timestamp=_TIME,
            )
        ),
        **_MORE,
        **_AS_OF,
    ),
    ("post", "/ops/markets/{symbol}/halt"): _object(symbol=_TEXT, status=_TEXT),
    ("post", "/ops/markets/{symbol}/resume"): _object(symbol=_TEXT, status=_TEXT),
    ("post", "/ops/users/{username}/lock"): _USER_STANDING,
    ("post", "/ops/users/{username}/unlock"): _USER_STANDING,
    ("post", "/ops/users/{username}/role"): _USER_STANDING,
    ("get", "/markets"): _object(data=_list(_named("Market")), total_count=_COUNT),
    ("get", "/markets/{symbol}"): _object(data=_named("Market")),
    ("get", "/markets/{symbol}/trades"): _object(
        data=_list(
            _object(
                trade_id=_TEXT,
                price=_DECIMAL,
                quantity=_DECIMAL,
                notional=_DECIMAL,
                taker_side=_word(Side),
                time=_TIME,
            )
        ),
        **_CURSOR,
    ),
    ("get", "/markets/{symbol}/candles"): _object(
        symbol=_TEXT,
        interval=_word(Interval),
        source=_word(Source),
        data=_list(
            _object(
                time=_TIME,
                open=_DECIMAL,
                high=_DECIMAL,
                low=_DECIMAL,
                close=_DECIMAL,
                volume=_DECIMAL,
                notional=_DECIMAL,
                count=_COUNT,
                complete=_FLAG,
            )
        ),
    ),
    ("get", "/markets/{symbol}/book"): _object(
        data=_object(symbol=_TEXT, bids=_LEVELS, asks=_LEVELS)
    ),
    ("get", "/time"): _object(time=_TIME, epoch_ms=_COUNT),
    ("get", "/.well-known/jwks.json"): _object(
        keys=_list(_object(kty=_TEXT, crv=_TEXT, x=_TEXT, kid=_TEXT, use=_TEXT, alg=_TEXT))
    ),
    ("get", "/health"): _HEALTH,
    ("get", "/health/live"): _object(status=_TEXT, service=_TEXT),
    ("get", "/health/ready"): _HEALTH,
}
"""By method and path below the prefix."""


def content_of(method: str, path: str) -> dict[str, Any]:
    """The media types of a call's success, with their schemas."""
    short = path.removeprefix("/api/v1")
    content = {"application/json": {"schema": ANSWERS[method, short]}}
    if short == "/account/statement":
        content["text/csv"] = {"schema": _TEXT}
    return content
