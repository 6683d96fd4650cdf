"""Rack, Model, Ref and Selector: the grammar of names."""

from __future__ import annotations

import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cellar_core.choose import choose
from cellar_core.parsed import Parsed
from cellar_core.ref import (
    Alias,
    Caret,
    InvalidRef,
    Latest,
    Model,
    Rack,
    Ref,
    Selector,
    Specifier,
    alias_name,
)
from cellar_core.version import BaseVersion, InvalidVersion, ProjectVersion
from tests.core.strategies import base_versions, models, names, project_versions, racks

refs = st.one_of(
    st.builds(lambda rack, version: rack.base.at(version), racks, base_versions()),
    st.builds(lambda rack, name, version: rack.project(name).at(version), racks, names, project_versions()),
)
choices = st.sampled_from(
    ["latest", "production", "^1", "^1.2", "^0.2", "~=1.2", ">=1.1,<2", "==1.2.*", "<2, >=1", "!=1.3"]
)
selectors = st.one_of(
    models.map(lambda model: Selector(str(model))),
    refs.map(lambda ref: Selector(str(ref))),
    st.builds(lambda model, choice: Selector(f"{model}@{choice}"), models, choices),
)
parsed = st.one_of(racks, models, refs, selectors)

BAD_SEGMENTS = {
    "": "is empty",
    ".": "must be 1-100 ASCII",
    "..": "must be 1-100 ASCII",
    ".hidden": "must be 1-100 ASCII",
    "-dash": "must be 1-100 ASCII",
    "_under": "must be 1-100 ASCII",
    "a b": "must be 1-100 ASCII",
    " a": "must be 1-100 ASCII",
    "a\n": "must be 1-100 ASCII",
    "a\x00": "must be 1-100 ASCII",
    "a\x1b[31m": "must be 1-100 ASCII",
    "a\\b": "must be 1-100 ASCII",
    "a:b": "must be 1-100 ASCII",
    "a*": "must be 1-100 ASCII",
    "a%2e": "must be 1-100 ASCII",
    "modèle": "must be 1-100 ASCII",
    "モデル": "must be 1-100 ASCII",
    "x" * 101: "must be 1-100 ASCII",
    "dot.": "must not end with a dot",
    "1": "looks like a version",
    "1.2": "looks like a version",
    "01.2.3": "looks like a version",
    "20261124": "looks like a version",
    "con": "is a device name on Windows",
    "NUL.txt": "is a device name on Windows",
    "com1": "is a device name on Windows",
    "Base": "is a spelling of the reserved name 'base'",
    "BASE": "is a spelling of the reserved name 'base'",
}


class TestNames:
    """Which names there are."""

    @pytest.mark.parametrize("segment", BAD_SEGMENTS)
    def test_bad_rack(self, segment: str) -> None:
        """A rack's segment that is none is refused, and the message says which and why."""
        for text in (segment, f"vit/{segment}", f"{segment}/vit"):
            with pytest.raises(InvalidRef, match=BAD_SEGMENTS[segment]) as caught:
                Rack(text)
            assert "Write it like 'vit/vit-l'" in str(caught.value)

    @pytest.mark.parametrize("segment", BAD_SEGMENTS)
    def test_bad_project(self, segment: str) -> None:
        """So is a project's."""
        with pytest.raises(InvalidRef, match=BAD_SEGMENTS[segment]):
            Model(f"vit/vit-l/{segment}")
        with pytest.raises(InvalidRef, match=BAD_SEGMENTS[segment]):
            Rack("vit").project(segment)

    @pytest.mark.parametrize("text", ["vit@l", "a@", "@", "vit/vit-l@1"])
    def test_no_at_sign(self, text: str) -> None:
        """An @ begins a choice, so no name has one."""
        for kind in (Rack, Model, Ref):
            with pytest.raises(InvalidRef):
                kind(text)

    @pytest.mark.parametrize("name", ["config.toml", "README.md", "Template.MD"])
    def test_no_project_hides_a_file_of_the_rack(self, name: str) -> None:
        """A project cannot be named like a file that a rack keeps beside its projects."""
        with pytest.raises(InvalidRef, match="is a file of the rack"):
            Model(f"vit/vit-l/{name}")

    @pytest.mark.parametrize("text", ["base", "vit/base", "base/vit", "vit/base/projectA"])
    def test_base_is_no_rack(self, text: str) -> None:
        """The base is a model of a rack, so it is no part of a rack's name."""
        with pytest.raises(InvalidRef, match="'base' is a model of a rack"):
            Rack(text)

    def test_whole_name_is_bounded(self) -> None:
        """A name is at most 500 characters long, and the message does not repeat all of them."""
        with pytest.raises(InvalidRef, match="has 505 characters, more than 500") as caught:
            Rack("/".join(["a" * 100] * 5) + "a")
        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize(
        "text", ["/vit", "vit/", "vit//vit-l", "/", "//", "../vit", "vit/../vit", "./vit"]
    )
    def test_no_path_tricks(self, text: str) -> None:
        """A name is no path: nothing leads out of the cellar."""
        for kind in (Rack, Model):
            with pytest.raises(InvalidRef):
                kind(text)

    @pytest.mark.parametrize(
        "text", ["vit", "vit-l", "gpt-oss/gpt-oss-20b", "a/b/c/d", "A_b.C-9", "9lives", "x" * 100]
    )
    def test_good_rack(self, text: str) -> None:
        """One segment or more, of letters, digits, '_', '.' and '-'."""
        assert str(Rack(text)) == text

    def test_bare_name_is_no_model(self) -> None:
        """A model names its rack."""
        with pytest.raises(InvalidRef, match="name its rack and its project"):
            Model("projectA")

    @pytest.mark.parametrize("text", ["base/1.2", "1.2", "vit", ""])
    def test_ref_has_three_parts(self, text: str) -> None:
        """A ref names rack, project and version."""
        with pytest.raises(InvalidRef, match="write rack, project and version"):
            Ref(text)

    @pytest.mark.parametrize(
        "text", ["vit/base/1", "vit/base/1.2.3", "vit/base/v1.2", "vit/projectA/1.2", "vit/projectA/1.2.0"]
    )
    def test_version_fits_the_model(self, text: str) -> None:
        """A base has versions X.Y and a project X.Y.Z; the error is the one of versions."""
        with pytest.raises(InvalidVersion):
            Ref(text)


class TestParts:
    """What a name is made of."""

    @given(racks, names, project_versions())
    def test_ref_splits_at_its_last_two_segments(
        self, rack: Rack, name: str, version: ProjectVersion
    ) -> None:
        """A full ref splits at its last two segments, whatever the depth of the rack."""
        ref = Ref(f"{rack}/{name}/{version}")
        assert (ref.rack, ref.project, ref.version) == (rack, name, version)
        assert ref.model == rack.project(name)
        assert ref.base == Ref(f"{rack}/base/{version.base}")
        assert ref == ref.model.at(version) == ref.model.at(str(version))

    @given(racks, base_versions())
    def test_base_is_its_own_base(self, rack: Rack, version: BaseVersion) -> None:
        """The base of a base is itself."""
        ref = rack.base.at(version)
        assert ref.model.is_base
        assert ref.base == ref

    def test_parents(self) -> None:
        """The racks above a rack, nearest first."""
        assert Rack("a/b/c").parents == (Rack("a/b"), Rack("a"))
        assert Rack("a").parents == ()

    def test_model_parses_its_versions(self) -> None:
        """A model knows which kind of version it has."""
        assert Model("vit/base").version("1.2") == BaseVersion("1.2")
        assert Model("vit/projectA").version("1.2.3") == ProjectVersion("1.2.3")


class Holder(BaseModel):
    rack: Rack
    ref: Ref
    selector: Selector


class TestValue:
    """Names are values, as versions are."""

    @given(parsed)
    def test_round_trips(self, value: Parsed) -> None:
        """Text, pickle and constructor give an equal value with an equal hash."""
        for twin in (type(value)(str(value)), pickle.loads(pickle.dumps(value)), type(value)(value)):
            assert twin == value
            assert hash(twin) == hash(value)
            assert str(twin) == str(value)

    @given(st.lists(refs, max_size=6))
    def test_refs_have_an_order(self, found: list[Ref]) -> None:
        """Refs can be sorted: by rack, project, and version as a number."""
        ordered = sorted(found)
        assert all((one.rack, one.project) <= (other.rack, other.project) for one, other in pairwise(ordered))

    def test_cannot_be_changed(self) -> None:
        """No attribute can be set."""
        for value in (Rack("vit"), Model("vit/base"), Ref("vit/base/1.2"), Selector("vit/base")):
            with pytest.raises(AttributeError, match="is immutable"):
                value._key = ()

    @given(racks, refs)
    def test_is_a_pydantic_field(self, rack: Rack, ref: Ref) -> None:
        """JSON holds the text, and gives the value back."""
        held = Holder(rack=rack, ref=ref, selector=Selector(str(ref)))
        assert held.model_dump(mode="json") == {"rack": str(rack), "ref": str(ref), "selector": str(ref)}
        assert Holder.model_validate_json(held.model_dump_json()) == held

    def test_wrong_field_is_a_validation_error(self) -> None:
        """Pydantic names the field; nothing else escapes."""
        with pytest.raises(ValidationError) as caught:
            Holder.model_validate({"rack": "../x", "ref": 3, "selector": "vit/base@"})
        assert [error["loc"] for error in caught.value.errors()] == [("rack",), ("ref",), ("selector",)]


class TestSelector:
    """What may stand after the @."""

    @pytest.mark.parametrize(
        ("text", "choice"),
        [
            ("vit/projectA", Latest()),
            ("vit/projectA@latest", Latest()),
            ("vit/projectA@production", Alias("production")),
            ("vit/projectA@rc-1", Alias("rc-1")),
            ("vit/projectA/1.2.3", ProjectVersion("1.2.3")),
            ("vit/projectA@1.2.3", ProjectVersion("1.2.3")),
            ("vit/base/1.2", BaseVersion("1.2")),
            ("vit/base@1.2", BaseVersion("1.2")),
            ("vit/projectA@^1", Caret((1,))),
            ("vit/projectA@^1.2", Caret((1, 2))),
            ("vit/projectA@^1.2.3", Caret((1, 2, 3))),
            ("vit/base@^0.2", Caret((0, 2))),
            ("vit/projectA@~=1.2", Specifier("~=1.2")),
            ("vit/projectA@>=1.1,<2", Specifier("<2,>=1.1")),
            ("vit/projectA@==1.2.*", Specifier("==1.2.*")),
            ("vit/projectA@ >= 1.1 ", Specifier(">=1.1")),
        ],
    )
    def test_choices(self, text: str, choice: object) -> None:
        """Exact, latest, an alias, a caret, or a PEP 440 specifier set."""
        assert Selector(text).choice == choice
        assert Selector(text).model == Model(
            text.partition("@")[0].removesuffix("/1.2.3").removesuffix("/1.2")
        )

    @pytest.mark.parametrize(
        "choice",
        ["", " ", "V1", "Production", "a b", ">=", "1.2 - 1.4", "~>1.2", "=1.2", "@latest", "a@b", "../x"],
    )
    def test_no_choice(self, choice: str) -> None:
        """Anything else is refused, and the message lists what may stand there."""
        with pytest.raises(InvalidRef, match=r"after '@' write latest, an alias such as production, \^1\.2"):
            Selector(f"vit/projectA@{choice}")

    @pytest.mark.parametrize(
        "choice", ["^", "^x", "^01", "^1.", "^1.2.3.4", "^-1", "^1.02", "^1 ", "^1234567890"]
    )
    def test_no_caret(self, choice: str) -> None:
        """A caret takes canonical numbers."""
        with pytest.raises(InvalidRef, match=r"is no selector: write \^X or \^X\.Y"):
            Selector(f"vit/projectA@{choice}")

    def test_caret_of_a_base_has_two_numbers(self) -> None:
        """A base has no Z to begin with."""
        with pytest.raises(InvalidRef, match=r"write \^X or \^X\.Y"):
            Selector("vit/base@^1.2.3")

    def test_caret_zero_is_ambiguous(self) -> None:
        """^0 would promise what 0.Y does not."""
        with pytest.raises(InvalidRef, match=r"Write \^0\.Y, such as \^0\.2"):
            Selector("vit/base@^0")

    @pytest.mark.parametrize(
        "text", ["vit/projectA@1.2", "vit/projectA@1", "vit/base@1", "vit/base@1.2.3", "vit/projectA@1.2.0"]
    )
    def test_part_of_a_version_is_ambiguous(self, text: str) -> None:
        """Half a version is neither exact nor a range: the message offers both."""
        given = text.partition("@")[2]
        with pytest.raises(InvalidRef, match="is ambiguous") as caught:
            Selector(text)
        for offered in (f"@^{given}", f"@~={given}", f"@=={given}.*"):
            assert offered in str(caught.value)

    @pytest.mark.parametrize("text", ["vit/projectA/1.2", "vit/projectA/01.2.3", "vit/base/1"])
    def test_what_looks_like_a_version_is_one(self, text: str) -> None:
        """A last segment that looks like a version is never taken for a project's name."""
        with pytest.raises(InvalidVersion):
            Selector(text)

    @given(selectors, st.lists(project_versions(st.integers(0, 3)), min_size=1, max_size=5))
    def test_its_text_chooses_the_same(self, selector: Selector, found: list[ProjectVersion]) -> None:
        """Written and read again, a selector means the same version."""
        twin = Selector(str(selector))
        try:
            chosen = choose(selector, found)
        except LookupError:
            with pytest.raises(LookupError):
                choose(twin, found)
        else:
            assert choose(twin, found) == chosen


@pytest.mark.parametrize(
    "name", ["latest", "", "Production", "1.2", "a b", "-a", "a_b", "a/b", "../a", "a\n", "é"]
)
def test_bad_alias(name: str) -> None:
    """An alias has lower-case letters, digits and dashes, and does not hide ``latest``."""
    with pytest.raises(InvalidRef, match="is no alias: write lower-case letters"):
        alias_name(name)


@pytest.mark.parametrize("name", ["production", "rc-1", "a"])
def test_good_alias(name: str) -> None:
    """A good alias comes back as it is."""
    assert alias_name(name) == name
