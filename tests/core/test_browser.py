"""A rack's page in a real browser: what it looks like, that it can be looked through, and that nothing in it runs."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cellar_core import Cellar, page
from cellar_core.digest import digest_json
from cellar_core.record import FileEntry, Origin
from cellar_core.ref import Rack
from cellar_core.report import read
from tests.browser import Browser
from tests.core.helpers import blank
from tests.core.showcase import NOW, RACK, Showcase, plant, record

BUILD = Path(__file__).parents[2] / "build"
SCREENSHOTS = BUILD / "screenshots"
AXE = BUILD / "node/node_modules/axe-core/axe.min.js"
PHONE, DESK = (375, 812), (1280, 1240)
FITS = "document.documentElement.scrollWidth <= innerWidth"
VISIBLE = "[...document.querySelectorAll('article:not([hidden])')].map((one) => one.id)"
PROJECTS = "[...document.querySelectorAll('#_projects > tr:not([hidden])')].map((one) => one.dataset.model)"
BRANCHES = """[...document.querySelectorAll('.spine > li:not([hidden])')].map((one) => [one.querySelector('.chip').hash,
    ...[...one.querySelectorAll('li:not([hidden])')].map((branch) => branch.dataset.model)].join(' '))"""
SHOWN = "document.getElementById('_shown').textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def saved(cellar: Cellar, rack: Rack, file: Path) -> str:
    """The address of the page, as `cellar report` writes it."""
    file.write_text(page.rack(read(cellar, rack, most=page.RECORDS_MOST), now=NOW), "utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def showcase(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("showcase")
    return saved(Showcase(directory).cellar, RACK, directory / "rack.html")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A rack of 2,000 versions: 20 projects on 10 bases."""
    directory = tmp_path_factory.mktemp("large")
    cellar = blank("memory://large")
    metrics = {"accuracy": 0.9, "loss": 0.1}
    bases = [RACK.base.at(f"1.{number}") for number in range(10)]
    builds = [
        RACK.project(f"project{number % 20}").at(f"1.{number // 20 % 10}.{number // 200 + 1}")
        for number in range(1990)
    ]
    recipe = {"data": ["s3://data/labels/2026-09"], "parameters": {"epochs": 10}}
    origin = Origin(run={"run": "scheduled__2026-11-24"})
    plant(cellar, *(record(ref, metrics=metrics, recipe=recipe, origin=origin) for ref in [*bases, *builds]))
    return saved(cellar, RACK, directory / "rack.html")


# What it looks like


@pytest.mark.parametrize(
    ("name", "size", "dark"), [("rack", DESK, False), ("rack-dark", DESK, True), ("rack-phone", PHONE, False)]
)
def test_it_works_from_disk_on_every_screen_and_asks_for_nothing(
    browser: Browser, showcase: str, name: str, size: tuple[int, int], dark: bool
) -> None:
    browser.complaints.clear()
    browser.requests.clear()
    browser.look(*size, dark=dark)
    browser.open(showcase)
    assert browser.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(23, 20, 22)" if dark else "rgb(248, 246, 247)"
    )
    assert browser.run(FITS)
    browser.shoot(SCREENSHOTS / f"{name}.png")
    browser.shoot(SCREENSHOTS / f"{name}-lineage.png", of="[aria-labelledby=_lineage]")
    assert [one for one in browser.requests if one != "about:blank"] == [showcase]
    assert browser.complaints == []


def test_a_phone_needs_no_sideways_scroll_with_all_unfolded(browser: Browser, showcase: str) -> None:
    browser.look(*PHONE)
    browser.open(showcase)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert browser.run(FITS)


CONTRASTS = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (text) => parse(text).slice(0, 3)
    .map((one) => one / 255).map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if ((parse(colour)[3] ?? 1) > 0) return colour;
    }
  };
  const ratio = (one, other) => {
    const [dim, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dim + 0.05);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest("script, svg")) continue;
    found.push([node.data.trim().slice(0, 40), ratio(getComputedStyle(element).color, ground(element))]);
  }
  const input = document.querySelector("input");
  found.push(["placeholder", ratio(getComputedStyle(input, "::placeholder").color, ground(input))]);
  return found;
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_its_ground(browser: Browser, showcase: str, dark: bool) -> None:
    """WCAG 2, 1.4.3: a contrast of at least 4.5, of all that is computed for the page."""
    browser.look(*DESK, dark=dark)
    browser.open(showcase)
    found = browser.run(CONTRASTS)
    assert len(found) > 300
    assert [one for one in found if one[1] < 4.5] == []


def test_nothing_moves(browser: Browser, showcase: str) -> None:
    """So nobody has to ask for less of it (`prefers-reduced-motion`)."""
    browser.open(showcase)
    assert browser.run("document.getAnimations().length") == 0
    moving = "[...document.querySelectorAll('*')].map((one) => getComputedStyle(one))"
    assert browser.run(
        f"{moving}.every((one) => one.transitionDuration == '0s' && one.scrollBehavior == 'auto')"
    )


def test_paper_has_all_that_is_in_sight_and_nothing_to_press(browser: Browser, showcase: str) -> None:
    browser.look(*DESK, dark=True, paper=True)
    browser.open(showcase)
    assert (
        browser.run("getComputedStyle(document.body).color") == "rgb(29, 27, 30)"
    )  # on white, also at night
    assert browser.run("getComputedStyle(document.getElementById('_filter')).display") == "none"
    article = "document.querySelector('article')"
    assert browser.run(f"getComputedStyle({article}).contentVisibility") == "visible"
    pdf = base64.b64decode(browser.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])
    SCREENSHOTS.joinpath("rack.pdf").write_bytes(pdf)
    assert pdf.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 5


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_axe_finds_nothing(browser: Browser, showcase: str, size: tuple[int, int], dark: bool) -> None:
    """Deque's checker: landmarks, names, roles, contrast, order of headings and what else can be computed."""
    if not AXE.exists():
        pytest.skip("there is no axe-core")  # make build/node/.stamp
    browser.look(*size, dark=dark)
    browser.open(showcase)
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    browser.call("Runtime.evaluate", expression=AXE.read_text("utf-8"))
    found = json.loads(browser.run("axe.run(document).then((found) => JSON.stringify(found))"))
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    assert len(found["passes"]) > 20


# Looking through it


@pytest.fixture
def here(browser: Browser, showcase: str) -> Browser:
    browser.look(*DESK)
    browser.open(showcase)
    return browser


def test_a_slash_goes_to_the_search_and_escape_shows_all_again(here: Browser) -> None:
    assert here.run(SHOWN) == "6 projects, 17 versions"
    here.press("/", 191)
    assert here.run("document.activeElement.id") == "_text"
    here.write("second SHOP")
    assert here.run("document.activeElement.value") == "second SHOP"
    assert here.run(VISIBLE) == ["retail/1.1.2"]
    assert here.run(PROJECTS) == ["retail"]
    assert here.run(BRANCHES) == ["#base/1.1 retail"]
    assert here.run(SHOWN) == "1 of 6 projects, 1 of 17 versions"
    assert here.run("document.getElementById('_shown').getAttribute('aria-live')") == "polite"
    here.press("/", 191)  # is a letter here
    assert here.run("document.activeElement.value") == "second SHOP/"
    here.press("Escape", 27)
    assert here.run(SHOWN) == "6 projects, 17 versions"
    assert here.run("document.querySelectorAll('main [hidden]').length") == 0


def choose(browser: Browser, name: str, value: str) -> None:
    control = f"document.getElementById('_{name}')"
    browser.run(f"{control}.value = {json.dumps(value)}; {control}.dispatchEvent(new Event('change'))")
    assert browser.run(f"{control}.value") == value


@pytest.mark.parametrize(
    ("state", "projects", "versions"),
    [
        ("stale", ["factory-south", "harbour", "retail-night", "depot"], 4),
        ("held", ["harbour", "retail"], 2),
        ("failed before", ["factory-south"], 1),
        ("to be rebuilt", ["retail-night"], 1),
        ("with an alias", ["factory-north", "retail"], 3),
        ("yanked", ["factory-north"], 2),
        ("unreadable", [], 0),
    ],
)
def test_a_state_shows_its_projects_and_versions(
    here: Browser, state: str, projects: list[str], versions: int
) -> None:
    choose(here, "state", state)
    assert here.run(PROJECTS) == projects
    assert len(here.run(VISIBLE)) == versions


def test_a_base_shows_what_was_made_from_it_or_is_wanted_on_it(here: Browser) -> None:
    choose(here, "base", "1.3")
    assert here.run(VISIBLE) == ["base/1.3", "factory-north/1.3.1", "retail/1.3.1"]
    waiting = ["factory-south", "harbour", "retail-night", "depot"]
    assert here.run(PROJECTS) == [*waiting, "factory-north", "retail"]
    assert here.run(BRANCHES) == [" ".join(["#base/1.3", *waiting, "factory-north", "retail"])]
    choose(here, "state", "in progress")
    assert (here.run(PROJECTS), here.run(VISIBLE)) == (["depot"], [])
    here.run("document.getElementById('_all').click()")
    assert here.run(SHOWN) == "6 projects, 17 versions"


def test_a_link_shows_its_version_even_if_it_was_not_looked_for(here: Browser) -> None:
    here.press("/", 191)
    here.write("harbour")
    here.run("location.hash = '#base/1.0'")
    here.wait("document.getElementById('base/1.0').querySelector('details').open")
    assert here.run(SHOWN) == "6 projects, 17 versions"
    box = "document.getElementById('base/1.0').getBoundingClientRect()"
    assert 0 <= here.run(f"{box}.top") < here.run("innerHeight")


def test_a_keyboard_reaches_everything_in_order_and_sees_where_it_is(here: Browser) -> None:
    here.run("window.reached = []")
    for _ in range(60):
        here.press("Tab", 9)
        here.run("window.reached.push(document.activeElement)")
        assert here.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert here.run("reached.slice(0, 3).map((one) => one.id)") == ["_text", "_state", "_base"]
    behind = "Node.DOCUMENT_POSITION_FOLLOWING"
    assert here.run(
        f"reached.every((one, at) => !at || reached[at - 1].compareDocumentPosition(one) & {behind})"
    )
    here.run("document.querySelector('article summary').focus()")
    here.press(" ", 32)
    here.wait("document.querySelector('article details').open")


def test_without_its_script_it_is_whole(browser: Browser, showcase: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(f"{showcase}#base/1.0")
        assert browser.run("document.getElementById('_filter').hidden")
        assert len(browser.run(VISIBLE)) == 17
        opened = "document.querySelector('article:target').innerText"
        assert digest_json(f"{RACK}/base/1.0", "tree") in browser.run(opened)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_two_thousand_versions_stay_fluid(browser: Browser, large: str) -> None:
    """What it costs is counted, not timed: elements, bytes, and how many versions there are to lay out."""
    browser.look(*DESK)
    browser.open(large)
    count = "document.querySelectorAll('*').length"
    assert browser.run("document.querySelectorAll('article').length") == 2000
    assert browser.run(count) < 35 * 2000
    assert len(Path(large.removeprefix("file://")).read_bytes()) < 1350 * 2000
    laid_out = "[...document.querySelectorAll('article')].filter((one) => one.checkVisibility()).length"
    assert browser.run(laid_out) <= 21 * page.OPEN_MOST
    browser.press("/", 191)
    for more, found in (("p", "20 projects, 2,000"), ("roject7 1.9.2", "1 of 20 projects, 1 of 2,000")):
        browser.write(more)
        assert browser.run(SHOWN) == f"{found} versions"
        assert browser.run(laid_out) <= 21 * page.OPEN_MOST
    assert browser.run(VISIBLE) == ["project7/1.9.2"]
    assert browser.run("document.querySelectorAll('.spine li[data-model]:not([hidden])').length") == 1
    assert browser.run(count) < 35 * 2000  # looking for something makes none


# Hostile text

ATTACKS = [
    "<script>hacked('script')</script>",
    "</script></style></title><script>hacked('closed')</script>",
    "<img src=http://127.0.0.1:9/image onerror=\"hacked('image')\">",
    '" onmouseover="hacked(\'attribute\')" x="',
    "' autofocus onfocus='hacked(1)' style='background:url(http://127.0.0.1:9/style)",
    "</title><svg onload=\"hacked('svg')\"><animate onbegin=hacked(2) attributeName=x dur=1s>",
    "</svg><foreignObject><iframe srcdoc=\"<script>parent.hacked('frame')</script>\">",
    "--></polyline><a href=\"javascript:hacked('link')\" id=_filter>x</a>",
    "{{ 7*7 }}{% raw %}</dl></details></article>",
    "javascript:hacked('url')",
    "}body{display:none}@import 'http://127.0.0.1:9/css';",
    "\u202e desrever \u2066\u2069 \x1b[2J\x07\x00",
    "abc" * 3000,
]
NUMBERS: dict[str, Any] = {
    "nan": float("nan"),
    "inf": float("inf"),
    "large": 10**400,
    "wide": 1.7e308,
    "tiny": 5e-324,
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rack in which every text that somebody may write is an attack, and every number a trap."""
    directory = tmp_path_factory.mktemp("hostile")
    cellar = blank(directory / "cellar")
    for number, attack in enumerate(ATTACKS):
        base = RACK.base.at(f"1.{number}")
        facts: dict[str, Any] = {
            "notes": attack,
            "created_by": attack,
            "recipe": {"code": attack, "parameters": {attack: attack}, "data": [attack]},
            "origin": Origin(run={attack: attack}),
            "again": attack,
        }
        numbers = {attack: number, **NUMBERS} if number % 2 else dict.fromkeys(NUMBERS, -1.7e308)
        plant(cellar, record(base, metrics=numbers, **facts))
        build = record(RACK.project("n" * 100).at(f"1.{number}.1"), metrics=numbers, **facts)
        odd = FileEntry(path=f"a/<img src=x onerror=hacked({number})>.bin", size=10**18, digest=build.tree)
        plant(cellar, build.model_copy(update={"files": (odd,)}))
    config = directory / "cellar" / str(RACK) / "config.toml"
    config.parent.mkdir(parents=True)
    reason = "".join(f"\\U{ord(one):08x}" for one in "".join(ATTACKS[:-1]))
    config.write_text(f'[projects.held]\nhold = {{ reason = "{reason}", owner = "{reason}" }}\n')
    saved(cellar, RACK, directory / "rack.html")
    return directory / "rack.html"


HACKED = "'use strict'; window.hacks = []; window.hacked = (how) => { hacks.push(how); alert(how); };"


@pytest.fixture
def watched(browser: Browser) -> Iterator[Browser]:
    """The browser, with a `hacked` that tells."""
    browser.look(*PHONE)
    [made] = browser.call("Page.addScriptToEvaluateOnNewDocument", source=HACKED).values()
    for told in (browser.complaints, browser.requests, browser.dialogs):
        told.clear()
    yield browser
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=made)


def test_nothing_that_others_wrote_runs_or_asks_for_anything(watched: Browser, hostile: Path) -> None:
    watched.open(hostile.as_uri())
    watched.run("for (const one of document.querySelectorAll('details')) one.open = true")
    watched.press("/", 191)
    watched.write("<script>")
    assert watched.run(SHOWN).endswith("6 of 26 versions")
    watched.press("Escape", 27)
    for _ in range(20):
        watched.press("Tab", 9)
    assert watched.run("hacks") == []
    assert watched.dialogs == []
    assert [one for one in watched.requests if one != "about:blank"] == [hostile.as_uri()]
    assert watched.complaints == []  # there was nothing that the policy had to refuse
    assert watched.run(FITS)
    allowed = watched.run(
        "[...new Set([...document.body.querySelectorAll('*')].map((one) => one.localName))]"
    )
    assert not {"img", "iframe", "form", "style", "link", "animate", "foreignObject", "base"} & set(allowed)
    names = watched.run(
        "[...new Set([...document.body.querySelectorAll('*')].flatMap((one) => one.getAttributeNames()))]"
    )
    assert [name for name in names if name.startswith("on") or name in ("style", "src", "srcdoc")] == []
    assert watched.run("[...document.links].every((one) => one.getAttribute('href').startsWith('#'))")
    text = watched.run("document.body.textContent")
    assert all(attack in text for attack in ATTACKS if attack.isprintable())
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)


def test_if_text_were_not_escaped_the_policy_would_stop_it_still(watched: Browser, hostile: Path) -> None:
    """The second wall: the same attacks as markup, which is what an error in a template would make of them."""
    broken = hostile.with_name("broken.html")
    broken.write_text(
        hostile.read_text("utf-8").replace("<main>", f"<main>{ATTACKS[0]}{ATTACKS[2]}{ATTACKS[5]}")
    )
    watched.open(broken.as_uri())
    assert watched.run("hacks") == []
    assert watched.dialogs == []
    assert len(watched.complaints) >= 3
    assert all("Content Security Policy" in one for one in watched.complaints)
    unguarded = hostile.with_name("unguarded.html")
    unguarded.write_text(re.sub("<meta http-equiv[^>]*>", "", broken.read_text("utf-8")))
    watched.open(unguarded.as_uri())
    assert watched.run("hacks.length") >= 1  # so an attack is seen where it works
    assert watched.dialogs
