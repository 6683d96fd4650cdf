"""One function chooses a version, and it says what there is when nothing fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from cellar_core.choose import NoSuchVersion, choose, takes
from cellar_core.ref import Caret, Selector
from cellar_core.version import BaseVersion, ProjectVersion
from tests.core.strategies import base_versions, project_versions, small

BASES = [BaseVersion(text) for text in ("0.1", "0.2", "1.0", "1.9", "1.10", "2.0")]
PROJECTS = [
    ProjectVersion(text)
    for text in ("0.1.1", "0.2.1", "0.2.2", "1.0.1", "1.9.3", "1.10.1", "1.10.2", "2.0.1")
]

found_bases = st.lists(base_versions(small), min_size=1, max_size=8)
found_projects = st.lists(project_versions(small), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("latest", "2.0"),
        ("1.9", "1.9"),
        ("^1", "1.10"),
        ("^1.9", "1.10"),
        ("^0.1", "0.1"),
        ("~=1.0", "1.10"),
        (">=1.0,<2", "1.10"),
        ("<1.10", "1.9"),
        ("==1.*", "1.10"),
        ("!=2.0", "1.10"),
        ("==1.9", "1.9"),
    ],
)
def test_bases(choice: str, chosen: str) -> None:
    """Each kind of selector, on a base; the highest where several fit."""
    assert choose(Selector(f"vit/base@{choice}"), BASES) == BaseVersion(chosen)


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("latest", "2.0.1"),
        ("1.9.3", "1.9.3"),
        ("^1", "1.10.2"),
        ("^1.9.4", "1.10.2"),
        ("^0.2", "0.2.2"),
        ("^0.2.1", "0.2.2"),
        ("~=1.9.0", "1.9.3"),
        ("~=1.9", "1.10.2"),
        ("==1.9.*", "1.9.3"),
        (">=1,<1.10", "1.9.3"),
    ],
)
def test_projects(choice: str, chosen: str) -> None:
    """Each kind of selector, on a project."""
    assert choose(Selector(f"vit/projectA@{choice}"), PROJECTS) == ProjectVersion(chosen)


@pytest.mark.parametrize("choice", ["^3", "^1.11", "^0.3", "~=3.0", ">2.0", "<0.1", "3.0", "==1.5"])
def test_nothing_fits(choice: str) -> None:
    """The message names the model and the choice, and lists what exists in the order of numbers."""
    with pytest.raises(NoSuchVersion) as caught:
        choose(Selector(f"vit/base@{choice}"), BASES)
    assert (
        str(caught.value) == f"no version of vit/base is '{choice}'; there is: 0.1, 0.2, 1.0, 1.9, 1.10, 2.0"
    )
    assert not caught.value.retryable


def test_nothing_exists() -> None:
    """Where there is no version at all, the message says so."""
    with pytest.raises(NoSuchVersion, match="vit/base has no versions yet"):
        choose(Selector("vit/base"), [])


def test_alias_that_is_not_set() -> None:
    """An alias that nobody set is an error that says how to set it."""
    with pytest.raises(
        NoSuchVersion, match="has no alias 'production'; set it with: cellar alias vit/base production"
    ):
        choose(Selector("vit/base@production"), BASES)


@given(found_bases)
def test_latest_is_the_highest(found: list[BaseVersion]) -> None:
    """A bare model means the highest number, in whatever order versions are offered."""
    assert (
        choose(Selector("vit/base"), found) == choose(Selector("vit/base@latest"), found[::-1]) == max(found)
    )


@given(found_projects, st.sampled_from(["~=1.2", ">=1.1,<2", "==1.2.*", "!=1.2.1", ">=0.1", "<3,!=2.*"]))
def test_specifiers_mean_what_packaging_says(found: list[ProjectVersion], specifiers: str) -> None:
    """A specifier set chooses the highest of those that PEP 440 lets through."""
    fits = [version for version in found if Version(str(version)) in SpecifierSet(specifiers)]
    selector = Selector(f"vit/projectA@{specifiers}")
    if fits:
        assert choose(selector, found) == max(fits)
    else:
        with pytest.raises(NoSuchVersion):
            choose(selector, found)


@given(st.lists(small, min_size=1, max_size=3).filter(lambda least: least != [0]), project_versions(small))
def test_caret_takes(least: list[int], version: ProjectVersion) -> None:
    """A caret takes what is not below it and in the same X; in 0.Y, in the same Y."""
    numbers = [version.major, version.minor, version.update]
    same = version.major == least[0] and (least[0] > 0 or version.minor == least[1])
    assert takes(Caret(tuple(least)), version) is (same and numbers >= least)
