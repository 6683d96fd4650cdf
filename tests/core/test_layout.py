"""Keys: each thing has its own place, and the places that are read back mean what they were made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar_core import layout
from cellar_core.line import Line
from cellar_core.ref import Model, Rack, Ref
from cellar_core.version import BaseVersion, ProjectVersion
from tests.core.strategies import base_versions, names, project_versions, racks, small

refs = st.one_of(
    st.builds(lambda rack, version: rack.base.at(version), racks, base_versions()),
    st.builds(lambda rack, name, version: rack.project(name).at(version), racks, names, project_versions()),
)
entries = st.integers(1, 999_999)


@given(refs, entries)
def test_records_round_trip(ref: Ref, number: int) -> None:
    """A record's key, and those of its yanks beside its base's, tell their ref."""
    assert layout.parse_record(layout.record(ref)) == (ref, 0)
    directory, _, name = layout.record(ref).rpartition("/")
    assert layout.parse_records(directory) == ref.model
    assert layout.parse_version(ref.model, name) == ref.version
    assert layout.parse_records(layout.yank_log(ref).removesuffix("/")) is None
    assert layout.parse_record(layout.entry(layout.yank_log(ref), number)) == (ref, number)
    for prefix in map(layout.records, (ref.model, ref.rack, None)):
        assert layout.record(ref).startswith(prefix)
    for prefix in (layout.yanks(ref.base), *map(layout.records, (ref.rack.base, ref.rack, None))):
        assert layout.yank_log(ref).startswith(prefix)


@given(refs)
def test_claims_round_trip(ref: Ref) -> None:
    """A claim's key tells its ref, and begins with the prefixes of its line, model and rack."""
    assert layout.parse_claim(layout.claim(ref)) == ref
    for prefix in map(layout.claims, (Line.of(ref), ref.model, ref.rack, None)):
        assert layout.claim(ref).startswith(prefix)


@given(racks)
def test_racks_round_trip(rack: Rack) -> None:
    """A rack's marker tells its rack."""
    assert layout.parse_rack(layout.rack(rack)) == rack


@given(racks, names, base_versions(), entries)
def test_logs_round_trip(rack: Rack, name: str, base: BaseVersion, number: int) -> None:
    """The keys of rebuild logs and approvals tell what they are of."""
    model = rack.project(name)
    key = layout.entry(layout.rebuild_log(model, base), number)
    assert layout.parse_rebuild(key) == (model, base, number)
    assert key.startswith(layout.rebuild_logs(rack))
    for project in (name, "base"):
        key = layout.entry(layout.approval_log(rack, project, base), number)
        assert layout.parse_approval(key, rack) == (project, base)
        assert key.startswith(layout.rebuild_logs(rack))
    assert layout.entry_number(key) == number


@given(project_versions(small), project_versions(small))
def test_line_is_a_prefix(one: ProjectVersion, other: ProjectVersion) -> None:
    """A line's prefix finds its own versions and no other's: 1.2. is not 1.20."""
    line = Line.on(Model("vit/projectA"), one.base)
    found = layout.claim(Ref(f"vit/projectA/{other}")).startswith(layout.claims(line))
    assert found is (one.base == other.base) is (line.number(other) is not None)


@given(refs, refs)
def test_each_ref_has_its_own_keys(one: Ref, other: Ref) -> None:
    """No two refs share a key, nor does any key lie below another."""
    keys = [{layout.record(ref), layout.claim(ref)} for ref in (one, other)]
    assert (one == other) or keys[0].isdisjoint(keys[1])
    assert not any(a != b and f"{b}".startswith(f"{a}/") for a in keys[0] for b in keys[1])


@pytest.mark.parametrize(
    "key",
    [
        "vit/projectA/1.2.3",
        "vit/projectA/1.2.3.json.bak",
        "vit/projectA/.DS_Store",
        "vit/projectA/01.2.3.json",
        "1.2.json",
        "vit/base/1.2.yank/projectA/1.3.1/000001.json",
        "vit/base/1.2.yank/projectA/1.2/000001.json",
        "vit/base/1.2.yank/000001.json",
        "",
    ],
)
def test_foreign_keys(key: str) -> None:
    """A file that is none of ours is nobody's record, claim, rack or log entry."""
    assert layout.parse_record(f".cellar/records/{key}") is None
    directory, _, name = f".cellar/records/{key}".rpartition("/")
    model = layout.parse_records(directory)
    assert model is None or layout.parse_version(model, name) is None
    assert layout.parse_claim(f".cellar/claims/{key}") is None
    assert layout.parse_rack(f".cellar/racks/{key}") is None
    assert layout.parse_rebuild(f".cellar/rebuilds/{key}") is None
    assert layout.parse_approval(f".cellar/rebuilds/vit/{key}", Rack("vit")) is None


def test_spec_tree() -> None:
    """The payload lies where SPEC has it, and the rack's rules where ml-cellar has them."""
    assert layout.payload(Ref("vit/vit-l/projectA/1.2.3")) == "vit/vit-l/projectA/1.2.3/"
    assert layout.payload(Rack("vit/vit-l")) == "vit/vit-l/"
    assert layout.payload(None) == ""
    assert layout.config(Rack("vit/vit-l")) == "vit/vit-l/config.toml"


def test_names_fold() -> None:
    """Two spellings of one name have one place."""
    assert layout.name(Model("vit/ProjectA")) == layout.name(Model("VIT/projecta"))
