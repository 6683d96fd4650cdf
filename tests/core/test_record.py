"""What is stored: small JSON, true to fields it does not know, told from tombstones by size."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar_core import Recipe, Record
from cellar_core.digest import algorithm, canonical, digest_json, digest_stream
from cellar_core.record import RECORD_LEAST, TOMBSTONE_MOST, Claim, FileEntry, tombstone, tree_digest
from tests.core.strategies import json_values, recipes

DIGEST = "blake3:" + "0" * 64


def record(**facts: object) -> Record:
    """The smallest record, with some facts of its own."""
    least = {"ref": "a/base/0.1", "kind": "base", "identity": DIGEST, "tree": DIGEST, "files": []}
    return Record.model_validate({**least, **facts})


@given(recipes, st.text(max_size=20), st.dictionaries(st.text(max_size=5), json_values, max_size=3))
def test_record_round_trips(recipe: Recipe, notes: str, metrics: dict[str, object]) -> None:
    """A record read back is the record that was written, byte for byte."""
    one = record(recipe=recipe, notes=notes, metrics=metrics)
    again = Record.from_bytes(one.to_bytes(), "key")
    assert again == one
    assert again.to_bytes() == one.to_bytes()


def test_sizes_tell_them_apart() -> None:
    """A record is never as short as a tombstone is at most."""
    assert len(record().to_bytes()) >= RECORD_LEAST > TOMBSTONE_MOST >= len(tombstone())
    assert tombstone() != tombstone()  # each caller knows its own


def test_padding_is_json() -> None:
    """Another tool can read a record that was padded."""
    data = record(created_by="", nonce="").to_bytes()
    assert json.loads(data)["schema"] == 1


def test_claims_differ() -> None:
    """Two claims of one identity are told apart by their nonce: a lost answer is not a lost race."""
    assert Claim(identity="x").to_bytes() != Claim(identity="x").to_bytes()


def test_recipe_facts() -> None:
    """What is left at its default is not said, and so does not count; further fields do."""
    assert Recipe(code=None, data=(), parameters={}).facts() == {}
    assert Recipe.model_validate({"seed": 1, "optimizer": "adam"}).facts() == {"seed": 1, "optimizer": "adam"}


@pytest.mark.parametrize("path", ["a", "a/b", ".hidden", "a/..b", "..."])
def test_good_file_paths(path: str) -> None:
    """A path below the version's directory."""
    assert FileEntry(path=path, size=0, digest=DIGEST).path == path


@given(st.dictionaries(st.from_regex(r"[a-c](/[a-c])?", fullmatch=True), st.integers(0, 9), max_size=4))
def test_tree_digest(files: dict[str, int]) -> None:
    """A tree's digest does not depend on the order of its files, and on everything else."""
    entries = tuple(FileEntry(path=path, size=size, digest=DIGEST) for path, size in files.items())
    assert tree_digest(entries) == tree_digest(entries[::-1])
    for index, entry in enumerate(entries):
        for changed in ({"size": entry.size + 1}, {"path": entry.path + "x"}, {"digest": DIGEST[:-1] + "1"}):
            other = (*entries[:index], entry.model_copy(update=changed), *entries[index + 1 :])
            assert tree_digest(other) != tree_digest(entries)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_canonical(value: dict[str, object]) -> None:
    """Equal values have equal bytes, whatever the order of their keys, and the bytes are JSON."""
    assert canonical(dict(reversed(value.items()))) == canonical(value)
    assert json.loads(canonical(value)) == value


def test_parts_do_not_run_together() -> None:
    """Digests of several parts tell where each ends."""
    assert digest_json("a", "bc") != digest_json("ab", "c")
    assert digest_json("a", None) != digest_json("a")
    assert digest_json(1) != digest_json("1")


@given(st.binary(max_size=100), st.integers(1, 20))
def test_pieces_do_not_count(data: bytes, size: int) -> None:
    """A stream's digest does not depend on how it is cut."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    for name in ("blake3", "sha256"):
        assert digest_stream(pieces, name) == digest_stream([data], name)
        assert algorithm(digest_stream(pieces, name)) == name


@pytest.mark.parametrize(
    "digest", ["", "md5:" + "0" * 32, "blake3:" + "0" * 63, "blake3:" + "G" * 64, DIGEST + "\n"]
)
def test_no_digest(digest: str) -> None:
    """A digest names an algorithm that we know, and has 64 digits."""
    with pytest.raises(ValueError, match="is no digest: expected blake3: or sha256:"):
        algorithm(digest)
