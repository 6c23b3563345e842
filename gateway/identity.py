"""/auth: registration, sign-in and sign-out, profile."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway.addresses import network_in, trusted
from gateway.answers import answer
from gateway.bodies import read_form
from gateway.commanding import commanded
from gateway.deciding import Order
from gateway.forms import LoginForm, NoForm, PasswordForm, ProfileForm, RefreshForm, RegisterForm
from gateway.ids import NOBODY
from gateway.problems import Problem
from gateway.services import Services, services_of
from gateway.telling import tell_refusal
from runtime import metrics
from runtime.errors import Unavailable
from runtime.security.profiles import Profile
from schemas.audit import Happened
from schemas.auth import (
    ChangePassword,
    ChangePasswordSecret,
    Register,
    RegisterSecret,
    SignedInSecret,
    SignIn,
    Verdict,
)
from schemas.codec import Message
from schemas.identity import EndSession, Reason, UpdateProfile
from schemas.topics import AUTH_REQUESTS, IDENTITY, IDENTITY_COMMANDS

_HASHING_MS = 5_000
"""Registrations wait longer: many at once queue for the hashing of their passwords."""
_MERGES_MAX = 5
"""How often a change of a profile is merged onto what others made of it meanwhile."""


async def register(request: Request) -> Response:
    """POST /auth/register."""
    form = await read_form(request, RegisterForm)
    services = services_of(request)
    secret = RegisterSecret(
        username=form.username,
        email=form.email,
        password=form.password,
        first_name=form.first_name,
        last_name=form.last_name,
        phone=form.phone,
        date_of_birth=form.date_of_birth,
        marketing_emails_consent=form.marketing_emails_consent or False,
    )
    order = Order(
        topic=AUTH_REQUESTS,
        key=None,
        command=Register(secret=services.auth.sealing.seal(secret)),
        context=IDENTITY,
        subject=f"register {services.pseudonyms.username(form.username)}",
        owner=NOBODY,
        fingerprinted=msgspec.json.encode(msgspec.structs.replace(secret, password="")),
        deadline_ms=_HASHING_MS,
    )
    return await commanded(request, order, status=201)


async def login(request: Request) -> Response:
    """POST /auth/login."""
    form = await read_form(request, LoginForm)
    services = services_of(request)
    address = _address_of(request, services)
    _refuse_blocked(request, address, services.pseudonyms.username(form.username), SignIn)
    return _tokens(
        await services.auth.sign_in(request, form.username, form.password, address=address)
    )


async def refresh(request: Request) -> Response:
    """POST /auth/refresh."""
    form = await read_form(request, RefreshForm)
    return _tokens(await services_of(request).auth.refresh(request, form.refresh_token))


def _tokens(signed_in: SignedInSecret) -> Response:
    body = {
        "access_token": signed_in.access_token,
        "token_type": "bearer",
        "expires_in": signed_in.expires_in,
        "refresh_token": signed_in.refresh_token,
    }
    return answer(body, headers={"Cache-Control": "no-store"})


def _address_of(request: Request, services: Services) -> str:
    return network_in(request.scope, trusted(services.settings.trusted_proxies))


def _refuse_blocked(request: Request, address: str, user: str, attempt: type[Message]) -> None:
    """Refuse an attempt from an address that identity has blocked, as auth would, without asking.

    Raises:
        Problem: it is blocked (403).
    """
    services = services_of(request)
    if left_s := services.auth.blocked.left_s(address):
        happened = Happened.SIGN_IN_BLOCKED
        metrics.SIGN_INS.labels(happened).inc()
        tell_refusal(services, request.scope, happened, user=user, call=attempt.TYPE)
        raise Problem("sign-in-blocked", headers={"Retry-After": str(left_s)})


async def change_password(request: Request) -> Response:
    """POST /auth/password."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    form = await read_form(request, PasswordForm)
    address = _address_of(request, services)
    _refuse_blocked(request, address, caller.username_hmac, ChangePassword)
    secret = ChangePasswordSecret(
        username_hmac=caller.username_hmac,
        session_id=caller.session_id,
        current_password=form.current_password,
        new_password=form.new_password,
        address=address,
    )
    await services.auth.change_password(request, secret)
    return Response(status_code=204)


async def logout(request: Request) -> Response:
    """POST /auth/logout."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    await read_form(request, NoForm)
    order = Order(
        topic=IDENTITY_COMMANDS,
        key=caller.username_hmac,
        command=EndSession(username_hmac=caller.username_hmac, session_id=caller.session_id),
        context=IDENTITY,
        subject=caller.user_id,
        owner=caller.user_id,
        fingerprinted=caller.session_id.encode(),
    )
    try:
        response = await commanded(request, order, status=200)
    except Problem as problem:
        if problem.code != "unknown-session":
            raise
        response = answer({"message": "Logged out successfully"})
    services.auth.sessions.end(caller.session_id)
    return response


async def read_profile(request: Request) -> Response:
    """GET /auth/profile."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    user, is_fresh = await services.people.user(caller)
    headers = {} if is_fresh else {"X-Stale": "true"}
    return answer(await services.people.view(user), headers=headers)


async def update_profile(request: Request) -> Response:
    """PUT /auth/profile."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    form = await read_form(request, ProfileForm)
    for merge in range(_MERGES_MAX - 1):
        try:
            order = await _merged(services, caller, form, merge)
            return await commanded(request, order, status=200)
        except Problem as problem:
            if problem.code != Reason.PROFILE_CHANGED:
                raise
    order = await _merged(services, caller, form, _MERGES_MAX - 1)
    return await commanded(request, order, status=200)


async def _merged(services: Services, caller: Verdict, form: ProfileForm, merge: int) -> Order:
    """The profile as it is now with what the form gives; each merge is a command of its own.

    Raises:
        Problem: there is no such user (any more).
        Unavailable: what the profile is now cannot be read.
    """
    user, is_fresh = await services.people.user(caller)
    if not is_fresh:
        raise Unavailable("the users read model is behind")
    profile = _changed(await services.people.profile(user), form)
    consent = form.marketing_emails_consent
    command = UpdateProfile(
        username_hmac=caller.username_hmac,
        based_on=user.profile.nonce,
        profile=await services.people.encrypted(user, profile),
        email_hmac=services.pseudonyms.email(profile.email),
        marketing_emails_consent=user.marketing_emails_consent if consent is None else consent,
    )
    return Order(
        topic=IDENTITY_COMMANDS,
        key=caller.username_hmac,
        command=command,
        context=IDENTITY,
        subject=f"{caller.user_id} merge {merge}" if merge else caller.user_id,
        owner=caller.user_id,
        fingerprinted=form.model_dump_json(exclude_unset=True).encode(),
    )


def _changed(profile: Profile, form: ProfileForm) -> Profile:
    """The profile with what the form gives; an empty text makes a field unknown."""
    given = {
        name: value or None
        for name in ("first_name", "last_name", "email", "phone", "date_of_birth")
        if (value := getattr(form, name)) is not None
    }
    return msgspec.structs.replace(profile, **given)
