import stat
from pathlib import Path

from runtime.security.kafka_passwords import (
    BROKER,
    SIGNED_IN,
    credentials_of,
    ensure_passwords,
    password_file,
    read_password,
)
from schemas.acls import ADMIN, PRINCIPALS


def test_everybody_gets_a_password_of_their_own_that_only_the_owner_reads(tmp_path: Path) -> None:
    ensure_passwords(tmp_path)
    everybody = (*PRINCIPALS, ADMIN, BROKER)
    assert {each.name for each in tmp_path.iterdir()} == set(everybody)
    assert len({read_password(tmp_path, each) for each in everybody}) == len(everybody)
    for each in everybody:
        assert len(read_password(tmp_path, each)) >= 43  # 256 bits
        assert stat.S_IMODE(password_file(tmp_path, each).stat().st_mode) == 0o600
        assert [path.name for path in (tmp_path / each).iterdir()] == ["password"]


def test_what_is_there_stays_and_what_was_removed_is_made_anew(tmp_path: Path) -> None:
    ensure_passwords(tmp_path)
    before = {each: read_password(tmp_path, each) for each in SIGNED_IN}
    password_file(tmp_path, "accounts").unlink()
    ensure_passwords(tmp_path)
    changed = {each for each in SIGNED_IN if read_password(tmp_path, each) != before[each]}
    assert changed == {"accounts"}


def test_a_process_is_told_where_its_own_password_is_and_never_what(tmp_path: Path) -> None:
    ensure_passwords(tmp_path)
    told = credentials_of(tmp_path, "gateway")
    assert told["CNOP_KAFKA_USERNAME"] == "gateway"
    assert Path(told["CNOP_KAFKA_PASSWORD_FILE"]) == tmp_path / "gateway" / "password"
    assert read_password(tmp_path, "gateway") not in str(told)
    assert credentials_of(None, "gateway") == {}
