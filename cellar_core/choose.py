"""Choosing a version: the one function that turns a selector and what exists into an answer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from operator import attrgetter
from typing import TypeVar

from cellar_core.errors import CellarError, listing
from cellar_core.ref import Alias, Caret, Latest, Selector, Specifier, Version

__all__ = ["NoSuchVersion", "choose"]

V = TypeVar("V", bound=Version)


class NoSuchVersion(CellarError, LookupError):
    """Nothing that exists is what was asked for. Trying again helps only once somebody has registered it."""


def choose(
    selector: Selector,
    versions: Collection[V],
    allowed: Callable[[V], bool] = lambda version: True,
) -> V:
    """The version of *versions* that *selector* means; the highest, where several fit.

    Args:
        selector: What is asked for.
        versions: What may be chosen.
        allowed: Whether one that fits may be chosen; asked from the highest down, since it can cost a look.

    Raises:
        NoSuchVersion: Nothing fits; the message lists what exists.

    >>> from cellar_core.version import BaseVersion
    >>> choose(Selector("vit/vit-l/base@~=1.2"), [BaseVersion(v) for v in ("1.2", "1.10", "2.0")])
    BaseVersion('1.10')
    """
    fits = _rule(selector)
    for version in sorted(filter(fits, versions), key=attrgetter("numbers"), reverse=True):
        if allowed(version):
            return version
    if not versions:
        raise NoSuchVersion(f"{selector.model} has no versions yet; see: cellar ls {selector.model.rack}")
    there = listing(sorted(filter(allowed, versions)))
    raise NoSuchVersion(f"no version of {selector.model} is {str(selector.choice)!r}; there is: {there}")


def _rule(selector: Selector) -> Callable[[Version], bool]:
    choice = selector.choice
    if isinstance(choice, Latest):
        return lambda version: True
    if isinstance(choice, Caret):
        return lambda version: takes(choice, version)
    if isinstance(choice, Specifier):
        from packaging.specifiers import SpecifierSet

        specifiers = SpecifierSet(choice.text)
        return lambda version: specifiers.contains(str(version))
    if isinstance(choice, Alias):  # one that is set means a version at once
        hint = f"set it with: cellar alias {selector.model} {choice} VERSION"
        raise NoSuchVersion(f"{selector.model} has no alias {str(choice)!r}; {hint}")
    return lambda version: version == choice


def takes(caret: Caret, version: Version) -> bool:
    """Whether the application behind *caret* can take *version*.

    SPEC: "when `X` is not changed, it guarantees that the application can continue to work with the new model",
    and "If the major version is 0 …, it indicates an early development stage where breaking changes are allowed".
    """
    fixed = 1 if caret.least[0] > 0 else 2
    return version.numbers[:fixed] == caret.least[:fixed] and version.numbers >= caret.least
