"""The versions of one model, in order: the same answers as from a plain list, whatever is void, and few looks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cellar_core.version import BaseVersion, ProjectVersion
from cellar_core.versions import Versions
from tests.core.strategies import project_versions

few = st.sets(project_versions(st.integers(0, 3)), max_size=12)


@given(few, few, st.lists(st.integers(0, 3), max_size=3))
def test_as_a_list(named: set[ProjectVersion], void: set[ProjectVersion], numbers: list[int]) -> None:
    """Order, size, membership, the newest, and those on a base."""
    known = Versions(named, lambda version: version not in void)
    there = sorted(named - void)
    assert [*known] == there
    assert [*reversed(known)] == there[::-1]
    assert (len(known), bool(known)) == (len(there), bool(there))
    assert known.newest() == max(there, default=None)
    assert {one for one in named | void if one in known} == {*there}
    on = [one for one in there if one.numbers[: len(numbers)] == tuple(numbers)]
    assert [*known.on(*numbers)] == on
    assert known.newest(on.__contains__) == max(on, default=None)
    assert [*known.where(on.__contains__)] == on


def test_contains() -> None:
    """A base version is none of a project's, although those on it begin like it; nor is a text."""
    known = Versions([ProjectVersion("1.2.3")])
    assert ProjectVersion("1.2.3") in known
    assert BaseVersion("1.2") not in known
    assert "1.2.3" not in known


def test_looks_from_the_newest_down() -> None:
    """What is older than the answer is not looked at, nor what does not fit."""
    looks: list[BaseVersion] = []

    def look(version: BaseVersion) -> bool:
        looks.append(version)
        return version.minor < 7

    known = Versions((BaseVersion(f"1.{y}") for y in range(9)), look)
    assert known.newest(lambda version: version.minor % 2 == 0) == BaseVersion("1.6")
    assert looks == [BaseVersion("1.8"), BaseVersion("1.6")]
