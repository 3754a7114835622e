"""The place of a model: one line and the product that it makes."""

from typing import NamedTuple


class Place(NamedTuple):
    """One line and one product; models, thresholds and releases belong to a place."""

    line: str
    product: str

    def __str__(self) -> str:
        """Write ``line/product``, as logs and metrics show it."""
        return f"{self.line}/{self.product}"
