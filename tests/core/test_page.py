"""Racks as HTML: what the pages say, that they need nothing else, and that what others wrote stays text."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from cellar_core import Cellar, page
from cellar_core.layout import record
from cellar_core.ref import Rack, Ref
from cellar_core.report import VersionReport, overview, read
from cellar_core.words import printable
from tests.core.helpers import Bench

RACK = "vit/vit-l"
HOSTILE = '</title></style><script>alert(1)</script><img src=x onerror=\'a()\'> " onclick="b()" {{ 7*7 }} \x1b[2J\u202e'
VOID = {"meta", "br", "polyline", "circle", "img", "link", "input"}


class Page(HTMLParser):
    """A page as a browser takes it: its elements, its text, and whether all that is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & {*self._open}:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All of its text, in one line."""
        return " ".join(" ".join(self.texts).split())

    def all(self, attribute: str) -> list[str]:
        """The values of an attribute, of whatever element."""
        return [value for _, attrs in self.elements if (value := attrs.get(attribute))]


def links(rack: Rack | None) -> str:
    return f"?rack={rack}" if rack else "?"


def shown(cellar: Cellar) -> Page:
    return Page(page.rack(read(cellar, RACK), links=links))


def test_a_rack_without_versions_says_what_to_do(bench: Bench) -> None:
    bench.cellar.create_rack(RACK)
    text = shown(bench.cellar).text
    assert "No base yet, 0 projects" in text
    assert f"cellar register {RACK} DIR --bump major" in text


def test_a_page_says_what_is_stale_and_why_and_all_about_each_version(bench: Bench) -> None:
    old = bench.base(bump="major", metrics={"accuracy": 0.91}, notes="first\nsecond line")
    a = bench.project(old, metrics={"accuracy": 0.8}, recipe={"data": ["s3://data/a"]})
    new = bench.base(metrics={"accuracy": 0.95})
    a2 = bench.project(new, metrics={"accuracy": 0.88})
    bench.project(old, name="projectB")
    bench.cellar.alias(f"{RACK}/projectA", "production", "1.0.1")
    bench.cellar.yank(bench.base(), "bad data")
    found, decided = shown(bench.cellar), bench.cellar.plan(RACK)
    assert "Newest base 1.1, 2 projects, 1 stale" in found.text
    for one in (*decided.rebuilds, *decided.skips):
        assert one.sentence in found.text
    assert "accuracy 0.8 → 0.88" in found.text
    assert "accuracy over 2 versions: from 0.8 to 0.88, lowest 0.8, highest 0.88" in found.text
    assert "+0.08" in found.text
    assert "production" in found.text
    assert "yanked" in found.text
    for ref in (old, a, new, a2):
        told = bench.cellar.resolve(ref)
        assert page.anchor(Ref(ref)) in found.all("id")
        assert told.tree in found.text
        assert told.created_by in found.text
        assert told.files[0].digest in found.text
    assert '["s3://data/a"]' in found.text


def spine(html: str) -> dict[str, dict[str, str]]:
    """What is drawn: by base, its branches, each with what it says."""
    drawn = {}
    for one in html[html.index('id="_spine"') : html.index('id="_versions"')].split('<li class="base')[1:]:
        [base] = re.findall(r'href="#base/([\d.]+)"', one)
        branches = re.findall(r'<li data-model="([^"]+)".*?</li>', one, re.DOTALL)
        texts = [Page(found).text for found in re.findall(r"<li data-model.*?</li>", one, re.DOTALL)]
        drawn[base] = dict(zip(branches, texts, strict=True))
    return drawn


def test_projects_hang_from_their_bases_and_it_says_what_is_stale_and_why(bench: Bench) -> None:
    old = bench.base(bump="major")
    bench.project(old)
    bench.project(old)
    bench.project(old, name="projectB")
    bench.project(bench.base(), name="projectB")
    bench.base(bump="major")
    bench.configure("[rebuild]\non_major = 'approve'\n[projects.projectC]\n[projects.projectB]\ntrack = '^1'")
    sentences = {one.model.project: one.sentence for one in bench.cellar.plan(RACK).rebuilds}
    assert list(sentences) == ["projectA", "projectC"]
    assert spine(page.rack(read(bench.cellar, RACK))) == {
        "1.0": {
            "projectA": "projectA 1.0.2 (current, stale) 1.0.1",
            "projectB": "projectB 1.0.1",
        },
        "1.1": {
            "projectA": f"projectA to be rebuilt {sentences['projectA']}",
            "projectB": "projectB 1.1.1 (current)",
        },
        "2.0": {"projectC": f"projectC to be rebuilt {sentences['projectC']}"},
    }


def test_what_waits_for_an_approval_says_so_where_it_stands(bench: Bench) -> None:
    bench.project(bench.base(bump="major"))
    bench.base(bump="major")
    [waits] = bench.cellar.plan(RACK).skips
    said = f"projectA 1.0.1 (current, stale) awaiting approval {waits.sentence}"
    assert spine(page.rack(read(bench.cellar, RACK))) == {"1.0": {"projectA": said}, "2.0": {}}


def test_a_hold_is_told_also_while_it_keeps_nothing_back(bench: Bench) -> None:
    bench.project(bench.base(bump="major"))
    bench.configure("[projects.projectA]\nhold = { reason = 'audit', owner = 'kim' }")
    text = shown(bench.cellar).text
    assert "up to date stands on base 1.0, the newest it follows held audit, by kim" in text
    bench.configure("[projects.projectA]\nhold = { reason = 'audit', until = 2020-01-01 }")
    assert "audit" not in shown(bench.cellar).text


def test_what_is_many_is_folded_and_still_there(bench: Bench) -> None:
    base, many = bench.base(bump="major"), page.OPEN_MOST + 3
    for _ in range(many):
        bench.project(base)
    found = shown(bench.cellar)
    assert "3 earlier versions" in found.text
    assert f"and {many - page.OPEN_MOST} earlier" in found.text
    assert [one for one in found.all("id") if one.startswith("projectA/1")] == [
        f"projectA/1.0.{number}" for number in range(many, 0, -1)
    ]


def test_a_version_whose_record_was_not_read_is_there_by_name(bench: Bench) -> None:
    base = bench.base(bump="major", notes="of the base")
    for number in range(3):
        bench.project(base, notes=f"note {number}")
    bench.cellar.alias(f"{RACK}/projectA", "production", "1.0.1")
    found = Page(page.rack(read(bench.cellar, RACK, most=3)))
    assert [note in found.text for note in ("of the base", "note 0", "note 1", "note 2")] == [
        True,
        True,
        False,
        True,
    ]
    assert f"not read for this page Ask for it: cellar show {RACK}/projectA/1.0.2" in found.text


def test_numbers_of_any_size_are_shown_and_those_that_can_be_are_drawn(bench: Bench) -> None:
    base = bench.base(bump="major")
    for value in (-1.7e308, 10**400, 1.7e308):
        bench.project(base, metrics={"a": value, "b": 10**400})
    html = page.rack(read(bench.cellar, RACK))
    assert "a over 2 versions: from -1.7e+308 to 1.7e+308" in Page(html).text
    assert "1e+400" in html
    points = re.findall(r'points="([^"]*)"', html)
    assert points
    assert set(points) == {"4.0,22.0 96.0,4.0 "}


def test_a_plot_shows_the_newest_values(bench: Bench) -> None:
    versions = [
        VersionReport(
            ref=Ref(f"{RACK}/base/1.{number}"), base=None, aliases=(), yanked=False, metrics=metrics
        )
        for number, metrics in enumerate([{"a": number} for number in range(page.PLOTTED_MOST + 5)])
    ]
    [trend] = page.Trend.of(versions)
    assert trend.values == list(range(5, page.PLOTTED_MOST + 5))


def test_headings_have_no_gap_and_tables_say_what_their_heads_are_of(bench: Bench) -> None:
    for html in pages(bench).values():
        found = Page(html)
        tags = [tag for tag, _ in found.elements]
        levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert tags.count("main") == 1
        assert {attrs.get("scope") for tag, attrs in found.elements if tag == "th"} <= {"col", "row"}
        [attrs] = [attrs for tag, attrs in found.elements if tag == "html"]
        assert attrs == {"lang": "en"}


def test_every_link_leads_somewhere(bench: Bench) -> None:
    base = bench.base(bump="major")
    bench.project(base)
    bench.project(base, name="projectB")
    bench.cellar.yank(bench.project(base, name="projectC"), "bad data")
    found = shown(bench.cellar)
    ids = found.all("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in found.all("href") if link.startswith("#")} <= set(ids)
    assert {link for link in found.all("href") if not link.startswith("#")} == {"?"}
    assert set(found.all("aria-labelledby")) <= set(ids)


def test_projects_that_need_a_look_come_first(bench: Bench) -> None:
    bench.project(bench.base(bump="major"), name="late")
    bench.project(bench.base(), name="again")
    assert re.findall(r'<th scope="row"><a href="#(\w+)">', page.rack(read(bench.cellar, RACK))) == [
        "late",
        "again",
    ]


def test_a_record_that_cannot_be_read_is_an_error_of_its_version_only(bench: Bench) -> None:
    bad = bench.base(bump="major")
    bench.project(bad)
    store: Any = bench.cellar.store
    store._fs.pipe_file(store._path(record(Ref(bad))), b'{"schema": 99}'.ljust(300))
    text = shown(bench.cellar).text
    assert "schema 99" in text
    assert "1.0.1" in text


def pages(bench: Bench) -> dict[str, str]:
    """One page of each kind, with hostile text wherever somebody may have put it."""
    base = bench.base(bump="major", metrics={HOSTILE: 0.5}, notes=HOSTILE, recipe={"code": HOSTILE})
    bench.project(base, metrics={HOSTILE: 0.25}, recipe={"parameters": {HOSTILE: HOSTILE}}, again=HOSTILE)
    bench.project(base, metrics={HOSTILE: 0.5}, notes=HOSTILE)
    bench.base()
    bench.configure(f"[projects.projectA]\nhold = {{ reason = {quoted(HOSTILE)} }}")
    bench.cellar.create_rack("bad")
    bench.configure(quoted(HOSTILE), rack="bad")
    return {
        "rack": page.rack(read(bench.cellar, RACK), links=links),
        "racks": page.racks(
            overview(bench.cellar), links=links, where=HOSTILE, others={HOSTILE: f"?{HOSTILE}"}
        ),
        "problem": page.problem(HOSTILE, HOSTILE, links=links),
    }


def quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(one):08x}" for one in text) + '"'


def test_what_others_wrote_is_neither_obeyed_nor_rendered(bench: Bench) -> None:
    for html in pages(bench).values():
        found = Page(html)
        assert {tag for tag, _ in found.elements} & {
            "img",
            "link",
            "iframe",
            "base",
            "form",
        } == set()
        assert [name for _, attrs in found.elements for name in attrs if name.startswith("on")] == []
        assert [link for link in found.all("href") if link[0] not in "#?"] == []
        assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", html)
        assert printable(HOSTILE) in found.text


def test_a_page_needs_nothing_else_and_lets_nothing_else_in(bench: Bench) -> None:
    for html in pages(bench).values():
        found = Page(html)
        assert not re.search(r"url\(|@import|\bsrc=(?!x)", html)
        [policy] = [attrs["content"] for _, attrs in found.elements if attrs.get("http-equiv")]
        assert policy
        [style] = re.findall("<style>(.*?)</style>", html, re.DOTALL)
        script = "".join(re.findall("<script>(.*?)</script>", html, re.DOTALL))
        for text, what in ((style, "style"), (script, "script")):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{what}-src 'sha256-{digest}'" in policy or not text
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert found.all("style") == []


@given(st.text(min_size=1))
@example("&lt;b&gt;")
@example("{% raw %}")
@example("a\r\nb\x00\x85")
def test_any_text_is_shown_as_it_is(text: str) -> None:
    """Every string is untrusted."""
    found = Page(page.problem("a problem", text))
    assert (
        printable(text).split()
        == found.text.partition("a problem · Cellar a problem")[2]
        .partition("Read from the registry")[0]
        .split()
    )


def test_all_racks_are_listed_each_with_a_link_and_what_is_wrong_with_one(bench: Bench) -> None:
    bench.project(bench.base(bump="major"))
    bench.base()
    bench.base(rack="swin/swin-t")
    bench.cellar.create_rack("bad")
    bench.configure("=", rack="bad")
    html = page.racks(
        overview(bench.cellar),
        links=links,
        where="cellar_default",
        others={"cellar_eu": "?conn_id=cellar_eu"},
    )
    found = Page(html)
    assert found.all("href") == ["?conn_id=cellar_eu", "?rack=bad", "?rack=swin/swin-t", f"?rack={RACK}"]
    assert "bad/config.toml" in found.text
    assert "vit/vit-l 1.1 1 1" in found.text
    assert "swin/swin-t 0.1 0 none" in found.text


def test_no_rack_at_all_says_what_to_do() -> None:
    assert "cellar register RACK DIR" in Page(page.racks([], links=links)).text


def test_a_page_says_when_it_was_read() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert "2026-01-02 at 03:04:05 UTC" in Page(page.racks([], links=links, now=now)).text
