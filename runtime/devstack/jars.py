"""Kafka and DynamoDB Local as jars, fetched once from Maven Central into the state directory."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runtime.devstack.children import Child, last_lines
from runtime.devstack.errors import CannotStart

_POMS: Final = Path(__file__).with_name("poms")
_PLUGIN: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FETCH_S_MAX: Final = 600.0
_JAVA_MIN: Final = 17
_STAMP: Final = "pom.sha256"
_INSTALL: Final = "(Debian: `apt install openjdk-17-jdk-headless maven`)"


def java() -> str:
    """The java command, from JAVA_HOME or the path.

    Raises:
        CannotStart: there is none, or it is older than 17.
    """
    found = _in_java_home() or shutil.which("java")
    if found is None:
        raise CannotStart(
            f"No Java was found: install a JDK {_JAVA_MIN} or newer and Maven {_INSTALL}, start "
            "Docker, or name running servers by CNOP_KAFKA_BOOTSTRAP and CNOP_DYNAMODB_ENDPOINT."
        )
    if (version := _version(found)) < _JAVA_MIN:
        raise CannotStart(f"{found} is Java {version}; {_JAVA_MIN} or newer is needed {_INSTALL}.")
    return found


def have_java() -> bool:
    """Whether a fit Java is there."""
    try:
        java()
    except CannotStart:
        return False
    return True


def ensure_jars(name: str, directory: Path) -> Path:
    """The directory of the server's jars (`kafka` or `dynamodb`), fetched when not there yet.

    Raises:
        CannotStart: Maven is missing or could not fetch them.
    """
    target = directory / name
    pom = _POMS / f"{name}.xml"
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory / f"{name}.lock"):
        if not _is_current(target, digest):
            _fetch(pom, target)
            (target / _STAMP).write_text(digest)
    return target


def have_jars(name: str, directory: Path) -> bool:
    """Whether the server's jars are there already."""
    digest = hashlib.sha256((_POMS / f"{name}.xml").read_bytes()).hexdigest()
    return _is_current(directory / name, digest)


def _is_current(target: Path, digest: str) -> bool:
    stamp = target / _STAMP
    return stamp.exists() and stamp.read_text() == digest


def _fetch(pom: Path, target: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise CannotStart(f"Maven (mvn) was not found; it fetches the local servers {_INSTALL}.")
    staging = target.with_name(f"{target.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    shutil.copy(pom, staging / "pom.xml")
    command = [maven, "-B", "-ntp", "-f", str(staging / "pom.xml"), _PLUGIN]
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={staging.absolute()}"]
    log = target.with_name(f"{target.name}-fetch.log")
    _run(Child([*command, *options], log=log))
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)


def _run(fetch: Child) -> None:
    try:
        ended = fetch.wait(_FETCH_S_MAX)
    finally:
        fetch.stop()
    if ended != 0:
        raise CannotStart(
            f"Maven could not fetch the local servers; is Maven Central reachable? "
            f"Its output is in {fetch.log}:\n{last_lines(fetch.log)}"
        )


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _in_java_home() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=f"{home}/bin") if home else None


def _version(command: str) -> int:
    answer = subprocess.run(  # noqa: S603  # the java that was found
        [command, "-version"], capture_output=True, text=True, timeout=30, check=False
    )
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found[1]) if found else 0
