"""Run the tests on product code without its asserts, as ``python -O`` would run it.

    python -m pytest -p tests.optimized tests/unit

Under ``python -O`` the asserts of test helpers and libraries go as well, so a helper that checks would pass in
silence. This plugin compiles only the product (``siad`` and ``services``) with ``optimize=1``; tests keep theirs.
Child processes are started with ``PYTHONOPTIMIZE=1``, since what a test starts is product code.

``siad.runtime.testing`` keeps its asserts: it is product code that exists to check.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Final

import pytest

PRODUCT: Final = ("siad", "services")
KEPT: Final = ("siad.runtime.testing",)


class WithoutAsserts(SourceFileLoader):
    """Compiles without asserts; reads and writes no .pyc file, which a run with asserts would then pick up."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile anew."""
        path = self.get_filename(fullname)
        return compile(self.get_data(path), path, "exec", dont_inherit=True, optimize=1)


class ProductFinder(MetaPathFinder):
    """Finds product modules where Python would, and loads them without asserts."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a product module; None leaves every other module to Python."""
        if not is_product(fullname):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader) and spec.origin is not None:
            spec.loader = WithoutAsserts(fullname, spec.origin)
        return spec


def is_product(module: str) -> bool:
    """Whether a module loses its asserts."""
    return module.partition(".")[0] in PRODUCT and not any(
        module == kept or module.startswith(f"{kept}.") for kept in KEPT
    )


def install() -> None:
    """Put the finder first; product modules imported before would have kept their asserts.

    Raises:
        UsageError: there are such modules.
    """
    early = sorted(name for name in sys.modules if is_product(name))
    if early:
        message = f"imported before -p tests.optimized: {', '.join(early)}"
        raise pytest.UsageError(message)
    sys.meta_path.insert(0, ProductFinder())


install()


@contextmanager
def optimized_children() -> Iterator[None]:
    """Let child processes run without asserts."""
    before = os.environ.get("PYTHONOPTIMIZE")
    os.environ["PYTHONOPTIMIZE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONOPTIMIZE"]
        else:
            os.environ["PYTHONOPTIMIZE"] = before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Set ``PYTHONOPTIMIZE`` around each test only: pytest-xdist's own workers must not inherit it."""
    with optimized_children():
        return (yield)


def pytest_report_header() -> str:
    """Say so at the top of the run."""
    return f"optimized: {', '.join(PRODUCT)} run without asserts, except {', '.join(KEPT)}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if a product module kept its asserts after all."""
    kept = [name for name, module in list(sys.modules.items()) if is_product(name) and _has_asserts(module)]
    if kept:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        sys.stderr.write(f"\n-p tests.optimized: asserts were kept in {', '.join(sorted(kept))}\n")


def _has_asserts(module: ModuleType) -> bool:
    spec = module.__spec__
    return spec is not None and spec.origin is not None and not isinstance(spec.loader, WithoutAsserts)
