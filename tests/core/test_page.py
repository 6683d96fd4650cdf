"""Racks as HTML: what the pages say, that they need nothing else, and that what others wrote stays text."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cellar_core import Cellar, page
from cellar_core.layout import record
from cellar_core.ref import Rack, Ref
from cellar_core.report import overview, printable, read
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
        if "style" not in self._open:
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
    assert "accuracy, version by version: 0.8, 0.88" in found.text
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
    assert "Made from it: projectA 1.0.1 , projectB 1.0.1" in found.text


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


def test_a_wanted_version_has_its_place_beneath_the_base_it_is_wanted_on(bench: Bench) -> None:
    bench.project(bench.base(bump="major"))
    bench.base()
    html = page.rack(read(bench.cellar, RACK))
    lineage = html[html.index('class="lineage"') :]
    [row] = re.findall(r'<th scope="row">projectA</th>(.*?)</tr>', lineage, re.DOTALL)
    cells = [Page(cell).text for cell in row.split("<td>")[1:] for cell in [cell.replace("</td>", "")]]
    assert cells == ["to be rebuilt", "1.0.1"]


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
            "script",
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
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
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


def luminance(colour: str) -> float:
    """How bright a colour of the style is, as WCAG 2 defines it."""
    digits = colour if len(colour) == 6 else "".join(2 * one for one in colour)
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(scheme: str) -> None:
    """WCAG 2: a contrast of at least 4.5."""
    light, dark = re.findall(r":root \{(.*?)\}", page._environment().globals["style"], re.DOTALL)[:2]
    colours = dict(re.findall(r"--([\w-]+): #(\w+)", light if scheme == "light" else dark))
    tones = [name.removesuffix("-soft") for name in colours if name.endswith("-soft")]
    pairs = [(tone, ground) for tone in tones for ground in (f"{tone}-soft", "paper", "ground")]
    pairs += [(text, ground) for text in ("ink", "soft", "accent") for ground in ("paper", "ground")]
    for one, other in pairs:
        dim, bright = sorted([luminance(colours[one]), luminance(colours[other])])
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (one, other)


def test_a_page_says_when_it_was_read() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert "2026-01-02 at 03:04:05 UTC" in Page(page.racks([], links=links, now=now)).text
