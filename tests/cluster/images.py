"""Images built by buildah, without a registry, from base images of this machine's Debian packages.

    python -m tests.cluster.images [--folder DIR] [TARGET...]    # ingest and inference by default; prints their sizes

The Dockerfile and its context are those of the checkout. Only the base images differ from a plant's.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from siad.apps.local.kafka.jars import find_jars
from tests.fixtures.cluster import ROOT, tools_folder

TAG: Final = "cluster"
BASES: Final = {
    "python": (
        *("python3.11", "python3.11-venv", "libstdc++6", "libgomp1", "tzdata", "dash", "bash", "coreutils"),
        *("findutils", "grep", "sed", "libc-bin", "wget"),
    ),
    "java": ("openjdk-17-jre-headless", "dash", "bash", "coreutils"),
}
ARGUMENTS: Final[Mapping[str, Sequence[str]]] = {
    "inference": ("WITHOUT_GRAPHS=",)  # torch would add 4 GB; weights of the tests have graphs
}
BUILD_S: Final = 1800.0
SITE: Final = "opt/venv/lib/python3.11/site-packages"


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image as a file that a cluster loads."""

    name: str
    archive: Path
    size_bytes: int  # uncompressed


class Builder:
    """Builds targets of the Dockerfile in a folder of its own.

    Args:
        folder: of buildah's storage, base images and archives; base images that are there are used again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._context = folder / "context"

    def built(self, target: str) -> BuiltImage | None:
        """The archive of an earlier build, as it is; None if there is none."""
        archive = self._folder / f"{target}.tar"
        if not archive.exists():
            return None
        return BuiltImage(f"docker.io/siad/{target}:{TAG}", archive, archive.stat().st_size)

    def build(self, target: str) -> BuiltImage:
        """Build one target of the Dockerfile.

        Raises:
            RuntimeError: with the end of the build's output.
        """
        self._copy_context()
        name = f"docker.io/siad/{target}:{TAG}"
        bases = [f"--build-arg={kind.upper()}_IMAGE={self._base(kind)}" for kind in BASES]
        own = [f"--build-arg={argument}" for argument in ARGUMENTS.get(target, ())]
        # the registry of Python packages may be behind a proxy with a certificate of its own
        pip = ["--volume=/etc/pip.conf:/etc/pip.conf:ro"] if Path("/etc/pip.conf").exists() else []
        self._buildah(
            *("bud", "--isolation=chroot", "--pull-never", "--network=host", "--layers", f"--target={target}"),
            *(*bases, *own, *pip, f"--tag={name}", f"--file={self._context / 'Dockerfile'}", str(self._context)),
        )
        archive = self._folder / f"{target}.tar"
        archive.unlink(missing_ok=True)
        self._buildah("push", "--quiet", name, f"docker-archive:{archive}:{name}")
        return BuiltImage(name, archive, archive.stat().st_size)

    def sizes(self, image: BuiltImage) -> Mapping[str, int]:
        """Bytes of each Python package of an image, and of the rest."""
        container = self._buildah("from", "--pull-never", image.name).strip()
        try:
            root = Path(self._buildah("mount", container).strip())
            packages = {path.name: _bytes_of(path) for path in root.glob(f"{SITE}/*")}
            named = _grouped(packages)
            return {**named, "(base image and SIAD)": _bytes_of(root) - sum(packages.values())}
        finally:
            self._buildah("rm", container)

    def _base(self, kind: str) -> str:
        """Name of a base image; made where it is missing."""
        name = f"docker.io/siad/base-{kind}:{TAG}"
        if self._buildah("images", "--quiet", "--filter", f"reference={name}").strip():
            return name
        files = self._folder / f"{kind}-root"
        shutil.rmtree(files, ignore_errors=True)
        _run(sys.executable, str(tools_folder() / "mkrootfs.py"), str(files), *BASES[kind])
        for java in files.glob("usr/lib/jvm/java-17-*/bin/java"):  # Debian links it by a script, and none runs here
            (files / "usr/bin/java").symlink_to(f"/{java.relative_to(files)}")
        container = self._buildah("from", "scratch").strip()
        self._buildah("copy", "--quiet", container, str(files), "/")
        self._buildah("commit", "--quiet", "--rm", container, name)
        shutil.rmtree(files)
        return name

    def _copy_context(self) -> None:
        """Copy what git knows, as a clean clone has it, and Kafka's jars."""
        shutil.rmtree(self._context, ignore_errors=True)
        listed = _run("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in filter(None, listed.split("\0")):
            if (source := ROOT / name).is_file():
                (self._context / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, self._context / name)
        shutil.copytree(find_jars(print), self._context / "var/kafka-jars")

    def _buildah(self, *arguments: str) -> str:
        storage = [
            f"--root={self._folder / 'storage'}",
            f"--runroot={self._folder / 'run'}",
            "--storage-driver=overlay",
        ]
        return _run("buildah", *storage, *arguments)


def why_no_builds() -> str | None:
    """Why no image can be built here; None if one can."""
    if shutil.which("buildah") is None:
        return "no buildah on PATH: apt-get install buildah"
    if os.geteuid() != 0:
        return "buildah isolates by chroot here, which needs root"
    return None


def _grouped(packages: Mapping[str, int]) -> dict[str, int]:
    """Add the libraries and the metadata of a package to it."""
    grouped: dict[str, int] = {}
    alias = {"cv2": "opencv_python_headless"}
    for name, size in packages.items():
        stem = alias.get(name, name.removesuffix(".libs").split("-")[0])
        grouped[stem] = grouped.get(stem, 0) + size
    return grouped


def _bytes_of(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(path) for name in names)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
    if done.returncode != 0:
        msg = f"{' '.join(command[:12])} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        raise RuntimeError(msg)
    return done.stdout


def main() -> None:
    """Build, and print the sizes as a table of Markdown and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=["ingest", "inference"])
    parser.add_argument("--folder", type=Path, default=ROOT / "var/images")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    builder = Builder(options.folder.resolve())
    for target in options.targets:
        image = builder.build(target)
        sizes = builder.sizes(image)
        shown = {name: round(size / 1e6, 1) for name, size in sorted(sizes.items(), key=lambda each: -each[1])}
        found = {"image": image.name, "mb": round(image.size_bytes / 1e6), "mb_of_packages": shown}
        sys.stdout.write(f"{json.dumps(found, indent=1)}\n")


if __name__ == "__main__":
    main()
