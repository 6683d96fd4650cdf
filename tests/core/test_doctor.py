"""Examining a cellar: each thing that can be wrong is told, with the next step, and nothing healthy is."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cellar_core import Cellar, Model, Ref, layout
from cellar_core.digest import digest_json
from cellar_core.gc import PATIENCE
from cellar_core.record import Claim
from cellar_core.register import Registrar
from cellar_core.store import MemoryStore, Store
from tests.core.helpers import Bench, Watched, caller, snapshot

BASE = Model("vit/vit-l/base")
CHECKS = ["cellar", "exclusive create", "listing", "rules", "records", "uploads"]


def problems(cellar: Cellar) -> dict[str, list[str]]:
    """What is wrong, by check; every check was made."""
    found = cellar.doctor()
    assert list(dict.fromkeys(finding.check for finding in found.findings)) == CHECKS
    wrong: dict[str, list[str]] = {}
    for finding in found.findings:
        if not finding.ok:
            wrong.setdefault(finding.check, []).append(finding.detail)
    assert found.ok is not bool(wrong)
    return wrong


def replace(store: Store, key: str, data: bytes) -> None:
    """Damage an object, as no caller of ours can."""
    store.delete(key)
    store.create(key, data)


class Forgetful(Watched):
    """A store that lists what it has listed before, until it creates something itself: a client that caches."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._known: dict[str, Mapping[str, int]] = {}

    def create(self, key: str, data: bytes) -> bool:
        self._known.clear()
        return super().create(key, data)

    def find(self, prefix: str) -> Mapping[str, int]:
        return self._known.setdefault(prefix, super().find(prefix))


class TestHealthy:
    """Nothing to do."""

    def test_whatever_is_in_it(self, bench: Bench, disk: Cellar) -> None:
        """Empty, or with versions, void and skipped numbers."""
        assert problems(disk) == {}
        bench.base("one", version="1.3")
        bench.project(f"{BASE}/1.3")
        bench.cellar.store.create(
            layout.claim(BASE.at("1.4")), Claim(identity=digest_json("gone")).to_bytes()
        )
        bench.cellar.gc(void=[BASE.at("1.4")])
        assert problems(bench.cellar) == {}
        assert "versions: 2, void numbers: 1" in [one.detail for one in bench.cellar.doctor().findings]

    def test_an_upload_that_goes_on(self, bench: Bench) -> None:
        """Somebody registers at this moment: it is told, and is no problem."""
        bench.base("one", version="1.0")
        told: list[str] = []

        def look() -> None:
            assert problems(bench.cellar) == {}
            told.extend(finding.detail for finding in bench.cellar.doctor().findings)

        living = caller(bench.cellar, Watched(bench.cellar.store, ("create", "/records/"), look))
        living.register_base("vit/vit-l", bench.files("two"), bump="minor")
        assert any(detail.startswith(f"{BASE}/1.1 is being registered by ") for detail in told)

    def test_changes_nothing(self, bench: Bench) -> None:
        """But for what it races for."""
        bench.base("one", version="1.0")
        before = snapshot(bench.cellar)
        bench.cellar.doctor()
        after = snapshot(bench.cellar)
        assert {key: after[key] for key in before} == before
        assert all(key.startswith(f"{layout.ROOT}/probe/") for key in after.keys() - before.keys())


class TestNoCellar:
    """Where there is no cellar, nothing more is looked at."""

    def wrong(self, cellar: Cellar) -> str:
        """The only finding."""
        [finding] = cellar.doctor().findings
        assert (finding.check, finding.ok) == ("cellar", False)
        return finding.detail

    def test_nothing_there(self, tmp_path: Path) -> None:
        """The next step is to make one."""
        assert "make one with: cellar init" in self.wrong(Cellar(tmp_path / "nowhere"))
        assert not (tmp_path / "nowhere").exists()

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (
                json.dumps({"schema": 1, "layout": 2, "cellar": "x"}),
                "has layout 2, this release knows 1; upgrade",
            ),
            ("{}", "restore it from a backup"),
        ],
    )
    def test_another_layout(self, bench: Bench, data: str, told: str) -> None:
        """A newer release has changed it, or it is damaged; also if this object has read it before."""
        assert bench.cellar.id
        replace(bench.cellar.store, layout.entry(layout.FORMAT, 1), data.encode())
        assert told in self.wrong(bench.cellar)

    def test_not_reached(self, tmp_path: Path) -> None:
        """What stands in the way is named."""
        (tmp_path / "file").write_text("no directory")
        assert str(tmp_path / "file") in self.wrong(Cellar(tmp_path / "file"))


class TestStore:
    """Only stores that keep promises."""

    def test_two_winners(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """A store that ignores the condition: it says how many won, and the rest is looked at all the same."""

        def create(store: MemoryStore, key: str, data: bytes) -> bool:
            store._fs.pipe_file(store._path(key), data)
            return True

        monkeypatch.setattr(MemoryStore, "create", create)
        [[problem]] = problems(bench.cellar).values()
        assert "lets 8 of 8 callers create one object" in problem
        assert "conditional writes" in problem

    def test_stale_listing(self, bench: Bench) -> None:
        """A client that caches listings does not see what another has just written."""
        bench.cellar._store = Forgetful(bench.cellar.store)
        wrong = problems(bench.cellar)
        assert "does not list at once what another client has written" in wrong["listing"][0]

    def test_init_races_only_for_a_new_cellar(self, bench: Bench) -> None:
        """A cellar that is there is found without a race; a new one is made after it."""
        Cellar.init(bench.cellar.url)
        assert [*bench.cellar.store.find(f"{layout.ROOT}/probe/")] == []
        made = Cellar.init(f"memory://{uuid.uuid4().hex}")
        assert [*made.store.find(f"{layout.ROOT}/probe/")] != []


class TestContents:
    """What somebody should do."""

    def test_rules(self, bench: Bench) -> None:
        """A config.toml that cannot be read is named; those of the other racks are not."""
        for rack in ("vit/vit-l", "vit/vit-m", "vit/vit-s"):
            bench.cellar.create_rack(rack)
        bench.configure("[rebuild]\non_minor = 3", "vit/vit-m")
        bench.configure("what", "vit/vit-s")
        first, second = problems(bench.cellar)["rules"]
        assert first.startswith("vit/vit-m/config.toml: rebuild.on_minor")
        assert second.startswith("vit/vit-s/config.toml")
        assert "racks whose config.toml can be read: 1" in [
            one.detail for one in bench.cellar.doctor().findings
        ]

    @pytest.mark.parametrize("size", [0, 65, 255])
    def test_damaged_record(self, bench: Bench, size: int) -> None:
        """A record that is no longer whole is found by its size."""
        key = layout.record(Ref(bench.base("one", version="1.0")))
        replace(bench.cellar.store, key, (bench.cellar.store.read(key) or b"")[:size])
        assert problems(bench.cellar)["records"] == [
            f"{key} was cut short, to {size} bytes; restore it from a backup"
        ]

    def test_copy_without_claims(self, bench: Bench) -> None:
        """A cellar that was copied without its claims would give numbers twice."""
        ref = Ref(bench.base("one", version="1.0"))
        bench.base("two")
        bench.cellar.store.delete(layout.claim(ref))
        [problem] = problems(bench.cellar)["records"]
        assert problem.startswith(f"1 records have no claim ({ref})")
        assert ".cellar/claims/" in problem

    def test_abandoned_upload(self, bench: Bench) -> None:
        """Begun more than a day ago and not finished: it names who, and what to do; so does gc, after two looks."""
        bench.base("one", version="1.0")
        ref, then = BASE.at("1.1"), datetime.now(UTC) - PATIENCE - timedelta(hours=1)
        claim = Claim(identity=digest_json("gone"), by="kim@gpu7", at=then)
        bench.cellar.store.create(layout.claim(ref), claim.to_bytes())
        [problem] = problems(bench.cellar)["uploads"]
        assert problem.startswith(f"kim@gpu7 began to register {ref} on {then:%Y-%m-%d}")
        assert f"cellar gc --now {ref}" in problem
        bench.cellar.gc(now=then)
        assert problems(bench.cellar)["uploads"] == [
            f"{ref} was given up: nothing has moved there for 24 h; void it: cellar gc"
        ]
        bench.cellar.gc()
        assert problems(bench.cellar) == {}

    def test_leftovers(self, bench: Bench) -> None:
        """Files at a void number are found, and gone after the next step."""
        ref = Ref(bench.base("one", version="1.0")).model.at("1.1")
        assert Registrar(bench.cellar.store).void(ref) is None
        bench.cellar.store.create(f"{ref}/late.bin", b"late")
        [problem] = problems(bench.cellar)["uploads"]
        assert f"files that belong to no version are left at {ref}; delete them: cellar gc" in problem
        bench.cellar.gc()
        assert problems(bench.cellar) == {}

    def test_unreadable_claim(self, bench: Bench) -> None:
        """Damage of a claim is named."""
        bench.cellar.store.create(layout.claim(BASE.at("1.1")), b"{}")
        [problem] = problems(bench.cellar)["uploads"]
        assert problem.startswith(layout.claim(BASE.at("1.1")))
