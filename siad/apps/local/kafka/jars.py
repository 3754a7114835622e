"""Where Apache Kafka's jars come from: KAFKA_HOME, or Maven by the pom beside this file, fetched once and kept."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

VERSION = "4.3.1"  # as in pom.xml
FETCH_S = 900.0  # for Maven, over a slow line
POM = Path(__file__).with_name("pom.xml")
_SAY_EVERY_S = 5.0


def why_unavailable() -> str | None:
    """Why no node can be started here; None where one can."""
    if (java := shutil.which("java")) is None:
        return "no Java on PATH: Apache Kafka needs Java 17 or later; install it, or set SIAD_BUS_BOOTSTRAP to your own"
    if (major := _java_major(java)) < 17:
        return f"{java} is Java {major}; Apache Kafka {VERSION} needs Java 17 or later"
    if home := os.environ.get("KAFKA_HOME"):
        libs = Path(home) / "libs"
        is_kafka = next(libs.glob("kafka_2*.jar"), None) is not None
        return None if is_kafka else f"KAFKA_HOME: no kafka_2*.jar in {libs}; point it at an unpacked Apache Kafka"
    if _is_complete(_cache()) or shutil.which("mvn"):
        return None
    return "no KAFKA_HOME, and no Maven (mvn) on PATH to fetch Apache Kafka's jars; install one of the two"


def find_jars(say: Callable[[str], None]) -> Path:
    """The folder of Kafka's jars; fetched by Maven where neither KAFKA_HOME nor the cache has them.

    Raises:
        RuntimeError: Maven could not fetch them; says what it printed.
    """
    if home := os.environ.get("KAFKA_HOME"):
        return Path(home) / "libs"
    cache = _cache()
    if _is_complete(cache):
        return cache
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as scratch:
        fetched = _fetch(Path(scratch), say)
        if not _is_complete(cache):  # somebody else may have been faster
            shutil.rmtree(cache, ignore_errors=True)  # of a fetch that somebody cut short by hand
            fetched.rename(cache)
    return cache


def _fetch(scratch: Path, say: Callable[[str], None]) -> Path:
    say(f"fetching Apache Kafka {VERSION} by Maven: 44 MB, once")
    shutil.copy(POM, scratch)
    args = ["mvn", "-q", "-B", "-f", f"{scratch}/pom.xml", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
    began_s = time.monotonic()
    with (scratch / "maven.log").open("wb") as log:
        maven = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=scratch)
    try:
        while maven.poll() is None and time.monotonic() - began_s < FETCH_S:
            try:
                maven.wait(_SAY_EVERY_S)
            except subprocess.TimeoutExpired:
                say(f"fetching Apache Kafka: {time.monotonic() - began_s:.0f} s so far")
    finally:
        maven.kill()  # harmless where it ended
    if maven.wait() != 0 or not _is_complete(scratch / "jars"):
        said = (scratch / "maven.log").read_text(errors="replace")[-2000:].strip()
        msg = (
            f"Maven could not fetch Apache Kafka {VERSION} within {time.monotonic() - began_s:.0f} s: {said}\n"
            "Mend that, or unpack Apache Kafka yourself and set KAFKA_HOME, or set SIAD_BUS_BOOTSTRAP to your own"
        )
        raise RuntimeError(msg)
    return scratch / "jars"


def _cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return root / "siad" / f"kafka-{VERSION}"


def _is_complete(folder: Path) -> bool:
    return (folder / f"kafka_2.13-{VERSION}.jar").exists()


def _java_major(java: str) -> int:
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    for word in said.split():
        if word.startswith('"'):
            first, *rest = word.strip('"').split(".")
            return int(rest[0] if first == "1" and rest else first.split("-")[0])
    return 0
