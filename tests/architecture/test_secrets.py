"""No secret gets into the repository. `.secrets.baseline` lists what only looks like one.

What is new there and no secret either: `detect-secrets scan --baseline .secrets.baseline FILE`.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from detect_secrets.core import baseline
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import configure_settings_from_baseline

ROOT = Path(__file__).parents[2]
BASELINE = json.loads((ROOT / ".secrets.baseline").read_text())
RANDOM_BY_DESIGN = ("schemas/examples/", "requirements", ".secrets.baseline")
"""Golden messages hold made-up ids and sealed boxes; the others hold hashes."""


def found_in(paths: list[str]) -> SecretsCollection:
    configure_settings_from_baseline(BASELINE)
    found = SecretsCollection()
    found.scan_files(*paths)
    return found


def test_no_file_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    git = shutil.which("git")
    assert git is not None
    listed = subprocess.run(  # noqa: S603  # git itself
        [git, "ls-files"], check=True, capture_output=True, text=True
    )
    paths = [each for each in listed.stdout.split() if not each.startswith(RANDOM_BY_DESIGN)]
    assert len(paths) > 500

    found = found_in(paths) - baseline.load(BASELINE)

    assert [f"{path}:{each.line_number} {each.type}" for path, each in found] == []


def test_a_planted_key_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    key = "AKIA" + "QWERTYUIOP123456"
    Path("settings.py").write_text(f'ACCESS = "{key}"\n')
    Path("key.pem").write_text("-----BEGIN " + "EC PRIVATE KEY-----\nMHcCAQ==\n")

    found = found_in(["settings.py", "key.pem"])

    assert {each.type for _, each in found} == {"AWS Access Key", "Private Key"}
