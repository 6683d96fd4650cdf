"""What each command does and says; real processes, signals and terminals are in ``test_cli_process.py``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cellar_core import Cellar, Model, Plan, Record, Ref, Registered
from cellar_core.doctor import Diagnosis
from cellar_core.gc import Collected
from cellar_core.layout import claims
from cellar_core.rebuild import Rebuilt
from cellar_core.report import RackReport, Sheet, VersionReport
from tests.core.helpers import Bench, Crash, Watched, caller, snapshot, write
from tests.core.terminal import RACK, A, B, Terminal


@pytest.fixture
def cellar(term: Terminal) -> Cellar:
    """The cellar that the terminal works on."""
    return Cellar()


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


# Keep


def test_init_makes_a_cellar_once(tmp_path: Path) -> None:
    term = Terminal()
    made = term.json("init", tmp_path / "new")
    assert made == {"url": (tmp_path / "new").as_uri(), "id": Cellar(tmp_path / "new").id}
    assert term.json("init", "--cellar", tmp_path / "new") == made
    assert f"export CELLAR_URL={made['url']}" in term("init", tmp_path / "new")
    assert "export" not in term("init", "--cellar", tmp_path / "new")


def test_rack_says_where_its_rules_are(term: Terminal, cellar: Cellar) -> None:
    made = term.json("rack", RACK)
    assert made["created"] is True
    assert "[rebuild]" in Path(made["config"].removeprefix("file://")).read_text()
    assert term.json("rack", RACK)["created"] is False
    assert [str(rack) for rack in cellar.racks()] == [RACK]


def test_register_a_base_and_a_project(term: Terminal) -> None:
    out = term("register", RACK, write(Path("one")), "--bump", "minor", "--notes", "the first")
    assert lines(out)[0] == f"registered {RACK}/base/0.1"
    assert "config.toml" in out
    Path("recipe.toml").write_text('code = "abc"\ndata = ["s3://data/1"]\nseed = 7')
    Path("metrics.json").write_text('{"accuracy": 0.5}')
    words = ("--base", f"{RACK}/base/0.1", "--recipe", "recipe.toml", "--metrics", "metrics.json")
    done = Registered.model_validate(term.json("register", A, write(Path("out"), "tuned"), *words))
    assert str(done.ref) == f"{A}/0.1.1"
    assert done.record.recipe.facts() == {"code": "abc", "data": ["s3://data/1"], "seed": 7}
    assert done.record.metrics == {"accuracy": 0.5}


def test_register_takes_a_rack_or_its_base(term: Terminal) -> None:
    assert f"{RACK}/base/1.0" in term("register", f"{RACK}/base", write(Path("one")), "--bump", "major")


def test_register_the_same_again(term: Terminal) -> None:
    term("register", RACK, write(Path("one")), "--bump", "major")
    out = term("register", RACK, "one", "--bump", "major")
    assert lines(out) == [f"the same content and recipe were already {RACK}/base/1.0"]
    out = term("register", RACK, "one", "--bump", "minor", "--again", "a test")
    assert lines(out) == [f"registered {RACK}/base/1.1"]


def test_register_exactly_and_after(term: Terminal) -> None:
    assert "base/1.4" in term("register", RACK, write(Path("one")), "--version", "1.4")
    assert "base/1.5" in term("register", RACK, write(Path("two"), "2"), "--bump", "minor", "--after", "1.4")
    term("register", RACK, write(Path("three"), "3"), "--bump", "minor", "--after", "1.4", code=1)
    assert "1.5" in term.err


# Find


def test_ls_lists_racks(stale: Terminal) -> None:
    assert lines(stale("ls"))[1].split() == [RACK, "1.1", "2", "2"]
    assert stale.json("ls") == [{"rack": RACK, "base": "1.1", "projects": 2, "stale": 2, "problem": ""}]


def test_ls_without_racks_says_what_to_do(term: Terminal) -> None:
    assert "cellar register" in term("ls")


def test_ls_shows_the_racks_beside_a_broken_one(stale: Terminal, cellar: Cellar) -> None:
    stale("rack", "bad")
    Path("cellar/bad/config.toml").write_text("[rebuild]\non_minor = 3")
    out = stale("ls")
    assert f"{RACK}  1.1" in out
    assert "bad/config.toml: rebuild.on_minor" in out


def test_ls_draws_a_rack(stale: Terminal) -> None:
    assert lines(stale("ls", RACK)) == [
        f"{RACK}  newest base 1.1, 2 projects, 2 stale",
        "├── base 1.0  accuracy 0.9",
        "│   ├── projectA 1.0.1  accuracy 0.5  stale, to be rebuilt: 1.0.1 stands on base 1.0; base 1.1 is newer",
        "│   └── projectB 1.0.1  accuracy 0.5  stale, to be rebuilt: 1.0.1 stands on base 1.0; base 1.1 is newer",
        "└── base 1.1  accuracy 0.9 → 0.95",
    ]
    report = RackReport.model_validate(stale.json("ls", RACK))
    assert len(report.versions) == 4
    assert len(report.plan.rebuilds) == 2


def test_ls_lists_the_versions_of_a_model(stale: Terminal) -> None:
    stale("alias", f"{RACK}/base", "production", "1.0")
    out = lines(stale("ls", f"{RACK}/base"))
    assert [line.split()[0] for line in out] == ["version", "1.0", "1.1"]
    assert out[1].endswith("accuracy 0.9         production")
    versions = [VersionReport.model_validate(one) for one in stale.json("ls", f"{RACK}/base")]
    assert [one.aliases for one in versions] == [("production",), ()]


def test_resolve_prints_the_ref_alone(stale: Terminal) -> None:
    assert stale("resolve", f"{RACK}/base@^1") == f"{RACK}/base/1.1\n"
    assert Record.model_validate(stale.json("resolve", f"{RACK}/base@==1.0")).bump == "major"


def test_show_tells_all(stale: Terminal, cellar: Cellar) -> None:
    cellar.yank(f"{RACK}/base/1.0", "bad data")
    out = stale("show", f"{RACK}/base/1.0")
    for fact in (
        "metric accuracy",
        "0.9",
        "projectA 1.0.1, projectB 1.0.1",
        "yanked",
        "model.bin",
        "blake3:",
    ):
        assert fact in out
    sheet = Sheet.model_validate(stale.json("show", f"{RACK}/base/1.0"))
    assert sheet.yanked
    assert [str(child) for child in sheet.children] == [f"{A}/1.0.1", f"{B}/1.0.1"]


def test_report_writes_a_page_or_markdown(stale: Terminal) -> None:
    assert stale("report", RACK, "-o", "rack.html") == f"{RACK} is in rack.html\n"
    assert Path("rack.html").read_text().startswith("<!doctype html>")
    assert stale.json("report", RACK, "-o", "rack.md") == {"rack": RACK, "path": "rack.md"}
    assert Path("rack.md").read_text().startswith(f"# {RACK}\n")


def test_report_writes_nothing_it_has_no_name_for(stale: Terminal) -> None:
    stale("report", RACK, "-o", "rack.pdf", code=2)
    assert "must end with .html or .md" in stale.err
    stale("report", "vit/vit-x", "-o", "rack.html", code=1)
    assert "Did you mean vit/vit-l?" in stale.err
    assert [*Path().glob("rack.*")] == []


def test_what_is_written_by_others_steers_no_terminal(term: Terminal) -> None:
    write(Path("one"), result__json=json.dumps({"\x1b[2J[red]accuracy": 0.5}))
    term(
        "register",
        RACK,
        "one",
        "--bump",
        "minor",
        "--notes",
        "a\nb \x1b]0;title\x07 [bold]c[/bold] \u202egnp",
    )
    for words in (["show", f"{RACK}/base"], ["ls", RACK], ["ls", f"{RACK}/base"]):
        out = term(*words)
        assert "\\x1b[2J[red]accuracy" in out
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)
    assert "a\\nb \\x1b]0;title\\x07 [bold]c[/bold] \\u202egnp" in term("show", f"{RACK}/base")


def test_pull_and_verify(stale: Terminal, cellar: Cellar) -> None:
    pulled = stale.json("pull", f"{A}@latest", "model")
    assert pulled == {"ref": f"{A}/1.0.1", "path": str(Path("model").absolute())}
    assert (Path("model") / "model.bin").is_file()
    assert stale("verify", f"{A}/1.0.1") == f"{A}/1.0.1 is as it was registered: 2 files\n"
    Path(f"cellar/{A}/1.0.1/model.bin").write_text("rotten")
    stale("verify", f"{A}/1.0.1", code=1)
    assert f"{A}/1.0.1/model.bin" in stale.err
    stale("pull", A, "other", code=1)
    assert not Path("other").exists()


# Decide


def test_plan_is_a_table_of_what_and_why(stale: Terminal) -> None:
    assert lines(stale("plan", RACK)) == [
        "project   from   to        why",
        "projectA  1.0.1  base 1.1  1.0.1 stands on base 1.0; base 1.1 is newer",
        "projectB  1.0.1  base 1.1  1.0.1 stands on base 1.0; base 1.1 is newer",
    ]
    plan = Plan.model_validate(stale.json("plan", RACK))
    assert [rebuild.reason for rebuild in plan.rebuilds] == ["base_minor", "base_minor"]


def test_plan_of_a_rack_without_projects_says_how_to_make_one(term: Terminal) -> None:
    term("register", RACK, write(Path("one")), "--bump", "minor")
    assert f"cellar retrain {RACK}/PROJECT" in term("plan", RACK)


def test_a_new_x_waits_for_an_approval(stale: Terminal) -> None:
    stale("register", RACK, write(Path("three"), "three"), "--bump", "major")
    stale("rebuild", RACK, "--train", "trainers:good")
    plan = Plan.model_validate(stale.json("plan", RACK))
    assert [skip.reason for skip in plan.skips] == ["awaiting_approval"] * 2
    base = f"{RACK}/base/2.0"
    assert f"cellar approve {base}" in stale("plan", RACK)
    words = ("approve", base, "--project", "projectA", "--why", "tests passed")
    assert stale.json(*words) == {"base": base, "project": "projectA", "why": "tests passed"}
    assert [str(one.model) for one in Plan.model_validate(stale.json("plan", RACK)).rebuilds] == [A]
    assert "every project may move" in stale("approve", base)
    assert len(Plan.model_validate(stale.json("plan", RACK)).rebuilds) == 2


def test_alias_is_set_and_listed(stale: Terminal) -> None:
    assert "has no aliases" in stale("alias", A)
    assert stale.json("alias", A, "production", "1.0.1") == {"production": f"{A}/1.0.1"}
    assert lines(stale("alias", A)) == [f"production: {A}/1.0.1"]
    assert stale("resolve", f"{A}@production") == f"{A}/1.0.1\n"


def test_alias_tells_what_it_meant_and_goes_back(stale: Terminal) -> None:
    base = f"{RACK}/base"
    stale("alias", base, "production", "1.0", "--why", "the first")
    out = stale("alias", base, "production", "1.1", "--why", "[red]better")
    assert out == f"{base}@production is {base}/1.1 from now on\n"
    assert stale("alias", base, "production", "--undo") == (
        f"{base}@production means {base}/1.0 again, not {base}/1.1\n"
    )
    assert stale("resolve", f"{base}@production") == f"{base}/1.0\n"
    assert [line.split()[2] for line in lines(stale("alias", base, "production"))[1:]] == [
        "1.0",
        "1.1",
        "1.0",
    ]
    moves = stale.json("alias", base, "production")
    assert [(move["ref"], move["why"]) for move in moves] == [
        (f"{base}/1.0", "the first"),
        (f"{base}/1.1", "[red]better"),
        (f"{base}/1.0", ""),
    ]
    assert stale.json("alias", base, "production", "--undo") == {"production": None}
    assert "has no aliases" in stale("alias", base)
    stale("alias", base, "production", "--undo", code=1)
    assert "nothing to take back" in stale.err


def test_an_alias_that_goes_back_to_what_was_yanked_says_so(stale: Terminal, cellar: Cellar) -> None:
    base = f"{RACK}/base"
    stale("alias", base, "production", "1.0")
    stale("alias", base, "production", "1.1")
    cellar.yank(f"{base}/1.0", "bad labels")
    out = lines(stale("alias", base, "production", "--undo"))
    assert out[1].startswith(f"but {base}/1.0 was yanked by ")
    assert out[1].endswith(": bad labels")


# Yank


def rebuilt(term: Terminal) -> Terminal:
    """The same, once projectA alone stands on base 1.1 and on 1.0, and projectB on 1.0."""
    term("rebuild", A, "--train", "trainers:good")
    return term


def test_yanking_a_base_tells_which_projects_move_back(stale: Terminal) -> None:
    bad = f"{RACK}/base/1.1"
    stale = rebuilt(stale)
    stale("alias", A, "production", "1.1.1")
    out = lines(stale("yank", bad, "--why", "bad labels"))
    assert out == [
        f"{bad} is yanked: no selector chooses it, and its exact ref still reads",
        "project   stood as  stands as  goes onto  why",
        (
            "projectA  1.1.1     1.0.1      -          "
            "1.1.1 does not count, as base 1.1 is yanked; stands on base 1.0, the newest it follows"
        ),
        "projectB  1.0.1     1.0.1      -          stands on base 1.0, the newest it follows",
        f"{A}@production means 1.1.1 and so finds nothing: cellar alias {A} production VERSION, or --undo",
    ]
    assert stale("resolve", A) == f"{A}/1.0.1\n"
    assert lines(stale("yank", bad, "--why", "again"))[0].startswith(f"{bad} is yanked already")
    out = lines(stale("yank", bad, "--undo", "--why", "they were right"))
    assert out[0] == f"{bad} may be chosen again"
    assert out[2].split() == [
        "projectA",
        "1.0.1",
        "1.1.1",
        "-",
        *["stands", "on", "base", "1.1,", "the", "newest", "it", "follows"],
    ]
    assert stale("resolve", f"{A}@production") == f"{A}/1.1.1\n"
    assert lines(stale("yank", bad, "--undo", "--why", "")) == [
        f"{bad} may be chosen again, and was not yanked before either"
    ]


def test_yanking_a_base_rebuilds_what_has_nothing_to_go_back_to(stale: Terminal) -> None:
    bad, model = f"{RACK}/base/1.1", f"{RACK}/projectC"
    stale("retrain", model, "--train", "trainers:good")
    done = stale.json("yank", bad, "--why", "bad labels")
    assert (done["ref"], done["yanked"], done["changed"], done["aliases"]) == (bad, True, True, {})
    moved = {one["decision"]["model"]: one for one in done["projects"]}
    assert moved[model]["before"] == f"{model}/1.1.1"
    [rebuild] = Plan.model_validate(stale.json("plan", RACK)).rebuilds
    assert moved[model]["decision"] == rebuild.model_dump(mode="json")
    assert (str(rebuild.model), str(rebuild.base), rebuild.reason) == (
        model,
        f"{RACK}/base/1.0",
        "base_yanked",
    )
    assert rebuild.sentence.startswith("1.1.1 does not count, as base 1.1 is yanked; ")
    assert f"{model}/1.0.1 was built" in stale("rebuild", RACK, "--train", "trainers:good")
    assert stale("resolve", model) == f"{model}/1.0.1\n"


def test_what_is_yanked_reads_by_its_exact_ref_with_a_warning(stale: Terminal, cellar: Cellar) -> None:
    cellar.yank(f"{RACK}/base/1.0", "bad \x1b[2J labels")
    for ref in (f"{RACK}/base/1.0", f"{A}/1.0.1"):
        assert stale("resolve", ref) == f"{ref}\n"
        assert re.fullmatch(
            rf"Warning: {RACK}/base/1.0 was yanked by \S+ on \S+ \S+ UTC: bad \\x1b\[2J labels\n", stale.err
        )
        stale("pull", ref, f"pulled-{ref.rpartition('/')[2]}")
        assert "was yanked" in stale.err
    for selector in (
        A,
        f"{A}@latest",
        f"{A}@^1",
        f"{A}@==1.0.1",
        f"{RACK}/base@==1.0",
        f"{RACK}/base@~=1.0,<1.1",
    ):
        stale("resolve", selector, code=1)
    assert stale("resolve", f"{RACK}/base@^1") == f"{RACK}/base/1.1\n"
    assert stale.err == ""


def test_what_is_yanked_is_marked_everywhere(stale: Terminal, cellar: Cellar) -> None:
    cellar.yank(f"{RACK}/base/1.0", "bad labels")
    marks = {
        ("ls", RACK): "base 1.0  accuracy 0.9  yanked",
        ("ls", f"{RACK}/base"): "accuracy 0.9         yanked",
        ("ls", A): "base yanked",
        ("show", f"{RACK}/base/1.0"): ": bad labels",
        ("show", f"{A}/1.0.1"): ": bad labels",
        ("plan", RACK): "1.0.1 does not count, as base 1.0 is yanked",
        ("explain", A): ": bad labels",
        ("log", f"{RACK}/base"): "bad labels",
    }
    for words, mark in marks.items():
        out = stale(*words)
        assert mark in out, out
        assert "yanked" in out
    [yank] = stale.json("explain", A)["yanks"]
    assert (yank["ref"], yank["why"]) == (f"{RACK}/base/1.0", "bad labels")


def test_a_bad_base_is_yanked_even_if_the_rules_of_its_rack_are_broken(
    stale: Terminal, cellar: Cellar
) -> None:
    Path(f"cellar/{RACK}/config.toml").write_text("[rebuild")
    assert "is yanked" in stale("yank", f"{RACK}/base/1.1", "--why", "bad labels")
    assert stale("resolve", f"{RACK}/base") == f"{RACK}/base/1.0\n"


# Train


def test_retrain_with_a_function_of_this_directory(term: Terminal) -> None:
    term("register", RACK, write(Path("one")), "--bump", "major")
    out = term("retrain", A, "--train", "trainers:good")
    assert lines(out) == ["training projectA", f"registered {A}/1.0.1, made from {RACK}/base/1.0"]
    assert f"{A}  loss 0.25: 100%" in term.err


def test_retrain_from_a_given_base_with_a_recipe(stale: Terminal) -> None:
    Path("recipe.json").write_text('{"parameters": {"epochs": 3}}')
    words = ("--base", f"{RACK}/base@==1.0", "--recipe", "recipe.json", "--notes", "three epochs")
    done = Registered.model_validate(stale.json("retrain", A, "--train", "trainers:good", *words))
    assert (str(done.ref), done.record.notes) == (f"{A}/1.0.2", "three epochs")
    assert done.record.recipe.parameters == {"epochs": 3}
    assert "training projectA" in stale.err


def test_a_trainers_own_error_shows_its_traceback_and_leaves_nothing(stale: Terminal, cellar: Cellar) -> None:
    stale("retrain", A, "--train", "trainers:a_fails", code=1)
    trace, _, told = stale.err.rpartition("\n")[0].rpartition("\n")
    assert trace.startswith("Traceback")
    assert 'in a_fails\n    raise ValueError("no data for [red]A[/red]")' in trace
    assert "cellar_core" not in trace
    assert told == f"Error: training {A} from {RACK}/base/1.1 raised ValueError: no data for [red]A[/red]"
    assert len(cellar.versions(A)) == 1


def test_a_trainer_that_exits_has_failed(stale: Terminal) -> None:
    stale("retrain", A, "--train", "trainers:leaves", code=1)
    assert "SystemExit" in stale.err


def test_rebuild_does_what_the_plan_wants(stale: Terminal) -> None:
    out = lines(stale("rebuild", RACK, "--train", "trainers:good"))
    assert out == [
        "training projectA",
        "training projectB",
        f"{A}/1.1.1 was built",
        f"{B}/1.1.1 was built",
        f"{A} stands on base 1.1, the newest it follows",
        f"{B} stands on base 1.1, the newest it follows",
    ]
    assert "training" not in stale("rebuild", RACK, "--train", "trainers:good")
    assert "accuracy 0.5 → 0.6" in stale("ls", RACK)


def test_rebuild_takes_up_what_was_queued(stale: Terminal, cellar: Cellar) -> None:
    Path(f"cellar/{RACK}/config.toml").write_text("[rebuild]\nmax_parallel = 1")
    done = stale.json("rebuild", RACK, "--train", "trainers:good")
    assert [one["model"] for one in done["rebuilt"]] == [A, B]


def test_rebuild_of_one_project_leaves_the_other(stale: Terminal) -> None:
    done = stale.json("rebuild", B, "--train", "trainers:good")
    assert [Rebuilt.model_validate(one).outcome for one in done["rebuilt"]] == ["built"]
    assert [skip["model"] for skip in done["skips"]] == [B]
    assert [one["model"] for one in stale.json("plan", RACK)["rebuilds"]] == [A]


def test_rebuild_goes_on_after_a_failure_and_says_so_in_the_end(stale: Terminal) -> None:
    done = stale.json("rebuild", RACK, "--train", "trainers:a_fails", code=1)
    assert [one["ref"] for one in done["rebuilt"]] == [f"{B}/1.1.1"]
    [failed] = done["failed"]
    assert (failed["model"], failed["error"], failed["retryable"]) == (A, "TrainerFailed", True)
    assert {skip["model"]: skip["reason"] for skip in done["skips"]} == {A: "failed_before", B: "up_to_date"}
    assert 'raise ValueError("no data' in stale.err


def test_a_failed_rebuild_is_done_again_when_asked_for(stale: Terminal) -> None:
    stale("rebuild", RACK, "--train", "trainers:a_fails", code=1)
    out = stale("rebuild", RACK, "--train", "trainers:good")
    assert "training projectA" not in lines(out)
    assert f"cellar rebuild {A} --again WHY" in out
    assert f"{A}/1.1.1 was built" in stale(
        "rebuild", A, "--again", "the data is back", "--train", "trainers:good"
    )


def test_asking_alone_leaves_the_work_to_others(stale: Terminal) -> None:
    stale("rebuild", RACK, "--train", "trainers:a_fails", code=1)
    assert "in the plan again" in stale("rebuild", A, "--again", "the data is back")
    [wanted] = Plan.model_validate(stale.json("plan", RACK)).rebuilds
    assert (str(wanted.model), wanted.reason) == (A, "asked_again")
    assert "the data is back" in wanted.sentence


def test_a_mistyped_trainer_makes_no_rebuild_fail(stale: Terminal) -> None:
    before = stale.json("plan", RACK)
    for words in (["--train", "trainers:god"], ["--train", "trainer:good"], ["--", "pyhton", "train.py"]):
        stale("rebuild", RACK, *words, code=2)
    assert stale.json("plan", RACK) == before


# Tend


def abandon(cellar: Cellar, content: str = "half") -> str:
    """Leave a base half registered, as a killed process does; its ref."""
    killed = caller(cellar, Watched(cellar.store, ("create", "/records/")))
    with pytest.raises(Crash):
        killed.register_base(RACK, write(Path(content), content), bump="minor")
    return f"{RACK}/base/1.{len(list(cellar.store.find(claims(Model(f'{RACK}/base'))))) - 1}"


def test_gc_waits_and_then_voids(stale: Terminal, cellar: Cellar) -> None:
    assert lines(stale("gc")) == ["nothing is open, and nothing was left behind"]
    ref = abandon(cellar)
    [out] = lines(stale("gc", "--older-than", "0m", "--dry-run"))
    assert f"{ref} is open: taken by " in out
    assert Collected.model_validate(stale.json("gc", "--older-than", "0m")).waiting[0].ref == Ref(ref)
    voids = [f"voided {ref}: its number is not given again", "freed 4 bytes"]
    assert lines(stale("gc", RACK, "--older-than", "0m", "--dry-run")) == [
        f"would have {line}" for line in voids
    ]
    assert Path(f"cellar/{ref}/model.bin").exists()
    assert lines(stale("gc", RACK, "--older-than", "0m")) == voids
    assert not Path(f"cellar/{ref}/model.bin").exists()


def test_gc_voids_at_once_what_a_person_names(stale: Terminal, cellar: Cellar) -> None:
    refs = [abandon(cellar, "one half"), abandon(cellar, "another half")]
    done = Collected.model_validate(stale.json("gc", "--now", refs[0], "--now", refs[1]))
    assert (list(map(str, done.voided)), done.freed) == (refs, 20)
    assert lines(stale("gc", "--now", refs[0])) == [
        f"emptied {refs[0]}, which was void before",
        "freed 0 bytes",
    ]
    assert stale("resolve", f"{RACK}/base") == f"{RACK}/base/1.1\n"


def test_doctor_finds_nothing_wrong(stale: Terminal) -> None:
    out = lines(stale("doctor"))
    assert [line.split("  ")[0] for line in out] == ["ok"] * len(out)
    assert Diagnosis.model_validate(stale.json("doctor")).ok


def test_doctor_fails_where_there_is_something_to_do(stale: Terminal, cellar: Cellar) -> None:
    Path(f"cellar/{RACK}/config.toml").write_text("[rebuild]\non_minor = 3")
    out = lines(stale("doctor", code=1))
    [problem] = [line for line in out if line.startswith("problem")]
    assert f"{RACK}/config.toml: rebuild.on_minor" in problem
    assert not Diagnosis.model_validate(stale.json("doctor", code=1)).ok
    assert "cellar init" in stale("doctor", "--cellar", "nowhere", code=1)


# What is wrong


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("register vit/vit-l one", 2, "--bump minor"),
        ("register vit/vit-l/projectA one", 2, "--base"),
        ("register vit/vit-l/projectA one --base vit/vit-l/base/1.0 --bump minor", 2, "--bump and --after"),
        ("register vit/vit-l/projectA one --base 1.0", 2, "'1.0' is no ref"),
        (
            "register vit/vit-l/projectA one --base vit/vit-l/base/1.7",
            1,
            "versions of vit/vit-l/base: 1.0, 1.1",
        ),
        ("register vit/vit-l one --bump minor", 1, "give --again to number it once more"),
        ("register vit/vit-l nowhere --bump minor", 1, "nowhere is not there"),
        ("register vit/vit-l one --version v1", 2, "write X.Y"),
        ("register vit/vit-l one --bump minor --recipe list.json", 2, "list.json holds no table"),
        ("register vit/vit-l one --bump minor --recipe broken.toml", 2, "broken.toml cannot be read"),
        ("register vit/vit-l one --bump minor --recipe wrong.json", 2, "seed"),
        ("retrain vit/vit-l/projectA", 2, "--train PKG.MOD:NAME, or a command after --"),
        ("retrain vit/vit-l/projectA --train trainers:good -- true", 2, "in one way"),
        ("retrain vit/vit-l/projectA --train trainers:good --timeout 3", 2, "--timeout ends a command"),
        ("retrain vit/vit-l/projectA --train nowhere:good", 2, "No module named 'nowhere'"),
        ("retrain vit/vit-l/projectA -- pyhton train.py", 2, "'pyhton'"),
        ("retrain vit/vit-l/projectA -- false", 1, "exit code 1"),
        ("retrain vit/vit-l/projectA -- true", 1, "wrote no file"),
        ("retrain vit/vit-l/base -- true", 2, "name a project's model"),
        ("rebuild vit/vit-l -- pyhton", 2, "'pyhton'"),
        ("rebuild vit/vit-l --again why", 2, "cellar rebuild RACK/PROJECT --again WHY"),
        ("rebuild vit/vit-l/projectA --again x --take-over y", 2, "either --again"),
        ("rebuild vit/vit-l/projectA --take-over gone", 1, "cellar plan vit/vit-l"),
        ("rebuild vit/vit-l/projectC -- true", 1, "cellar retrain vit/vit-l/projectC"),
        ("approve vit/vit-l/base/2.0", 1, "versions of vit/vit-l/base: 1.0, 1.1"),
        ("approve vit/vit-l/projectA/1.0.1", 2, "is no base"),
        ("alias vit/vit-l/projectA Production 1.0.1", 2, "lower-case"),
        ("alias vit/vit-l/projectA production", 1, "has no alias 'production'; set it with: cellar alias"),
        ("alias vit/vit-l/projectA --undo", 2, "--undo goes with MODEL NAME"),
        ("alias vit/vit-l/projectA production 1.0.1 --undo", 2, "--undo goes with MODEL NAME"),
        ("alias vit/vit-l/projectA production --why x", 2, "--why with MODEL NAME VERSION"),
        ("yank vit/vit-l/base/1.0", 2, "Missing option '--why'"),
        ("yank vit/vit-l/base --why x", 2, "'vit/vit-l/base' is no ref: write rack, project and version"),
        ("yank vit/vit-l/base/1.3 --why x", 1, "Did you mean vit/vit-l/base/1.1?"),
        ("ls vit/vit-l/projectA/1.0.1", 1, "cellar show vit/vit-l/projectA/1.0.1"),
        ("pull vit/vit-l/projectA one", 1, "is not empty"),
        ("rack vit", 1, "choose another name"),
        (
            "gc --now vit/vit-l/base/1.0",
            1,
            "vit/vit-l/base/1.0 is a version, and no version is ever voided; yank it",
        ),
        (
            "gc --now vit/vit-l/base/1.2",
            1,
            "nobody took vit/vit-l/base/1.2; taken of vit/vit-l/base: 1.0, 1.1",
        ),
        ("gc --now 1.2", 2, "'1.2' is no ref"),
        ("gc --older-than tomorrow", 2, "30m, 24h or 7d"),
        ("gc vit/vit-m", 1, "there is no rack vit/vit-m"),
        ("plan", 2, "Missing argument 'RACK'. See: cellar plan --help"),
        ("lss", 2, "Did you mean 'ls'?"),
        ("ls --jsno", 2, "Did you mean --json? See: cellar ls --help"),
        ("ls one two three", 2, "unexpected extra argument"),
        ("register vit/vit-l one --bump huge", 2, "'huge' is not one of 'minor', 'major'"),
        ("register vit/vit-l one --bump minor --recipe nowhere.json", 2, "'nowhere.json' does not exist"),
        ("ls --cellar nowhere", 1, "cellar init"),
        ("ls --cellar ftp://nowhere", 2, "ftp://"),
        ("ls --cellar", 2, "requires an argument"),
        ("init trainers.py/below", 1, "trainers.py"),
    ],
)
def test_what_is_wrong_and_what_to_do_next(stale: Terminal, words: str, code: int, told: str) -> None:
    Path("list.json").write_text("[]")
    Path("broken.toml").write_text("a = ")
    Path("wrong.json").write_text('{"seed": "x"}')
    assert stale(*words.split(), code=code) == ""
    assert told in " ".join(stale.err.split())
    assert stale.err.startswith("Error: ")
    assert len(stale.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("ls vit/vitl", RACK),
        ("plan vit/vit-k", RACK),
        ("resolve vit/vit-l/projctA", A),
        ("resolve vit/vit-l/projctA@^1", A),
        ("show vit/vit-l/projctA/1.0.1", A),
        ("show vit/vit-l/projectA/1.0.7", f"{A}/1.0.1"),
        ("resolve vit/vit-l/projectA@prodcution", f"{A}@production"),
        ("alias vit/vit-l/projectA production 1.0.2", f"{A}/1.0.1"),
        ("approve vit/vit-l/base/1.1 --project projctA", A),
        ("pull vit/vit-l/bass x", f"{RACK}/base"),
        ("rebuild vit/vitl -- true", RACK),
        ("register vit/vitl/projectA one --base vit/vitl/base/1.0", A),
    ],
)
def test_a_mistyped_name_suggests_the_nearest(stale: Terminal, words: str, meant: str) -> None:
    stale("alias", A, "production", "1.0.1")
    stale(*words.split(), code=1)
    assert stale.err.endswith(f"Did you mean {meant}?\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("lineage vit/vit-l", "vit/vit-l is a rack: name one of its models, such as vit/vit-l/base"),
        ("retrain vit/vit-l -- true", "vit/vit-l is a rack: name one of its models, such as vit/vit-l/base"),
        ("plan vit/vit-l/projectA", "vit/vit-l/projectA is a model: name its rack, vit/vit-l"),
        ("gc vit/vit-l/base", "'base' is a model of a rack"),
    ],
)
def test_a_rack_in_place_of_a_model_is_told_and_a_model_in_place_of_a_rack(
    stale: Terminal, words: str, told: str
) -> None:
    stale(*words.split(), code=2 if "gc" in words else 1)
    assert told in stale.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ls", "vit/a b"], 1),
        (["register", "vit/\x1b[31mred", "one", "--bump", "minor"], 2),
        (["register", "vit/vit-l/project X", "one", "--base", f"{RACK}/base/1.0"], 2),
        (["register", RACK, "one", "--bump", "minor", "--notes", "\udcff bad"], 2),
        (["register", RACK, "no\udcff", "--bump", "minor"], 1),
        (["yank", f"{RACK}/base/1.1", "--why", "\udcff\x1b"], 2),
        (["show", f"{RACK}/base/\u0661.\u0660"], 2),
        (["alias", A, "", "1.0.1"], 2),
        (["ls", ""], 1),
        (["\x1b[2J"], 2),
        (["ls", "--x\x1b[2J"], 2),
        (["report", RACK, "-o", "nowhere/\x1b[2J.html"], 1),
    ],
)
def test_hostile_words_are_refused_in_one_printable_line(
    stale: Terminal, cellar: Cellar, words: list[str], code: int
) -> None:
    before = snapshot(cellar)
    assert stale(*words, code=code) == ""
    assert stale.err.endswith("\n")
    assert stale.err[:-1].isprintable()
    assert snapshot(cellar) == before
    assert stale(*words, "--json", code=code) == ""
    assert json.loads(stale.err)["error"]


def test_an_error_as_json_is_the_last_line_on_stderr(stale: Terminal) -> None:
    assert stale("resolve", f"{A}@^7", "--json", code=1) == ""
    error = json.loads(stale.err)
    assert error["error"] == "NoSuchVersion"
    assert error["retryable"] is False
    assert "1.0.1" in error["message"]
    assert stale("retrain", A, "--json", "--", "sh", "-c", "echo version=3; exit 3", code=1) == ""
    *output, last = stale.err.splitlines()
    assert output == ["version=3"]
    failed = json.loads(last)
    assert failed["retryable"] is True
    assert "sh -c echo version=3; exit 3" in failed["message"]
    assert stale("register", RACK, "one", "--json", code=2) == ""
    assert json.loads(stale.err)["error"] == "BadUsage"
    assert stale("plan", "--json", code=2) == ""
    error = json.loads(stale.err)
    assert (error["error"], error["retryable"]) == ("BadUsage", False)
    assert "Missing argument 'RACK'" in error["message"]


def test_without_a_cellar_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    term = Terminal()
    term("ls", code=2)
    assert "Give --cellar URL, or set CELLAR_URL" in term.err


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_cellar_may_be_named_before_the_command_or_after_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setenv("CELLAR_URL", "memory://another")
    bench.base(bump="major")
    for option in (["--cellar", bench.cellar.url], [f"--cellar={bench.cellar.url}"]):
        words = ["ls", RACK]
        words[place:place] = option
        assert "base 1.0" in Terminal()(*words)


def test_after_two_dashes_everything_is_the_commands_own(stale: Terminal) -> None:
    script = 'test "$1" = --cellar && test "$2" = x && cp -r "$CELLAR_BASE_DIR"/. "$CELLAR_OUTPUT_DIR"'
    assert "registered" in stale("retrain", A, "--", "sh", "-c", script, "sh", "--cellar", "x")


# Help


KEEP, FIND = ["init", "rack", "register", "copy"], ["ls", "show", "report", "resolve", "pull", "verify"]
TRACE = ["log", "explain", "lineage", "diff"]
DECIDE, TRAIN, TEND = ["plan", "approve", "alias", "yank"], ["retrain", "rebuild"], ["gc", "doctor"]
FILES = ["check", "docs", "import"]
PANELS = ["Keep", "Find", "Trace", "Decide", "Train", "Tend", "Files"]
COMMANDS = [*KEEP, *FIND, *TRACE, *DECIDE, *TRAIN, *TEND, *FILES]


def test_help_lists_every_command_on_one_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = Terminal()("--help")
    assert re.findall(rf"(?<= )({'|'.join(COMMANDS)})  +(?=[A-Z])", text) == COMMANDS
    assert re.findall(rf"^([A-Z]\w+) +(?:{'|'.join(COMMANDS)})  ", text, re.MULTILINE) == PANELS
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) < 24  # and the line to type the next command in
    assert Terminal()() == text


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_shows_an_example_and_its_json(name: str) -> None:
    text = Terminal()(name, "--help")
    assert re.search(rf"Examples?:\s+(CELLAR_URL=\S+ )?cellar {name}\b", text)
    assert "--json" in text
    assert "Print JSON (" in text


def test_version() -> None:
    assert re.match(r"cellar-flows \d+\.\d+", Terminal()("--version"))


# Understand


def test_log_tells_what_happened(stale: Terminal, cellar: Cellar) -> None:
    cellar.alias(A, "production", "1.0.1")
    out = stale("log", RACK)
    assert [line for line in lines(out) if "a minor bump" in line and f"{RACK}/base/1.1" in line]
    assert [one["what"] for one in stale.json("log", A)] == ["registered, made from base 1.0", "means 1.0.1"]
    stale("log", "vit/vit-x", code=1)
    assert "there is no rack vit/vit-x" in stale.err


def test_explain_tells_why_a_project_is_rebuilt_or_not(stale: Terminal) -> None:
    out = stale("explain", A)
    assert lines(out)[0] == f"{A} is to be rebuilt: 1.0.1 stands on base 1.0; base 1.1 is newer"
    assert re.search(r"on_major +approve", out)
    stale("rebuild", A, "--train", "trainers:good")
    assert "is left as it is: stands on base 1.1" in stale("explain", A)
    found = stale.json("explain", A)
    assert found["decision"]["reason"] == "up_to_date"
    assert [one["what"] for one in found["log"]][-2:] == ["rebuild started", "registered, made from base 1.1"]
    assert found["policy"]["track"] == "latest"
    stale("explain", f"{RACK}/projectX", code=1)
    assert "knows no project projectX; it knows: projectA, projectB" in stale.err
    stale("explain", f"{RACK}/base", code=2)


def test_lineage_draws_where_a_version_comes_from(stale: Terminal) -> None:
    assert lines(stale("lineage", A)) == [f"{RACK}/base/1.0", f"└── {A}/1.0.1"]
    assert lines(stale("lineage", f"{RACK}/base/1.0")) == [
        f"{RACK}/base/1.0",
        f"├── {A}/1.0.1",
        f"└── {B}/1.0.1",
    ]
    found = stale.json("lineage", A)
    assert found["ancestors"] == [f"{RACK}/base/1.0"]
    words = (write(Path("three"), "three"), "--bump", "minor", "--recipe", "recipe.toml")
    Path("recipe.toml").write_text(f'pretrained = "{RACK}/base/1.1"')
    stale("register", RACK, *words)
    assert lines(stale("lineage", f"{RACK}/base")) == [f"{RACK}/base/1.1", f"└── {RACK}/base/1.2"]


def test_diff_tells_what_differs(stale: Terminal) -> None:
    out = stale("diff", f"{RACK}/base/1.0", f"{RACK}/base@latest")
    assert re.search(r"metric accuracy +0\.9 +0\.95", out)
    assert re.search(r"file model\.bin +3 bytes, blake3:\S+ +3 bytes, blake3:", out)
    assert "are alike" in stale("diff", f"{RACK}/base/1.0", f"{RACK}/base/1.0")
    assert stale.json("diff", f"{RACK}/base/1.0", RACK + "/base")["metrics"]["accuracy"] == {
        "before": 0.9,
        "after": 0.95,
    }
