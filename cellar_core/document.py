"""A version's document: the rack's template, filled in with the version's results, as ml-cellar does it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cellar_core.check import CONFIG, NoRackHere, rack_above
from cellar_core.errors import CellarError, listing
from cellar_core.rack import RackConfig
from cellar_core.ref import Rack

__all__ = ["NoDocument", "document", "fill"]


class NoDocument(CellarError):
    """A version's document cannot be written: its template or its results are missing. Trying again does not help."""


def document(version: Path) -> str:
    """The document of the version in a directory.

    Args:
        version: Its directory, below its rack's.

    Raises:
        NoRackHere: It lies in no rack.
        NoDocument: There is no template, no file of results, or the results lack what the template names.
    """
    rack = rack_above(version)
    if rack is None:
        raise NoRackHere(f"{version} lies in no rack: none of the directories above it has a {CONFIG}")
    files = RackConfig.parse((rack / CONFIG).read_bytes(), str(rack / CONFIG), Rack(rack.name)).document
    texts = {}
    for path, what in ((rack / files.template_file, "template"), (version / files.result_file, "results")):
        try:
            texts[what] = path.read_text()
        except (FileNotFoundError, NotADirectoryError):
            raise NoDocument(f"there is no {path}, where the {what} of {version} should be") from None
    try:
        results = json.loads(texts["results"])
    except ValueError as error:
        raise NoDocument(f"{version / files.result_file} is no JSON: {error}") from None
    return fill(texts["template"], results, version.absolute().name)


def fill(template: str, results: Any, version: str) -> str:
    """*template* with each ``{path.in.results}`` and ``{{version}}`` replaced.

    Raises:
        NoDocument: *results* lack something that it names.

    >>> fill("# {{version}} on {device}: {metrics.accuracy}", {"device": "GPU", "metrics": {"accuracy": 0.9}}, "1.2")
    '# 1.2 on GPU: 0.9'
    """
    absent: list[str] = []

    def one(match: re.Match[str]) -> str:
        if match[1]:
            return version
        found = results
        for name in match[2].split("."):
            if not isinstance(found, dict) or name not in found:
                absent.append(match[2])
                return ""
            found = found[name]
        return (
            found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        )

    text = re.sub(r"\{\{(version)\}\}|(?<!\{)\{([A-Za-z0-9_.-]+)\}(?!\})", one, template)
    if absent:
        raise NoDocument(f"the results lack what the template names: {listing(absent)}")
    return text
