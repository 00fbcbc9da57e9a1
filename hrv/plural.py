"""Numbers with what they count."""


def counted(number: int, thing: str) -> str:
    """`counted(1, "model evaluation")` is "1 model evaluation"; any other number takes the plural in -s."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
