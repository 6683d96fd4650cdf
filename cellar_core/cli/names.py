"""The arguments that name something in a cellar, and the names that a shell completes them with."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from cellar_core.cellar import Cellar

__all__ = ["model_argument", "place_argument", "rack_argument", "ref_argument", "selector_argument"]

PATIENCE = 2.0
"""For so many seconds a shell waits for names; then it gets none. A store may be far, or give no answer at all."""

Names = Callable[["Cellar", str], Iterable[str]]
"""What a cellar holds that may be meant by what is typed so far."""


def rack_argument(text: str = "Such as vit/vit-l.") -> Any:
    """A rack; *text* is its help."""
    return _argument("RACK", text, _racks)


def model_argument(text: str = "Such as vit/vit-l/projectA.") -> Any:
    """A model."""
    return _argument("MODEL", text, _models)


def place_argument(text: str) -> Any:
    """A rack or a model."""
    return _argument("RACK|MODEL", text, _places)


def ref_argument(text: str) -> Any:
    """An exact version."""
    return _argument("REF", text, _refs)


def selector_argument() -> Any:
    """A version, or what chooses one."""
    text = "An exact ref, or a model and what to choose: @latest, @^1, @~=1.2, @production."
    return _argument("MODEL[@CHOICE]|REF", text, _selectors)


def _argument(metavar: str, text: str, names: Names) -> Any:
    return typer.Argument(metavar=metavar, help=text, show_default=False, autocompletion=_completion(names))


def _completion(names: Names) -> Callable[[typer.Context, str], list[str]]:
    """What typer asks; if anything goes wrong there are no names, as a shell that completes shows no errors."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        try:
            from cellar_core.cellar import Cellar

            cellar = Cellar(ctx.find_root().params.get("cellar"), read_only=True)
            return sorted({name for name in names(cellar, incomplete) if name.startswith(incomplete)})
        except Exception:  # noqa: BLE001 - whatever it is, nobody wants it told in the middle of what they type
            return []
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    return complete


def _racks(cellar: Cellar, typed: str) -> Iterable[str]:  # noqa: ARG001 - all of them, from one listing
    return map(str, cellar.racks())


def _models(cellar: Cellar, typed: str) -> Iterator[str]:
    """The models of those racks that may be meant, each from one listing."""
    for rack in cellar.racks():
        if str(rack).startswith(typed) or typed.startswith(f"{rack}/"):
            yield from map(str, cellar.models(rack))


def _places(cellar: Cellar, typed: str) -> Iterator[str]:
    yield from _racks(cellar, typed)
    yield from _models(cellar, typed)


def _refs(cellar: Cellar, typed: str) -> Iterator[str]:
    """Models, and the versions of one that is typed already."""
    for model in _models(cellar, typed):
        yield model
        if typed.startswith(model):
            yield from map(str, cellar.versions(model))


def _selectors(cellar: Cellar, typed: str) -> Iterator[str]:
    """The same, and aliases."""
    yield from _refs(cellar, typed)
    for model in _models(cellar, typed):
        if f"{model}@".startswith(typed) or typed.startswith(f"{model}@"):
            yield from (f"{model}@{alias}" for alias in ("latest", *cellar.aliases(model)))
