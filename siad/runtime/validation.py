"""Words of the validation library, in those of SIAD."""


def plain_reason(text: str) -> str:
    """Say why a value was refused, without words of pydantic.

    Args:
        text: message of one of its errors.
    """
    return text.removeprefix("Value error, ").replace("Input should ", "it should ")
