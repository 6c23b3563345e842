"""Unknown or broken input on every route of /openapi.json: a problem, never our own fault."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest
from operators import somebody
from traders import Gateways, Json, check_problem, loopback, registration

from runtime.devstack.background import Stack
from schemas.identity import Role

SEED = 20_261_122
AT_ONCE = 8
SECRET = "Sup3r-S3cret!Xyz"  # noqa: S105  # what must not come back
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
OUR_OWN = re.compile(
    r"Traceback|\.py\b|0x[0-9a-f]{6,}|<class|NoneType|"
    r"\b[A-Z]\w*(?:Error|Exception|Form|Struct|Model|Poison)\w*\b|"
    r"(?i:pydantic|msgspec|starlette|uvicorn|aiokafka|boto|dynamo|kafka)"
)
"""What only our own code or its libraries would say."""

BODIES: dict[str, Json] = {
    "post /auth/register": registration(phone="+49 151 23459876", date_of_birth="1980-02-03")
    | {"password": SECRET, "marketing_emails_consent": True},
    "post /auth/login": {"username": "nobody_at_all", "password": SECRET},
    "put /auth/profile": {
        "first_name": "Ann",
        "last_name": "Lee",
        "email": "ann.lee@example.com",
        "phone": "+49 151 23459876",
        "date_of_birth": "1980-02-03",
        "marketing_emails_consent": True,
    },
    "post /auth/logout": {},
    "post /auth/password": {"current_password": "Wr0ng!Wr0ng!Wr0ng", "new_password": SECRET},
    "post /ops/users/{username}/role": {"role": "trader"},
    "post /balance/deposit": {"amount": "1"},
    "post /balance/withdraw": {"amount": "1"},
    "post /orders": {
        "asset_id": "ETH",
        "order_type": "limit_buy",
        "quantity": "0.001",
        "price": "1000",
        "time_in_force": "GTC",
        "client_order_id": "mine",
        "expires_at": "2030-01-31T12:00:00Z",
        "post_only": False,
    },
    "post /orders/test": {
        "asset_id": "ETH",
        "order_type": "limit_sell",
        "quantity": "0.001",
        "price": "1000",
        "time_in_force": "GTD",
        "expires_at": "2030-01-31T12:00:00Z",
    },
    "patch /orders/{order_id}": {"quantity": "0.002", "price": "1000"},
}
EXAMPLES = {
    "asset_id": "BTC",
    "order_id": "0" * 32,
    "command_id": "0" * 32,
    "session_id": "0" * 32,
    "api_key_id": "0" * 32,
    "symbol": "BTC-USD",
    "username": "nobody_at_all",
}
"""What stands in the places of a path."""
NOBODYS = {"symbol": "NONE-USD"}
"""What stands there where an operator's wish would come true."""
RAW = {
    "lone": '"\\ud800"',
    "infinite": "1e999",
    "minus": "-1e999",
    "nan": "NaN",
    "long": "9" * 5_000,
    "tiny": "1e-999999999",
}
WRONG_ANYWHERE: list[Any] = [
    *({}, {"$gt": ""}, [], ["x"], [[[[]]]], "\0", "a\0b", "x" * 3_000, "\u202e💥", "%s%n"),
    *("../../etc/passwd", "'; DROP TABLE", "<script>", "${jndi:ldap://x}", -0.0001),
    *(RAW[each] for each in ("lone", "minus", "nan")),
]
PERHAPS: list[Any] = [None, "", " ", True, False, 0, 1, "1", 1.5, 10**30, "null", "İ", "1e3", "٣"]
NO_JSON = [
    *(b"", b"{", b"}", b"{]", b'{"a":}', b"\xff\xfe\x00", b"{'a': 1}", b'{"a": 1}}', b"\0"),
    *(b'{"amount": 1', b'{"a": "\xc3\x28"}', b"nul", b"[" * 20_000, b'{"a":' * 5_000),
]
NO_OBJECT = [b"[]", b"null", b"1", b'"x"', b"true", b"[{}]", b"1e5"]
PATHS = [
    *("a-b", "B_C", "%00", "%2e%2e%2f", "x" * 51, "x" * 5_000, "%ff%fe", "💥", "BTC;x", "BTC%20"),
    *("%F0%9F%92%A9", "..%2f..%2f", "a.b", "-1", "{id}"),
]
QUERIES = ["", "x", "-1", "1.5", "1e3", "9" * 40, "%00", "%ff", "💥", "٣", "0x10", "[]", "' OR 1=1"]
HEADERS: list[dict[str, bytes]] = [
    *({"Idempotency-Key": each} for each in (b"", b"x" * 65, b"a b", b"\xe9", b"x" * 9_000)),
]
TOKENS = [
    *(b"", b"Bearer", b"Basic dTpw", b"Bearer x", b"Bearer " + b"x" * 6_000),
    *(b"Bearer \xff\xfe", b"Bearer a.b.c", b"Bearer eyJhbGciOiJub25lIn0.e30.", b"bearer null"),
    SECRET.encode(),
    b"Bearer " + SECRET.encode(),
]
VERSIONS = [b"", b"x", b"-1", b"1.5", b"9" * 40, b"\xb2", b"0x1", b"1,2"]


class Case(NamedTuple):
    """One request; `statuses` are those that it may answer, None is any below 500."""

    method: str
    path: str
    statuses: frozenset[int] | None
    content: bytes | None = None
    headers: Mapping[str, bytes] = MappingProxyType({})
    is_signed_in: bool = True


def _statuses(*found: int) -> frozenset[int]:
    return frozenset(found)


INVALID = _statuses(422)
BROKEN = _statuses(400, 422)
"""Not valid, or, as NaN and half a surrogate pair, not even JSON."""
STRICT = frozenset({"limit", "offset", "depth", "status", "order_type", "active_only"}) | {
    *("interval", "source", "from", "to"),
}
ANY_VISIBLE = "client_order_id"
NOT_FOUND = _statuses(404, 422)


class Route(NamedTuple):
    """An operation of the document."""

    method: str
    path: str
    queries: tuple[str, ...]
    headers: tuple[str, ...]
    is_protected: bool

    @property
    def name(self) -> str:
        return f"{self.method.lower()} {self.path.removeprefix('/api/v1')}"

    @property
    def filled(self) -> str:
        return filled(self.path)


def filled(path: str) -> str:
    """The path with an example in each place."""
    examples = EXAMPLES | NOBODYS if "/ops/" in path else EXAMPLES
    return re.sub(r"\{(\w+)\}", lambda match: examples[match[1]], path)


def _routes(document: Json) -> list[Route]:
    return [
        Route(
            method.upper(),
            path,
            tuple(each["name"] for each in about.get("parameters", ()) if each["in"] == "query"),
            tuple(each["name"] for each in about.get("parameters", ()) if each["in"] == "header"),
            bool(about.get("security")),
        )
        for path, operations in document["paths"].items()
        for method, about in operations.items()
    ]


def _cases(route: Route, dice: random.Random) -> Iterator[Case]:
    yield from _paths(route)
    yield from _parameters(route)
    if route.is_protected and route.name != "get /commands/{command_id}":
        for token in TOKENS:
            yield _case(route, _statuses(401), headers={"Authorization": token}, signed_in=False)
        yield _case(route, _statuses(401), signed_in=False)
    if route.name in BODIES:
        yield from _bodies(route, BODIES[route.name], dice)
    elif route.method == "GET":  # a body where none belongs
        yield _case(route, None, content=b"{" * 100)


def _case(
    route: Route,
    statuses: frozenset[int] | None,
    *,
    content: bytes | None = None,
    headers: dict[str, bytes] | None = None,
    signed_in: bool = True,
) -> Case:
    if content is None and route.name in BODIES:
        content = json.dumps(BODIES[route.name]).encode()
    sent = {"Content-Type": b"application/json"} | (headers or {})
    return Case(route.method, route.filled, statuses, content, sent, signed_in)


def _paths(route: Route) -> Iterator[Case]:
    if "{" in route.path:
        for each in PATHS:
            path = re.sub(r"\{\w+\}", lambda _, each=each: each, route.path)
            yield Case(route.method, path, NOT_FOUND)
    for tail in ("/", "/x", "//", "%00", "/../x%2f"):
        yield Case(route.method, route.filled + tail, NOT_FOUND | {405})


def _parameters(route: Route) -> Iterator[Case]:
    for name in route.queries:
        for each in QUERIES:
            statuses = INVALID if name in STRICT else None
            yield Case(route.method, f"{route.filled}?{name}={each}", statuses)
    if "Idempotency-Key" in route.headers:
        for headers in HEADERS:
            yield _case(route, _statuses(422, 400, 431), headers=headers)
    if "X-Min-Account-Version" in route.headers:
        for each in VERSIONS:
            yield _case(route, INVALID, headers={"X-Min-Account-Version": each})
    yield _case(route, None, headers={"X-Request-ID": b"\xff evil" * 50, "Prefer": b";,=;" * 50})
    yield _case(route, None, headers={"traceparent": b"00-xyz", "X-Forwarded-For": b"\xff,,,;"})


def _bodies(route: Route, valid: Json, dice: random.Random) -> Iterator[Case]:
    for each in NO_JSON:
        yield _case(route, _statuses(400, 422), content=each)
    for each in NO_OBJECT:
        yield _case(route, INVALID, content=each)
    yield _case(route, _statuses(413), content=b'{"a": "' + b"x" * 66_000 + b'"}')
    for kind in (b"text/plain", b"application/xml", b"multipart/form-data", b"x", b";"):
        content = json.dumps(valid).encode()
        yield _case(route, _statuses(415), content=content, headers={"Content-Type": kind})
    for name in valid:
        for wrong in WRONG_ANYWHERE:
            broken = None if name == ANY_VISIBLE else BROKEN
            yield _case(route, broken, content=_json(valid | {name: wrong}))
        for other in PERHAPS:
            yield _case(route, None, content=_json(valid | {name: other}))
        without = {key: each for key, each in valid.items() if key != name}
        yield _case(route, None, content=_json(without))
    for _ in range(40):  # several at once, and names that nobody knows
        changed = {
            dice.choice([*valid, "extra", "", "__class__", "$where"]): dice.choice(
                [*WRONG_ANYWHERE, *PERHAPS]
            )
            for _ in range(dice.randrange(1, 4))
        }
        is_wrong = any(
            name in valid and name != ANY_VISIBLE and any(each is wrong for wrong in WRONG_ANYWHERE)
            for name, each in changed.items()
        )
        yield _case(route, BROKEN if is_wrong else None, content=_json(valid | changed))


def _json(body: Json) -> bytes:
    """As JSON; the raw values stand as they are."""
    raw = frozenset(RAW.values())
    parts = (
        f"{json.dumps(name)}: {each if isinstance(each, str) and each in raw else json.dumps(each)}"
        for name, each in body.items()
    )
    return ("{" + ", ".join(parts) + "}").encode()


def _unknown(routes: list[Route]) -> Iterator[Case]:
    """Methods that a path has not, and paths that nobody has."""
    known = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", each.path)), each.method) for each in routes]
    for path in sorted({each.path for each in routes}):
        for method in METHODS:
            known_here = any(
                method == each and pattern.fullmatch(filled(path)) for pattern, each in known
            )
            if not known_here:
                yield Case(method, filled(path), _statuses(405))
    for path in ("/", "/api", "/api/v1", "/api/v2/orders", "/metrics", "/admin", "/.env", "/%00"):
        for method in ("GET", "POST"):
            yield Case(method, path, _statuses(404))


def _fault(  # noqa: PLR0911  # one line per rule
    case: Case, answer: httpx.Response, forbidden: tuple[str, ...]
) -> str | None:
    """What the contract does not allow about this answer."""
    status = answer.status_code
    said = re.sub(r'"instance":"[^"]*"', "", answer.text)
    if status >= 500 or (case.statuses is not None and status not in case.statuses):
        return f"status {status}"
    if any(each in answer.text for each in forbidden):
        return "the secret"
    if status < 400:
        return None
    if found := OUR_OWN.search(said):
        return f"says {found.group()}"
    try:
        check_problem(answer)
    except (AssertionError, KeyError, ValueError) as error:
        return f"no problem: {error!r}"[:200]
    if answer.json()["code"] == "validation-failed" and not answer.json().get("errors"):
        return "no errors[]"
    return None


@pytest.mark.timeout(180)
async def test_broken_input_on_every_route_is_a_problem_of_the_caller(stack: Stack) -> None:
    async with (
        Gateways.of(stack) as ours,
        httpx.AsyncClient(
            base_url=stack.urls[0],
            timeout=30,
            transport=httpx.AsyncHTTPTransport(local_address=loopback()),
        ) as client,
    ):
        trader = await ours.trader(password=SECRET)
        operator = await somebody(stack, ours, Role.OPERATOR, password=SECRET)
        await trader.move("deposit", "100")
        routes = _routes((await client.get("/openapi.json")).json())
        assert {each.name for each in routes} >= BODIES.keys()
        assert len(routes) >= 24
        dice = random.Random(SEED)
        cases = [case for route in routes for case in _cases(route, dice)]
        cases += _unknown(routes)
        dice.shuffle(cases)
        faults: list[str] = []
        answered: Counter[int] = Counter()
        places = asyncio.Semaphore(AT_ONCE)

        async def send(case: Case) -> None:
            headers = dict(case.headers)
            if case.is_signed_in:
                caller = operator if "/ops/" in case.path else trader
                headers.setdefault("Authorization", f"Bearer {caller.token}".encode())
            async with places:
                answer = await client.request(
                    case.method, case.path, content=case.content, headers=headers
                )
            answered[answer.status_code] += 1
            if fault := _fault(case, answer, (SECRET, trader.token)):
                sent = (case.content or b"")[:150]
                faults.append(
                    f"{fault}: {case.method} {case.path[:80]} {case.headers} {sent!r}"
                    f" -> {answer.status_code} {answer.text[:300]}"
                )

        async with asyncio.TaskGroup() as group:
            for case in cases:
                if "/logout" not in case.path or case.statuses is not None:
                    group.create_task(send(case))
        assert faults == [], f"{len(faults)} of {len(cases)}\n" + "\n".join(sorted(faults)[:40])
        assert sum(each for status, each in answered.items() if status >= 400) > 1_000, answered
        assert {400, 401, 404, 405, 413, 415, 422} <= answered.keys()
        # the trader and both gateways are as well as before
        for through in (0, 1):
            assert (await trader.send("GET", "/balance", through=through)).status_code == 200
