"""BaseVersion and ProjectVersion are values: parsed once, canonical, immutable, ordered by number."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cellar_core.errors import CellarError
from cellar_core.version import BaseVersion, Bump, InvalidVersion, ProjectVersion, looks_like_version
from tests.core.strategies import base_versions, nearby, project_versions, versions

Version = BaseVersion | ProjectVersion


class Holder(BaseModel):
    base: BaseVersion
    project: ProjectVersion | None = None


class TestCanonical:
    """There is one way to write a version, so that equal versions have equal keys in the store."""

    NOT_CANONICAL = (
        *("", " ", ".", "1", "1.", ".1", "1..2", "1.2.3.4", "one.two", "1.x", "latest"),
        *("v1.2", "V1.2", "01.2", "1.02", "00.1", "1.00", "+1.2", "-1.2", "1.-2", "1.+2"),
        *(" 1.2", "1.2 ", "1. 2", "1.2\n", "\n1.2", "1.2\t", "1,2", "1_0.2", "1e1.2", "0x1.2"),
        *("١.٢", "1.２", "²", "1.2³", "1.2rc1", "1.2.dev0", "1.2+local", "1!1.2", "1.2.post1"),  # noqa: RUF001
        *("1234567890.1", "1.1234567890", "0.0000000000", "1/2", "1.2/", "1.2\x00"),
    )

    @pytest.mark.parametrize("text", [*NOT_CANONICAL, "1.2.3"])
    def test_base_refuses(self, text: str) -> None:
        """A base version is X.Y: plain ASCII numbers of at most nine digits, and nothing else."""
        with pytest.raises(InvalidVersion, match=r"is no base version: write X\.Y, such as 1\.2"):
            BaseVersion(text)

    @pytest.mark.parametrize("text", [*NOT_CANONICAL, "1.2", "1.2.0", "1.2.03", "1.2.1234567890"])
    def test_project_refuses(self, text: str) -> None:
        """A project version is X.Y.Z, and Z starts at 1."""
        with pytest.raises(InvalidVersion, match=r"is no project version: write X\.Y\.Z with Z from 1"):
            ProjectVersion(text)

    @pytest.mark.parametrize("text", ["v1.2", "1.2\n"])
    def test_error_quotes_the_text(self, text: str) -> None:
        """The message shows what was given, control characters made visible."""
        with pytest.raises(InvalidVersion) as caught:
            BaseVersion(text)
        assert repr(text) in str(caught.value)
        assert isinstance(caught.value, CellarError | ValueError)
        assert not caught.value.retryable

    @given(st.text(max_size=12))
    def test_any_text_is_refused_or_comes_back(self, text: str) -> None:
        """Whatever the text: either it is refused, or it is the canonical form of what it says."""
        for kind in (BaseVersion, ProjectVersion):
            try:
                version = kind(text)
            except InvalidVersion:
                continue
            assert str(version) == text

    @pytest.mark.parametrize("thing", [1.2, 1, None, b"1.2", ("1", "2"), ProjectVersion("1.2.3")])
    def test_only_text(self, thing: object) -> None:
        """Nothing but text is parsed: 1.10 as a float would be 1.1."""
        with pytest.raises(TypeError, match=r"BaseVersion is made from text such as '1\.2'"):
            BaseVersion(thing)  # type: ignore[arg-type]


class TestValue:
    """A version is an immutable value."""

    @given(versions)
    def test_round_trips(self, version: Version) -> None:
        """str() gives the text that makes an equal version, and so does the constructor given a version."""
        assert type(version)(str(version)) == version
        assert type(version)(version) == version  # type: ignore[arg-type]
        assert eval(repr(version), {"BaseVersion": BaseVersion, "ProjectVersion": ProjectVersion}) == version

    @given(versions)
    def test_pickles_and_copies(self, version: Version) -> None:
        """Pickling and copying give an equal version of the same kind."""
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(version, protocol)) == version
        assert copy.copy(version) == copy.deepcopy(version) == version

    @given(nearby, nearby)
    def test_equal_means_same_kind_and_numbers(self, one: Version, other: Version) -> None:
        """Versions are equal, with equal hashes, if and only if kind and text are."""
        same = type(one) is type(other) and str(one) == str(other)
        assert (one == other) is same
        assert (one != other) is not same
        assert (hash(one) == hash(other)) or not same

    def test_cannot_be_changed(self) -> None:
        """No attribute can be set, deleted or added."""
        version = BaseVersion("1.2")
        for name in ("major", "minor", "_key", "new"):
            with pytest.raises(AttributeError, match="BaseVersion is immutable"):
                setattr(version, name, 3)
            with pytest.raises(AttributeError, match="BaseVersion is immutable"):
                delattr(version, name)
        assert str(version) == "1.2"

    def test_is_never_equal_to_its_text(self) -> None:
        """A version is not its text, so that comparing with text does not go unnoticed as an order."""
        assert BaseVersion("1.2") != "1.2"
        with pytest.raises(TypeError):
            _ = BaseVersion("1.2") < "1.3"  # type: ignore[operator]


class TestOrder:
    """Versions are ordered by their numbers, within their kind."""

    @given(st.lists(base_versions(st.integers(0, 20)), max_size=8))
    def test_bases_by_number(self, found: list[BaseVersion]) -> None:
        """X counts before Y, each as a number: 1.10 is above 1.9."""
        assert sorted(found) == sorted(found, key=lambda version: (version.major, version.minor))

    @given(st.lists(project_versions(st.integers(0, 20)), max_size=8))
    def test_projects_by_number(self, found: list[ProjectVersion]) -> None:
        """X counts before Y before Z."""
        assert sorted(found) == sorted(found, key=lambda version: (version.base, version.update))

    @given(
        base_versions(st.integers(0, 3)), base_versions(st.integers(0, 3)), base_versions(st.integers(0, 3))
    )
    def test_total(self, a: BaseVersion, b: BaseVersion, c: BaseVersion) -> None:
        """Exactly one of <, ==, > holds, <= and >= agree with them, and the order is transitive."""
        assert [a < b, a == b, a > b].count(True) == 1
        assert (a <= b) is (a < b or a == b)
        assert (a >= b) is (a > b or a == b)
        assert not (a <= b <= c) or a <= c

    def test_not_as_text(self) -> None:
        """Numbers are compared as numbers."""
        texts = ["0.1", "0.9", "0.10", "1.0", "1.2", "1.10", "2.0", "10.0"]
        assert all(one < other for one, other in pairwise(map(BaseVersion, texts)))

    @given(base_versions(), project_versions())
    def test_kinds_do_not_compare(self, base: BaseVersion, project: ProjectVersion) -> None:
        """A base and a project version are of different counts: no order, never equal."""
        assert base != project
        with pytest.raises(TypeError):
            _ = base < project  # type: ignore[operator]


class TestPydantic:
    """A version is a field of a pydantic model: text goes in, text comes out."""

    @given(base_versions(), project_versions())
    def test_round_trips_as_json(self, base: BaseVersion, project: ProjectVersion) -> None:
        """JSON holds the text, and gives the version back."""
        held = Holder(base=base, project=project)
        assert held.model_dump(mode="json") == {"base": str(base), "project": str(project)}
        assert Holder.model_validate_json(held.model_dump_json()) == held

    @pytest.mark.parametrize("value", ["v1.2", "01.2", 1.2, None, ["1", "2"]])
    def test_refuses_as_pydantic_does(self, value: object) -> None:
        """A wrong value is a ValidationError at its field, not a TypeError in the face."""
        with pytest.raises(ValidationError) as caught:
            Holder.model_validate({"base": value})
        assert caught.value.errors()[0]["loc"] == ("base",)

    def test_has_a_json_schema(self) -> None:
        """For a schema it is a string."""
        assert Holder.model_json_schema()["properties"]["base"]["type"] == "string"


class TestBump:
    """Bumping, and the kind of bump between two versions."""

    @given(base_versions(st.integers(0, 999)), st.sampled_from(Bump))
    def test_between_is_the_inverse_of_bumped(self, version: BaseVersion, bump: Bump) -> None:
        """The bump between a version and its successor is the one that made it, and the successor is above."""
        successor = version.bumped(bump)
        assert successor > version
        assert Bump.between(version, successor) is bump

    @given(project_versions(st.integers(0, 999)))
    def test_project_stays_on_its_base(self, version: ProjectVersion) -> None:
        """A project's next version is the next Z of the same base; the first is 1."""
        assert version.bumped().base == version.base
        assert version.bumped().update == version.update + 1
        assert ProjectVersion.first(version.base) == ProjectVersion(f"{version.base}.1")

    def test_no_number_after_the_last(self) -> None:
        """After nine nines there is no next number, and no silent overflow."""
        with pytest.raises(InvalidVersion):
            BaseVersion("1.999999999").bumped(Bump.MINOR)
        with pytest.raises(InvalidVersion):
            ProjectVersion("1.2.999999999").bumped()

    def test_is_its_word(self) -> None:
        """A bump is written as its word."""
        assert Bump("minor") is Bump.MINOR
        assert f"{Bump.MAJOR}" == "major"


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("1", True),
        ("01.2", True),
        ("1.2.3.4", True),
        ("20261124", True),
        ("1.2\n", False),
        ("v1", False),
        ("1.", False),
        ("", False),
    ],
)
def test_looks_like_version(text: str, looks: bool) -> None:
    """What could be taken for a version, canonical or not."""
    assert looks_like_version(text) is looks
