"""Words for numbers, and for untrusted text: control characters are shown, not obeyed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

__all__ = ["METRICS_MOST", "changes", "figure", "numbers", "printable"]

METRICS_MOST = 3
"""So many metrics are shown beside a version; ``cellar show`` has them all."""


def numbers(metrics: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, float]]:
    """The numbers among metrics, however deep.

    >>> dict(numbers({"accuracy": 0.9, "by": {"class": {"a": 1}}, "note": "x"}))
    {'accuracy': 0.9, 'by.class.a': 1}
    """
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{within}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{within}{name}", value


def changes(before: Mapping[str, Any], after: Mapping[str, Any], most: int = METRICS_MOST) -> str:
    """The first few metrics of a version, each with what it was before, if that is known and another.

    >>> changes({"accuracy": 0.9, "loss": 1}, {"accuracy": 0.95, "loss": 1})
    'accuracy 0.9 → 0.95, loss 1'
    """
    old, new = dict(numbers(before)), dict(numbers(after))
    shown = [
        f"{printable(name)} {f'{figure(old[name])} → ' if old.get(name, value) != value else ''}{figure(value)}"
        for name, value in list(new.items())[:most]
    ]
    return ", ".join([*shown, "…"] if len(new) > most else shown)


def figure(value: float, digits: int = 4) -> str:
    """A number in so many digits, however large it is.

    >>> figure(0.123456), figure(float("nan")), figure(10**400)
    ('0.1235', 'nan', '1e+400')
    """
    try:
        return f"{value:.{digits}g}"
    except OverflowError:  # an integer that no float holds
        return f"{Decimal(value).normalize():.{digits}g}"


def printable(text: object) -> str:
    r"""*text* in one line, with what could steer a terminal or turn the reading direction shown as an escape.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
