"""Every operation of the gateway, as /openapi.json and /docs tell it."""

from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from gateway.forms import (
    AmountForm,
    ApiKeyForm,
    LoginForm,
    NoForm,
    OrderForm,
    PasswordForm,
    ProfileForm,
    RefreshForm,
    RegisterForm,
    ReplaceForm,
    RoleForm,
)

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}


class Call(NamedTuple):
    """One operation; parameters are name, place and schema."""

    method: str
    path: str
    summary: str
    success: int = 200
    body: type[BaseModel] | None = None
    parameters: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    is_open: bool = False
    is_command: bool = False
    refusals: tuple[int, ...] = ()


def _whole(low: int, high: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


_ASSET: Final = {"type": "string", "pattern": "^[A-Za-z0-9]{1,10}$"}
_SYMBOL: Final = {"type": "string", "pattern": "^[A-Za-z0-9]{1,10}-[A-Za-z]{3,5}$"}
_ORDER_ID: Final = {"type": "string", "pattern": "^[A-Za-z0-9_]{10,50}$"}
_SESSION_ID: Final = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_ORDER_TYPE: Final = {
    "type": "string",
    "enum": ["market_buy", "market_sell", "limit_buy", "limit_sell"],
}
_TIME: Final = {"type": "string", "format": "date-time"}
_STATUS: Final = {
    "type": "string",
    "enum": ["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED"],
}
_ASSET_IN_PATH: Final = ("asset_id", "path", _ASSET)
_INTERVAL: Final = {"type": "string", "enum": ["1m", "5m", "1h", "1d"], "default": "1m"}
_SOURCE: Final = {"type": "string", "enum": ["trades", "feed"], "default": "trades"}
_SYMBOL_IN_PATH: Final = ("symbol", "path", _SYMBOL)
_USERNAME_IN_PATH: Final = (
    "username",
    "path",
    {"type": "string", "pattern": "^[A-Za-z0-9_]{6,30}$"},
)
_CURSOR: Final = ("cursor", "query", {"type": "string", "pattern": "^[0-9]{1,18}$"})
_LIMIT: Final = ("limit", "query", _whole(1, 100, 50))
_OFFSET: Final = ("offset", "query", _whole(0, 100_000, 0))
_AS_OF: Final = (
    "as_of",
    "query",
    {"oneOf": [_TIME, {"type": "string", "pattern": "^[0-9]{1,15}$"}]},
)
_VERSION: Final = ("X-Min-Account-Version", "header", {"type": "integer", "minimum": 0})
KEY: Final = ("Idempotency-Key", "header", {"type": "string", "pattern": "^[!-~]{1,64}$"})
PREFER: Final = ("Prefer", "header", {"type": "string", "enum": ["respond-async"]})

CALLS: Final = (
    Call(
        "post",
        "/api/v1/auth/register",
        "Register",
        201,
        RegisterForm,
        is_open=True,
        is_command=True,
        refusals=(409,),
    ),
    Call(
        "post",
        "/api/v1/auth/login",
        "Sign in",
        200,
        LoginForm,
        is_open=True,
        refusals=(401, 403, 429),
    ),
    Call(
        "post",
        "/api/v1/auth/refresh",
        "Exchange a refresh token, which works once, for new tokens",
        200,
        RefreshForm,
        is_open=True,
        refusals=(401,),
    ),
    Call(
        "post",
        "/api/v1/auth/password",
        "Change one's password; one's other sessions end",
        204,
        PasswordForm,
        refusals=(403, 429),
    ),
    Call("get", "/api/v1/auth/sessions", "List one's sessions, newest first"),
    Call(
        "delete",
        "/api/v1/auth/sessions/{session_id}",
        "End one of one's sessions",
        204,
        parameters=(("session_id", "path", _SESSION_ID),),
        is_command=True,
        refusals=(404,),
    ),
    Call(
        "post",
        "/api/v1/auth/api-keys",
        "Make an API key for a bot; only the first answer holds the key itself",
        201,
        ApiKeyForm,
        is_command=True,
    ),
    Call("get", "/api/v1/auth/api-keys", "List one's API keys, newest first"),
    Call(
        "delete",
        "/api/v1/auth/api-keys/{api_key_id}",
        "Delete one of one's API keys",
        204,
        parameters=(("api_key_id", "path", _SESSION_ID),),
        is_command=True,
        refusals=(404,),
    ),
    Call("post", "/api/v1/auth/logout", "Sign out", 200, NoForm, is_command=True),
    Call("get", "/api/v1/auth/profile", "Read one's profile", refusals=(404,)),
    Call(
        "put",
        "/api/v1/auth/profile",
        "Change one's profile",
        200,
        ProfileForm,
        is_command=True,
        refusals=(404, 409),
    ),
    Call(
        "get",
        "/api/v1/balance",
        "Read one's cash, now or as of a time or version",
        parameters=(_AS_OF, _VERSION),
        refusals=(409,),
    ),
    Call("post", "/api/v1/balance/deposit", "Deposit USD", 201, AmountForm, is_command=True),
    Call("post", "/api/v1/balance/withdraw", "Withdraw USD", 201, AmountForm, is_command=True),
    Call(
        "get",
        "/api/v1/balance/transactions",
        "List what came in and went out",
        parameters=(
            _LIMIT,
            _CURSOR,
            _VERSION,
        ),
    ),
    Call(
        "get",
        "/api/v1/balance/asset/{asset_id}",
        "Read what one holds of an asset",
        parameters=(_ASSET_IN_PATH, _VERSION),
        refusals=(404,),
    ),
    Call(
        "get",
        "/api/v1/account/equity",
        "Read what one's account was worth, point by point",
        parameters=(
            ("interval", "query", {**_INTERVAL, "default": "1h"}),
            ("from", "query", _TIME),
            ("to", "query", _TIME),
            _VERSION,
        ),
    ),
    Call(
        "get",
        "/api/v1/account/statement",
        "Read what moved one's balances in a period, as JSON or CSV",
        parameters=(
            ("from", "query", _TIME),
            ("to", "query", _TIME),
            ("format", "query", {"type": "string", "enum": ["json", "csv"]}),
            _VERSION,
        ),
    ),
    Call(
        "get",
        "/api/v1/account/fees",
        "Read one's fee tier and 30-day volume",
        parameters=(_VERSION,),
    ),
    Call(
        "get",
        "/api/v1/portfolio",
        "Read one's portfolio, now or as of a time or version",
        parameters=(_AS_OF, _VERSION),
        refusals=(409,),
    ),
    Call(
        "get",
        "/api/v1/insights/portfolio",
        "Read in words what stands out in one's portfolio",
        parameters=(_VERSION,),
    ),
    Call(
        "get",
        "/api/v1/inventory/assets",
        "List assets",
        parameters=(
            ("active_only", "query", {**_FLAG, "default": True}),
            ("limit", "query", _whole(1, 250, 50)),
        ),
        is_open=True,
    ),
    Call(
        "get",
        "/api/v1/inventory/assets/{asset_id}",
        "Read an asset",
        parameters=(_ASSET_IN_PATH,),
        is_open=True,
        refusals=(404,),
    ),
    Call("get", "/api/v1/markets", "List markets with their rules and quotes", is_open=True),
    Call(
        "get",
        "/api/v1/markets/{symbol}",
        "Read a market",
        parameters=(_SYMBOL_IN_PATH,),
        is_open=True,
        refusals=(404,),
    ),
    Call(
        "get",
        "/api/v1/markets/{symbol}/trades",
        "List a market's trades, newest first",
        parameters=(_SYMBOL_IN_PATH, _LIMIT, _CURSOR),
        is_open=True,
        refusals=(404,),
    ),
    Call(
        "get",
        "/api/v1/markets/{symbol}/candles",
        "List a market's candles, oldest first: the newest of the time asked for",
        parameters=(
            _SYMBOL_IN_PATH,
            ("interval", "query", _INTERVAL),
            ("source", "query", _SOURCE),
            ("from", "query", _TIME),
            ("to", "query", _TIME),
            ("limit", "query", _whole(1, 1_000, 300)),
        ),
        is_open=True,
        refusals=(404,),
    ),
    Call(
        "get",
        "/api/v1/markets/{symbol}/book",
        "Read a market's order book by price levels",
        parameters=(_SYMBOL_IN_PATH, ("depth", "query", _whole(1, 100, 20))),
        is_open=True,
        refusals=(404,),
    ),
    Call("post", "/api/v1/orders", "Place an order", 201, OrderForm, is_command=True),
    Call(
        "post",
        "/api/v1/orders/test",
        "Check an order without placing it",
        200,
        OrderForm,
        is_command=True,
    ),
    Call(
        "get",
        "/api/v1/orders",
        "List one's orders, newest first, now or as of a time or version",
        parameters=(
            ("asset_id", "query", _ASSET),
            ("order_type", "query", _ORDER_TYPE),
            ("status", "query", _STATUS),
            _LIMIT,
            _OFFSET,
            _AS_OF,
            _VERSION,
        ),
        refusals=(409,),
    ),
    Call(
        "get",
        "/api/v1/orders/{order_id}",
        "Read an order",
        parameters=(("order_id", "path", _ORDER_ID), _VERSION),
        refusals=(404,),
    ),
    Call(
        "delete",
        "/api/v1/orders/{order_id}",
        "Cancel an order",
        parameters=(("order_id", "path", _ORDER_ID),),
        is_command=True,
        refusals=(404, 409),
    ),
    Call(
        "patch",
        "/api/v1/orders/{order_id}",
        "Change an order's quantity, limit or stop price",
        200,
        ReplaceForm,
        parameters=(("order_id", "path", _ORDER_ID),),
        is_command=True,
        refusals=(404, 409),
    ),
    Call(
        "delete",
        "/api/v1/orders",
        "Cancel all one's orders, or those of an asset",
        parameters=(("asset_id", "query", _ASSET),),
        is_command=True,
    ),
    Call(
        "get",
        "/api/v1/orders/{order_id}/executions",
        "List an order's executions, oldest first",
        parameters=(("order_id", "path", _ORDER_ID), _LIMIT, _CURSOR, _VERSION),
        refusals=(404,),
    ),
    Call(
        "get",
        "/api/v1/assets/{asset_id}/transactions",
        "List one's executions in an asset",
        parameters=(_ASSET_IN_PATH, _LIMIT, _OFFSET, _VERSION),
    ),
    Call(
        "get",
        "/api/v1/commands/{command_id}",
        "Read how a command ended",
        parameters=(("command_id", "path", _TEXT),),
        refusals=(404,),
    ),
    Call(
        "post",
        "/api/v1/ops/markets/{symbol}/halt",
        "Stop matching in a market; cancels still work",
        parameters=(_SYMBOL_IN_PATH,),
        refusals=(404,),
    ),
    Call(
        "post",
        "/api/v1/ops/markets/{symbol}/resume",
        "Match again in a market",
        parameters=(_SYMBOL_IN_PATH,),
        refusals=(404,),
    ),
    Call(
        "post",
        "/api/v1/ops/users/{username}/lock",
        "Let nobody sign in as a user, and end all sessions",
        parameters=(_USERNAME_IN_PATH,),
        is_command=True,
        refusals=(404,),
    ),
    Call(
        "post",
        "/api/v1/ops/users/{username}/unlock",
        "Let a user sign in again",
        parameters=(_USERNAME_IN_PATH,),
        is_command=True,
        refusals=(404,),
    ),
    Call(
        "post",
        "/api/v1/ops/users/{username}/role",
        "Give a user another role, and end all sessions",
        200,
        RoleForm,
        parameters=(_USERNAME_IN_PATH,),
        is_command=True,
        refusals=(404,),
    ),
    Call("get", "/api/v1/time", "Read the clock that counts", is_open=True),
    Call("get", "/.well-known/jwks.json", "Read the keys that sign access tokens", is_open=True),
    Call("get", "/health", "Say how the gateway is", is_open=True),
    Call("get", "/health/live", "Say that the gateway lives", is_open=True),
    Call("get", "/health/ready", "Say whether the gateway is ready", is_open=True),
)
