"""Place of a model: one line and the product that it makes."""

from typing import NamedTuple, Self


class Place(NamedTuple):
    """One line and one product, to which models and thresholds belong."""

    line: str
    product: str

    def __str__(self) -> str:
        """Write ``line/product``, as logs and metrics show it."""
        return f"{self.line}/{self.product}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` wrote.

        Raises:
            ValueError: the text is not ``line/product``.
        """
        line, slash, product = text.partition("/")
        if not (line and slash and product) or "/" in product:
            msg = f"{text!r} is not line/product"
            raise ValueError(msg)
        return cls(line, product)


def describe_no_weights(place: Place) -> str:
    """Say what becomes of images of a place that no weights serve."""
    return (
        f"no weights serve line {place.line}, product {place.product}, yet: these images get the verdict unknown, "
        "reason no-weights"
    )
