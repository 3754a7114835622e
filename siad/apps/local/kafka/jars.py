"""Apache Kafka's jars: from KAFKA_HOME, or downloaded once by Maven."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

VERSION = "4.3.1"  # as in pom.xml
JAVA_MIN = 17
FETCH_S = 900.0  # for Maven over a slow connection
POM = Path(__file__).with_name("pom.xml")
_NOTIFY_EVERY_S = 5.0
_MAVEN_TAIL_CHARS = 2000


def why_unavailable() -> str | None:
    """Why no node can be started here; None if one can."""
    if (java := shutil.which("java")) is None:
        return (
            f"no Java on PATH, and Apache Kafka needs Java {JAVA_MIN} or later; install it, or set SIAD_BUS_BOOTSTRAP "
            "to your own"
        )
    if (major := _java_major(java)) < JAVA_MIN:
        return f"{java} is Java {major}; Apache Kafka {VERSION} needs Java {JAVA_MIN} or later"
    if home := os.environ.get("KAFKA_HOME"):
        libs = Path(home) / "libs"
        is_kafka = next(libs.glob("kafka_2*.jar"), None) is not None
        return None if is_kafka else f"KAFKA_HOME: no kafka_2*.jar in {libs}; point it at an unpacked Apache Kafka"
    if _is_complete(_cache()) or shutil.which("mvn"):
        return None
    return "no KAFKA_HOME, and no Maven (mvn) on PATH to download Apache Kafka's jars; install one of the two"


def find_jars(notify: Callable[[str], None]) -> Path:
    """Folder of Kafka's jars.

    Downloaded by Maven if neither KAFKA_HOME nor the cache has them.

    Raises:
        RuntimeError: Maven could not download them; includes its output.
    """
    if home := os.environ.get("KAFKA_HOME"):
        return Path(home) / "libs"
    cache = _cache()
    if _is_complete(cache):
        return cache
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as scratch:
        fetched = _fetch(Path(scratch), notify)
        if not _is_complete(cache):  # another process may have downloaded them meanwhile
            shutil.rmtree(cache, ignore_errors=True)  # an incomplete folder of an interrupted download
            fetched.rename(cache)
    return cache


def _fetch(scratch: Path, notify: Callable[[str], None]) -> Path:
    notify(f"downloading Apache Kafka {VERSION} with Maven: 44 MB, once")
    shutil.copy(POM, scratch)
    args = ["mvn", "-q", "-B", "-f", f"{scratch}/pom.xml", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
    began_s = time.monotonic()
    with (scratch / "maven.log").open("wb") as log:
        maven = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=scratch)
    try:
        while maven.poll() is None and time.monotonic() - began_s < FETCH_S:
            try:
                maven.wait(_NOTIFY_EVERY_S)
            except subprocess.TimeoutExpired:
                notify(f"downloading Apache Kafka: {time.monotonic() - began_s:.0f} s so far")
    finally:
        maven.kill()  # does nothing if it has ended
    if maven.wait() != 0 or not _is_complete(scratch / "jars"):
        output = (scratch / "maven.log").read_text(errors="replace")[-_MAVEN_TAIL_CHARS:].strip()
        msg = (
            f"Maven did not download Apache Kafka {VERSION} within {time.monotonic() - began_s:.0f} s: {output}\n"
            "Fix that, or unpack Apache Kafka yourself and set KAFKA_HOME, or set SIAD_BUS_BOOTSTRAP to your own"
        )
        raise RuntimeError(msg)
    return scratch / "jars"


def _cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return root / "siad" / f"kafka-{VERSION}"


def _is_complete(folder: Path) -> bool:
    return (folder / f"kafka_2.13-{VERSION}.jar").exists()


def _java_major(java: str) -> int:
    """Major version from the output of `java -version`; 0 if it has none."""
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    for word in output.split():
        if word.startswith('"'):
            first, *rest = word.strip('"').split(".")
            return int(rest[0] if first == "1" and rest else first.split("-")[0])
    return 0
