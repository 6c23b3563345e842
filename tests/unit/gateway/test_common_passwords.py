"""Passwords that everybody tries first are no passwords; others are."""

import pytest
from pydantic import ValidationError

from gateway.common_passwords import is_common
from gateway.forms import LoginForm, PasswordForm

COMMON = [
    *(
        "Password123!",
        "P@ssw0rd1234",
        "P@$$w0rd!234",
        "Welcome12345!",
        "!Qwerty123456",
        "Admin@123456",
    ),
    *(
        "1qaz@WSX3edc",
        "Letmein!2024",
        "ILoveYou1234!",
        "Football!2023",
    ),
    *(
        "The-Quick-Brown-Fox-Jumps-Over-The-Lazy-Dog",
        "this is my password!!",
        "Summer2025!!",
        "Trustno1!2345",
    ),
]
FINE = [
    *("Genesis-2009!", "Passw0rd!Passw0rd", "Str0ng!Passw0rd", "xK9$mm2!qqLp", "Vq7!xylophone-Zz"),
    *("correct horse battery staple", "SecurePass123!", "TestPassword123!"),
]


@pytest.mark.parametrize("password", COMMON)
def test_a_common_password_is_not_taken_but_may_still_sign_in(password: str) -> None:
    assert is_common(password)
    with pytest.raises(ValidationError, match="most common"):
        PasswordForm(current_password=FINE[2], new_password=password)
    assert LoginForm(username="somebody", password=password).password == password


@pytest.mark.parametrize("password", FINE)
def test_other_passwords_are_taken(password: str) -> None:
    form = PasswordForm(current_password=FINE[2], new_password=password)
    assert form.new_password == password
