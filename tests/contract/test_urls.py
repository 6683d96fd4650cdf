"""Which URLs a cellar can be at, and what they need."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from cellar_core.store import UnknownStore, open_store


class TestUrls:
    """Which URLs a cellar can be at."""

    def test_path_and_url_are_the_same_place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A path, a relative path, a home path and a file URL name one directory."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        place = tmp_path / "a cellar"
        for url in (
            str(place),
            "a cellar",
            "./a cellar",
            "~/a cellar",
            place.as_uri(),
            f"file://{place}",
            f"local://{place}",
        ):
            assert open_store(url).url == place.as_uri()

    def test_stays_when_the_directory_changes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative path is made absolute at once."""
        monkeypatch.chdir(tmp_path)
        store = open_store("cellar")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.create("a", b"x")
        assert (tmp_path / "cellar/a").read_bytes() == b"x"

    @pytest.mark.parametrize("url", ["ftp://host/cellar", "http://host/cellar", "github://x", "S9://bucket"])
    def test_unknown_kind(self, url: str) -> None:
        """A kind of URL that has no exclusive create is refused, and the message names what can be used."""
        with pytest.raises(UnknownStore, match=r"a cellar can be on a path, file://, .*s3://"):
            open_store(url)

    @pytest.mark.parametrize("url", ["file://cellar", "file://host/srv/cellar"])
    def test_a_host_in_a_file_url(self, url: str) -> None:
        """Two slashes where three were meant would silently name another directory."""
        with pytest.raises(UnknownStore, match="write file:///"):
            open_store(url)

    @pytest.mark.parametrize("url", ["memory://", "memory:///", "memory://a", "memory://a/b", "memory:///a/"])
    def test_memory_urls_round_trip(self, url: str) -> None:
        """A store's URL opens the same store again."""
        key = f"{uuid.uuid4().hex}.json"
        open_store(url).create(key, b"data")
        assert open_store(open_store(url).url).read(key) == b"data"
        open_store(url).delete(key)

    def test_options_that_nobody_takes(self, tmp_path: Path) -> None:
        """Options that a store does not know are told, not ignored."""
        with pytest.raises(UnknownStore, match="takes no storage options; leave out: key"):
            open_store(str(tmp_path), {"key": "x"})
