"""A rack as a tree and as Markdown: what they say, and that what others wrote stays text."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from cellar_core import Cellar
from cellar_core.layout import parse_record, record
from cellar_core.markdown import _table, markdown
from cellar_core.ref import Model, Ref
from cellar_core.report import read, read_current, read_model
from cellar_core.tree import draw
from cellar_core.words import changes, numbers, printable
from tests.core.helpers import Bench, Watched, caller

RACK = "vit/vit-l"
HOSTILE = (
    "<img src=x onerror=alert(1)> [a](javascript:b) **c** `d` | e\n# f \x1b[2J https://example.com :smile:"
)


def drawn(cellar: Cellar, width: int = 500) -> list[str]:
    """The tree's lines."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(draw(read(cellar, RACK)))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def cells(text: str) -> list[list[str]]:
    """The tables of a Markdown text, as a reader sees them: rendered by the parser that rich uses too."""
    rows = re.findall(r"<tr>(.*?)</tr>", MarkdownIt().enable("table").render(text), re.DOTALL)
    return [
        [html.unescape(cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows
    ]


def test_an_empty_rack_says_so(bench: Bench) -> None:
    bench.cellar.create_rack(RACK)
    assert drawn(bench.cellar) == [f"{RACK}  no base yet, 0 projects"]
    assert markdown(read_current(bench.cellar, RACK)) == "# vit/vit-l\n\nNo base yet, 0 projects.\n"


def test_projects_hang_from_their_bases_with_metrics_before_and_after(bench: Bench) -> None:
    old = bench.base(bump="major", metrics={"accuracy": 0.91, "loss": 2})
    bench.project(old, metrics={"accuracy": 0.8})
    bench.project(old, name="projectB", metrics={"accuracy": 0.7})
    new = bench.base(metrics={"accuracy": 0.95, "loss": 2})
    bench.project(new, metrics={"accuracy": 0.88})
    bench.cellar.alias(f"{RACK}/projectA", "production", "1.1.1")
    assert drawn(bench.cellar) == [
        f"{RACK}  newest base 1.1, 2 projects, 1 stale",
        "├── base 1.0  accuracy 0.91, loss 2",
        "│   ├── projectA 1.0.1  accuracy 0.8",
        "│   └── projectB 1.0.1  accuracy 0.7  stale, to be rebuilt: 1.0.1 stands on base 1.0; base 1.1 is newer",
        "└── base 1.1  accuracy 0.91 → 0.95, loss 2",
        "    └── projectA 1.1.1  accuracy 0.8 → 0.88  production",
    ]
    assert cells(markdown(read_current(bench.cellar, RACK))) == [
        ["Project", "Version", "From base", "Metrics", "Decision"],
        ["projectA", "1.1.1", "1.1", "accuracy 0.8 → 0.88", "stands on base 1.1, the newest it follows"],
        [
            "projectB",
            "1.0.1",
            "1.0",
            "accuracy 0.7",
            "to be rebuilt: 1.0.1 stands on base 1.0; base 1.1 is newer",
        ],
        ["Base", "Bump", "Metrics", "Registered (UTC)", "Notes"],
        ["1.1", "minor", "accuracy 0.91 → 0.95, loss 2", *registered(bench.cellar, new), ""],
        ["1.0", "major", "accuracy 0.91, loss 2", *registered(bench.cellar, old), ""],
    ]


def registered(cellar: Cellar, ref: str) -> list[str]:
    return [f"{cellar.resolve(ref).created_at:%Y-%m-%d %H:%M}"]


def test_what_stands_nowhere_hangs_from_the_rack(bench: Bench) -> None:
    bench.configure("[projects.projectC]")
    bench.project(bench.base(bump="major"))
    bench.cellar.yank(f"{RACK}/projectA/1.0.1", "bad data")
    told = {str(one.model): one.sentence for one in bench.cellar.plan(RACK).rebuilds}
    assert drawn(bench.cellar) == [
        f"{RACK}  newest base 1.0, 2 projects, 2 stale",
        "├── base 1.0",
        "│   └── projectA 1.0.1  yanked",
        f"├── projectA  to be rebuilt: {told[f'{RACK}/projectA']}",
        f"└── projectC  to be rebuilt: {told[f'{RACK}/projectC']}",
    ]


def test_a_held_project_stays_visible_with_its_reason(bench: Bench) -> None:
    bench.project(bench.base(bump="major"))
    bench.base()
    bench.configure('[projects.projectA]\nhold = { reason = "audit [red]", owner = "kim" }')
    [line] = [line for line in drawn(bench.cellar) if "projectA" in line]
    assert line.endswith("projectA 1.0.1  stale: is held (audit [red], by kim); 1 bump behind")


def test_versions_are_in_the_order_of_their_numbers(bench: Bench) -> None:
    bench.base(version="1.8")
    for _ in range(3):
        bench.base()
    assert [str(one.ref.version) for one in read(bench.cellar, RACK).versions] == [
        "1.8",
        "1.9",
        "1.10",
        "1.11",
    ]


def test_a_record_that_cannot_be_read_is_an_error_of_its_version_only(bench: Bench) -> None:
    bad = bench.base(bump="major")
    bench.base()
    store: Any = bench.cellar.store
    store._fs.pipe_file(store._path(record(Ref(bad))), b'{"schema": 99}'.ljust(300))
    lines = drawn(bench.cellar)
    assert "base 1.0" in lines[1]
    assert "schema 99" in lines[1]
    assert "base 1.1" in lines[2]
    assert "schema 99" in cells(markdown(read_current(bench.cellar, RACK)))[-1][3]


def reads(cellar: Cellar, look: Callable[[Cellar], object]) -> set[str]:
    """Which records are read."""
    store = Watched(cellar.store)
    look(caller(cellar, store))
    keys = (parse_record(key) for method, key in store.asked if method == "read")
    return {f"{ref.project} {ref.version}" for ref, yank in filter(None, keys) if not yank}


def test_no_more_records_are_read_than_are_asked_for_and_those_that_matter_come_first(bench: Bench) -> None:
    base = bench.base(bump="major")
    for name in ("projectA", "projectB"):
        for _ in range(3):
            bench.project(base, name=name)
    bench.cellar.alias(f"{RACK}/projectB", "production", "1.0.1")
    first = {"projectA 1.0.3", "projectB 1.0.3", "projectB 1.0.1"}
    assert reads(bench.cellar, lambda cellar: read(cellar, RACK, most=3)) == first
    second = first | {"base 1.0"}
    assert reads(bench.cellar, lambda cellar: read(cellar, RACK, most=4)) == second
    assert reads(bench.cellar, lambda cellar: read(cellar, RACK, most=6)) == {
        *second,
        "projectA 1.0.2",
        "projectB 1.0.2",
    }
    assert len(reads(bench.cellar, lambda cellar: read(cellar, RACK))) == 7
    there = read(bench.cellar, RACK, most=1)
    assert [str(one.ref) for one in there.versions] == [
        str(one.ref) for one in read(bench.cellar, RACK).versions
    ]
    assert sum(one.record is not None for one in there.versions) == 1


def test_markdown_reads_the_records_that_it_shows(bench: Bench) -> None:
    base = bench.base(bump="major")
    for accuracy in (0.1, 0.2, 0.3):
        bench.project(base, metrics={"accuracy": accuracy})
    shown = {"base 1.0", "projectA 1.0.2", "projectA 1.0.3"}
    assert reads(bench.cellar, lambda cellar: markdown(read_current(cellar, RACK))) == shown
    assert "accuracy 0.2 → 0.3" in cells(markdown(read_current(bench.cellar, RACK)))[1]


def test_the_aliases_of_all_models_are_one_listing(bench: Bench) -> None:
    base = bench.base(bump="major")
    for name in ("projectA", "projectB", "projectC"):
        bench.project(base, name=name)
        bench.cellar.alias(f"{RACK}/{name}", "production", "1.0.1")
        bench.cellar.alias(f"{RACK}/{name}", "canary", "1.0.1")
    store = Watched(bench.cellar.store)
    found = read(caller(bench.cellar, store), RACK).versions
    assert [one.aliases for one in found] == [(), *[("canary", "production")] * 3]
    assert sum(method == "find" and "aliases" in key for method, key in store.asked) == 1


def test_a_model_is_read_alone(bench: Bench) -> None:
    bench.project(bench.base(bump="major"))
    model = Model(f"{RACK}/projectA")
    assert reads(bench.cellar, lambda cellar: read_model(cellar, model)) == {"projectA 1.0.1"}
    assert read_model(bench.cellar, model) == read(bench.cellar, RACK).of(model)


def test_what_others_wrote_is_neither_obeyed_nor_rendered(bench: Bench) -> None:
    base = bench.base(bump="major", metrics={HOSTILE: 0.5}, notes=HOSTILE)
    bench.project(base, metrics={HOSTILE: 0.25})
    bench.base()
    bench.configure(f"[projects.projectA]\nhold = {{ reason = {quoted(HOSTILE)} }}")
    shown = printable(HOSTILE)
    assert "\x1b" not in shown
    assert [line.count(shown) for line in drawn(bench.cellar)] == [0, 1, 2, 0]
    text = markdown(read_current(bench.cellar, RACK))
    page = MarkdownIt().enable("table").render(text)
    assert set(re.findall(r"<(\w+)", page)) == {"h1", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert [cell.count(shown) for row in cells(text) for cell in row if shown in cell] == [1, 1, 1, 1]


def quoted(text: str) -> str:
    escapes = {"\n": "\\n", "\x1b": "\\u001b", '"': '\\"', "\\": "\\\\"}
    return '"' + "".join(escapes.get(one, one) for one in text) + '"'


@given(st.lists(st.text(), min_size=1, max_size=3))
@example(["1. a", "- b", "+ c"])
@example(["a\\", "|", "\\|"])
@example(["&lt;", "<!-- ", "[x]: y"])
def test_a_cell_shows_any_text_as_it_is(row: list[str]) -> None:
    """Every string is untrusted."""
    head = tuple("abc"[: len(row)])
    [_, shown] = cells(_table(head, [tuple(row)]))
    assert shown == [printable(text).strip(" ") for text in row]


@given(st.text())
def test_printable_text_is_one_line_without_control_characters(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


def test_numbers_are_found_however_deep_and_nothing_else() -> None:
    metrics = {"a": 1, "b": True, "c": None, "d": "2", "e": [3], "f": {"g": {"h": float("nan")}}}
    assert [name for name, _ in numbers(metrics)] == ["a", "f.g.h"]


def test_only_the_first_metrics_are_shown() -> None:
    assert changes({}, {"a": 1, "b": 2, "c": 3, "d": 4}) == "a 1, b 2, c 3, …"
    assert changes({"a": 123456.7}, {"a": 0.000012345}) == "a 1.235e+05 → 1.234e-05"
