"""SPEC's section "Versioning", sentence by sentence, and DESIGN's "Readings of the specification", row by row.

Each docstring quotes the sentence or row that its test is about; the real functions have to keep it.
"""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cellar_core import Bump, Reason, Recipe, RetrainJob
from cellar_core.admit import BaseMismatch, InvalidRecipe
from cellar_core.bump import ContractChanged, spot
from cellar_core.choose import choose, takes
from cellar_core.errors import CellarError
from cellar_core.line import Line
from cellar_core.rack import RackConfig
from cellar_core.ref import Caret, Model, Rack, Ref, Selector
from cellar_core.version import BaseVersion, InvalidVersion, ProjectVersion
from cellar_core.versions import Versions
from cellar_core.want import ProjectState, RackState, Want, want
from tests.core.helpers import bench, train
from tests.core.strategies import (
    NOW,
    RACK,
    base_versions,
    few_bases,
    names,
    numbers,
    project_versions,
    racks,
    recipes,
    small,
    versions,
)

few = settings(max_examples=12)
"""For tests that register: each example is a registry of its own."""


def successor(model: Model, newest: BaseVersion, bump: Bump) -> Ref:
    """The number that a bump of a base gets whose newest version that is."""
    where = spot(model, [newest], bump)
    taken = newest.minor if where.line.number(newest) is not None else where.line.first - 1
    return where.line.at(taken + 1)


class TestSummary:
    """### Summary."""

    @given(versions)
    def test_versioning_strategy(self, version: BaseVersion | ProjectVersion) -> None:
        """In project-based model registry, versioning strategy is here."""
        text = str(version)
        assert (text.count("."), type(version)) in {(1, BaseVersion), (2, ProjectVersion)}

    @few
    @given(st.integers(1, 3))
    def test_no_topping_up(self, times: int) -> None:
        """We do not recommend an overall strategy of repeatedly fine-tuning a model in a “secret sauce style", continually topping it up iteration after iteration."""  # noqa: E501
        with bench() as b:
            base = b.base()
            for _ in range(times):
                tuned = b.project(base)
                with pytest.raises(BaseMismatch, match="nothing is tuned from a tuned model; name a base"):
                    b.project(tuned)
            assert [
                record.parent and str(record.parent.ref) for record in b.cellar.records("vit/vit-l/projectA")
            ] == [base] * times

    @few
    @given(recipes)
    def test_from_scratch(self, recipe: Recipe) -> None:
        """In `ml-cellar`, our policy is to ensure reproducibility by retraining from scratch, rather than relying on incremental “top-up” training on an already fine-tuned model."""  # noqa: E501
        with bench() as b:
            base = b.base("the base")
            jobs: list[RetrainJob] = []

            def look(job: RetrainJob) -> None:
                assert [path.name for path in job.base_dir.iterdir()] == ["model.bin"]
                assert (job.base_dir / "model.bin").read_text() == "the base"
                assert not list(job.output_dir.iterdir())
                jobs.append(job)
                train(job)

            first = b.cellar.retrain("vit/vit-l/projectA", look, recipe=recipe)
            again = b.cellar.retrain("vit/vit-l/projectA", look)
            assert [str(job.base) for job in jobs] == [base, base]
            assert jobs[0].recipe == jobs[1].recipe == recipe
            assert (again.ref, again.created) == (
                first.ref,
                False,
            )  # the same base and recipe gave the same bytes
            paths = {field.name for field in fields(RetrainJob) if "Path" in str(field.type)}
            assert paths == {"base_dir", "output_dir"}

    @few
    @given(names)
    def test_more_full_featured_platform(self, name: str) -> None:
        """If you do want to keep fine-tuning on top of fine-tuned models, you should build a more full-featured MLOps platform—such as MLflow—and ensure end-to-end traceability (data, code, parameters, and artifacts)."""  # noqa: E501
        with bench() as b:
            base = b.base()
            tuned = b.project(base, name=name)
            with pytest.raises(BaseMismatch):
                b.cellar.retrain("vit/vit-l/other-one", train, base=tuned)
            with pytest.raises(
                InvalidRecipe, match=r"pretrained: .*nothing is ever tuned from a tuned model"
            ):
                b.base(recipe={"pretrained": tuned})
            with pytest.raises(BaseMismatch):
                b.cellar.approve(tuned)
            assert len(b.cellar.models("vit/vit-l")) == 2


class TestBaseModel:
    """### Versioning for base model."""

    @given(racks, base_versions())
    def test_format(self, rack: Rack, version: BaseVersion) -> None:
        """Format: `{algorithm}-{option}/base/X.Y`."""
        ref = Ref(f"{rack}/base/{version}")
        assert ref.version == version
        assert str(ref) == f"{rack}/base/{version.major}.{version.minor}"
        with pytest.raises(InvalidVersion):
            Ref(f"{rack}/base/{version}.1")

    @few
    @given(names)
    def test_start_from_the_base(self, name: str) -> None:
        """When creating a new model, always start from the base model."""
        with bench() as b:
            with pytest.raises(CellarError, match="there is no rack"):
                b.project("vit/vit-l/base/0.1", name=name)
            base = b.base()
            record = b.cellar.resolve(b.project(base, name=name))
            assert record.parent is not None
            assert str(record.parent.ref) == base
            assert record.parent.tree == b.cellar.resolve(base).tree

    @example("vit-l", BaseVersion("2.0"))
    @example("gpt-oss-20b", BaseVersion("1.2"))
    @given(names, base_versions())
    def test_example(self, rack: str, version: BaseVersion) -> None:
        """Example: `vit-l/base/2.0`, `gpt-oss-20b/base/1.2`."""
        ref = Ref(f"{rack}/base/{version}")
        assert (str(ref), ref.version) == (f"{rack}/base/{version}", version)
        assert ref.model.is_base

    @given(base_versions(small), base_versions(small))
    def test_major_version_for_the_application(self, old: BaseVersion, new: BaseVersion) -> None:
        """`X`: Major model version for the application."""
        assert (Bump.between(old, new) is Bump.MINOR) is (old.major == new.major)

    @few
    @given(st.sampled_from(["signature.json", "labels.txt"]))
    def test_changes_on_the_application_side(self, file: str) -> None:
        """If the model input or output changes, or the architecture is modified (such as changing layer types), requiring changes on the application side, the major version is incremented."""  # noqa: E501
        with bench() as b:
            key = file.replace(".", "__")
            b.cellar.create_rack("vit/vit-l")
            b.configure(f'[artifact]\ncontract_files = ["{file}"]')
            b.cellar.register_base("vit/vit-l", b.files("one", **{key: "224x224"}), bump="major")
            other = b.files("two", **{key: "160x160"})
            with pytest.raises(ContractChanged, match=f"{file} is not as in .*register with bump=major"):
                b.cellar.register_base("vit/vit-l", other, bump="minor")
            assert str(b.cellar.register_base("vit/vit-l", other, bump="major").ref) == "vit/vit-l/base/2.0"

    @given(base_versions(small), base_versions(small))
    def test_integration_tests(self, old: BaseVersion, new: BaseVersion) -> None:
        """When the major version `X` is changed, it indicates that application-side engineers need to perform integration tests."""  # noqa: E501
        bases = Versions({old, new})
        project = ProjectState(RACK.project("projectA"), Versions([ProjectVersion.first(min(old, new))]))
        state = RackState("a cellar", RACK, bases, projects=(project,))
        answer = want(state, RackConfig(), project, NOW)
        if old.major != new.major:
            assert answer.reason is Reason.AWAITING_APPROVAL
            assert "integration tests" in answer.sentence
        elif old != new:
            assert isinstance(answer, Want)

    @given(base_versions(small), st.lists(base_versions(small), min_size=1, max_size=6))
    def test_application_continues_to_work(self, known: BaseVersion, found: list[BaseVersion]) -> None:
        """Conversely, when `X` is not changed, it guarantees that the application can continue to work with the new model without changes."""  # noqa: E501
        fits = [version for version in found if takes(Caret((known.major, known.minor)), version)]
        assert all(version.major == known.major and version >= known for version in fits)
        if known.major > 0 and fits:
            assert choose(Selector(f"vit-l/base@^{known}"), found) == max(fits)
            assert max(fits) == max(v for v in found if v.major == known.major)

    @few
    @given(st.text("abc", min_size=1, max_size=3))
    def test_early_development(self, signature: str) -> None:
        """If the major version is 0 (e.g., 0.Y), it indicates an early development stage where breaking changes are allowed."""  # noqa: E501
        with bench() as b:
            b.cellar.create_rack("vit/vit-l")
            b.configure('[artifact]\ncontract_files = ["signature.json"]')
            for content, contract in (("one", "x"), ("two", signature)):
                b.cellar.register_base("vit/vit-l", b.files(content, signature__json=contract), bump="minor")
            assert [str(ref.version) for ref in b.cellar.versions("vit/vit-l/base")] == ["0.1", "0.2"]
            assert not takes(Caret((0, 1)), BaseVersion("0.2"))

    @given(base_versions(small), base_versions(small))
    def test_minor_version(self, old: BaseVersion, new: BaseVersion) -> None:
        """`Y`: Minor version of the base model (training configuration version)."""
        assert (Line.of(Ref(f"vit-l/base/{old}")).number(new) == new.minor) is (old.major == new.major)

    @few
    @given(st.sampled_from(["parameters", "data", "pretrained", "weights"]))
    def test_what_raises_the_minor_version(self, changed: str) -> None:
        """This includes changes in training parameters, datasets used, and the pre-trained model."""
        with bench() as b:
            first = b.base("same bytes", version="1.0", recipe={"parameters": {"lr": 0.1}})
            recipe = {
                "parameters": {"parameters": {"lr": 0.2}},
                "data": {"parameters": {"lr": 0.1}, "data": ["s3://data/2"]},
                "pretrained": {"parameters": {"lr": 0.1}, "pretrained": first},
                "weights": {"parameters": {"lr": 0.1}},
            }[changed]
            content = "other bytes" if changed == "weights" else "same bytes"
            assert b.base(content, recipe=recipe) == "vit/vit-l/base/1.1"

    @given(racks, base_versions(st.integers(0, 999_999_998)))
    def test_major_update(self, rack: Rack, newest: BaseVersion) -> None:
        """Version update from `base/X.Y` to `base/(X+1).0`: When changes are required on the application side, increment the major version `X`."""  # noqa: E501
        assert successor(rack.base, newest, Bump.MAJOR) == Ref(f"{rack}/base/{newest.major + 1}.0")

    @few
    @example("the input size was reduced")
    @given(st.text("xyz", min_size=1, max_size=3))
    def test_major_example(self, change: str) -> None:
        """The processing power of the mobile device was insufficient, so the input size was reduced and the architecture was changed to a lighter model. Since application-side changes were also necessary, the model was released as `vit-l/base/2.0` from `vit-l/base/1.1`."""  # noqa: E501
        with bench() as b:
            b.base(rack="vit-l", version="1.1")
            done = b.cellar.register_base("vit-l", b.files(f"a lighter model: {change}"), bump=Bump.MAJOR)
            assert (str(done.ref), str(done.record.after)) == ("vit-l/base/2.0", "vit-l/base/1.1")
            assert done.record.bump is Bump.MAJOR

    @given(racks, base_versions(st.integers(0, 999_999_998)))
    def test_minor_update(self, rack: Rack, newest: BaseVersion) -> None:
        """Version update from `base/X.Y` to `base/X.(Y+1)`: When no changes are required on the application side, increment the minor version `Y`."""  # noqa: E501
        assert successor(rack.base, newest, Bump.MINOR) == Ref(
            f"{rack}/base/{newest.major}.{newest.minor + 1}"
        )

    @few
    @example(["all", "bad"])
    @given(st.lists(st.text("xyz", max_size=3), min_size=1, max_size=3))
    def test_minor_example(self, data: list[str]) -> None:
        """Training was performed after removing part of the dataset that had negative effects. Since the architecture remained unchanged and no application changes were needed, the model was released as `gpt-oss-20b/base/1.1` from `gpt-oss-20b/base/1.0`."""  # noqa: E501
        with bench() as b:
            b.base("weights", rack="gpt-oss-20b", bump="major", recipe={"data": data})
            done = b.cellar.register_base(
                "gpt-oss-20b", b.files("new weights"), bump=Bump.MINOR, recipe={"data": data[:-1]}
            )
            assert (str(done.ref), str(done.record.after)) == ("gpt-oss-20b/base/1.1", "gpt-oss-20b/base/1.0")
            assert done.record.bump is Bump.MINOR


class TestProjectModel:
    """### Versioning for project model."""

    @given(racks, names, project_versions())
    def test_format(self, rack: Rack, name: str, version: ProjectVersion) -> None:
        """Models are managed using the format `{algorithm}-{option}/{project_name}/X.Y.Z`."""
        ref = Ref(f"{rack}/{name}/{version}")
        assert str(ref) == f"{rack}/{name}/{version.major}.{version.minor}.{version.update}"
        with pytest.raises(InvalidVersion):
            Ref(f"{rack}/{name}/{version.base}")

    @few
    @given(st.integers(1, 3))
    def test_optional(self, bumps: int) -> None:
        """The project model is an optional model."""
        with bench() as b:
            for _ in range(bumps):
                b.base()
            plan = b.cellar.plan("vit/vit-l")
            assert not plan
            assert not plan.skips

    @few
    @given(st.integers(1, 3))
    def test_no_need(self, bumps: int) -> None:
        """If the base model provides sufficient performance, there is no need to create a project model."""
        with bench() as b:
            base = [b.base() for _ in range(bumps)][-1]
            assert str(b.cellar.resolve("vit/vit-l/base").ref) == base
            assert [str(model) for model in b.cellar.models("vit/vit-l")] == ["vit/vit-l/base"]

    @few
    @given(
        st.sets(names, min_size=1, max_size=3).filter(
            lambda found: len({n.lower() for n in found}) == len(found)
        )
    )
    def test_higher_performance(self, projects: set[str]) -> None:
        """If higher performance is required for a specific project, creating a project model and fine-tuning for specific project are recommended."""  # noqa: E501
        with bench() as b:
            base = b.base()
            made = {str(b.cellar.retrain(f"vit/vit-l/{name}", train).ref) for name in projects}
            assert made == {f"vit/vit-l/{name}/0.1.1" for name in projects}
            assert {str(b.cellar.resolve(ref).ref.base) for ref in made} == {base}

    @given(racks, names, project_versions())
    def test_corresponding_base(self, rack: Rack, name: str, version: ProjectVersion) -> None:
        """`X.Y`: Version of the corresponding base model."""
        assert Ref(f"{rack}/{name}/{version}").base == Ref(f"{rack}/base/{version.major}.{version.minor}")

    @few
    @given(st.lists(st.sampled_from(["1.0", "1.1"]), min_size=1, max_size=6))
    def test_number_of_updates(self, on: list[str]) -> None:
        """`Z`: Version of the project model (number of updates for the same base model)."""
        with bench() as b:
            for version in ("1.0", "1.1"):
                b.base(version=version)
            for index, version in enumerate(on):
                updates = on[: index + 1].count(version)
                assert b.project(f"vit/vit-l/base/{version}") == f"vit/vit-l/projectA/{version}.{updates}"

    @few
    @example(3)
    @given(st.integers(1, 4))
    def test_example(self, updates: int) -> None:
        """`gpt-oss-20b/projectA/1.2.3`: This model is fine-tuned from `gpt-oss-20b/base/1.2`. It represents the third update of the project model after `1.2.1` and `1.2.2`."""  # noqa: E501
        with bench() as b:
            base = b.base(rack="gpt-oss-20b", version="1.2")
            made = [b.project(base) for _ in range(updates)]
            assert made == [f"gpt-oss-20b/projectA/1.2.{update + 1}" for update in range(updates)]
            assert {str(Ref(ref).base) for ref in made} == {"gpt-oss-20b/base/1.2"}

    @few
    @given(st.lists(st.text("xyz", max_size=3), min_size=2, max_size=4, unique=True))
    def test_updated_dataset(self, datasets: list[str]) -> None:
        """When the dataset used for fine-tuning is updated, increment `Z` (project model version)."""
        with bench() as b:
            base = b.base(version="1.2")
            made = [b.project(base, "bytes", recipe={"data": [data]}) for data in datasets]
            assert made == [f"vit/vit-l/projectA/1.2.{update + 1}" for update in range(len(datasets))]

    @few
    @given(st.lists(st.integers(0, 9), min_size=2, max_size=4, unique=True))
    def test_changed_parameters(self, epochs: list[int]) -> None:
        """When fine-tuning parameters are changed and the model is retrained, increment `Z`."""
        with bench() as b:
            b.base(version="1.2")
            made = [
                str(
                    b.cellar.retrain(
                        "vit/vit-l/projectA", train, recipe={"parameters": {"epochs": number}}
                    ).ref
                )
                for number in epochs
            ]
            assert made == [f"vit/vit-l/projectA/1.2.{update + 1}" for update in range(len(epochs))]

    @given(project_versions(small))
    def test_update(self, version: ProjectVersion) -> None:
        """Update from `X.Y.Z` to `X.Y.(Z+1)`."""
        assert str(version.bumped()) == f"{version.major}.{version.minor}.{version.update + 1}"

    @few
    @given(st.integers(1, 3))
    def test_new_base(self, updates: int) -> None:
        """When fine-tuning is performed from a new base model, update from `X.Y` to `X.(Y+1)` and create a new model such as `projectA/X.(Y+1).1`."""  # noqa: E501
        with bench() as b:
            base = b.base(version="1.2")
            for _ in range(updates):
                b.project(base)
            b.base()
            [rebuild] = b.cellar.plan("vit/vit-l").rebuilds
            assert rebuild.reason is Reason.BASE_MINOR
            built = b.cellar.rebuild(rebuild, train, holder="a test")
            assert str(built.ref) == "vit/vit-l/projectA/1.3.1"


class TestReadings:
    """## Readings of the specification."""

    @given(racks, st.sampled_from(Bump), base_versions(numbers))
    def test_first_base_version(self, rack: Rack, bump: Bump, anywhere: BaseVersion) -> None:
        """| first base version | minor on an empty base → `0.1`, major → `1.0`; an exact `version=` may start anywhere; `0.0` parses, is never proposed |."""  # noqa: E501
        where = spot(rack.base, [], bump)
        assert str(where.line.at(where.line.first).version) == {"minor": "0.1", "major": "1.0"}[bump]
        assert str(BaseVersion("0.0")) == "0.0"
        assert successor(rack.base, BaseVersion("0.0"), bump).version != BaseVersion("0.0")
        assert Line.of(rack.base.at(anywhere)).number(anywhere) == anywhere.minor

    @few
    @given(base_versions(st.integers(0, 30)).filter(lambda version: version > BaseVersion("0.0")))
    def test_first_base_version_anywhere(self, version: BaseVersion) -> None:
        """| first base version | … an exact `version=` may start anywhere … |."""
        with bench() as b:
            assert b.base(version=version) == f"vit/vit-l/base/{version}"
            assert b.base() == f"vit/vit-l/base/{version.bumped(Bump.MINOR)}"

    @given(st.integers(0, 99))
    def test_from_zero_to_one(self, minor: int) -> None:
        """| `0.Y` → `1.0` | a major bump like any other |."""
        assert successor(RACK.base, BaseVersion(f"0.{minor}"), Bump.MAJOR) == Ref("vit/vit-l/base/1.0")
        project = ProjectState(RACK.project("projectA"), Versions([ProjectVersion(f"0.{minor}.1")]))
        bases = Versions([BaseVersion(f"0.{minor}"), BaseVersion("1.0")])
        state = RackState("a cellar", RACK, bases, projects=(project,))
        assert want(state, RackConfig(), project, NOW).reason is Reason.AWAITING_APPROVAL

    @given(project_versions(st.integers(0, 3)))
    def test_caret_in_early_development(self, version: ProjectVersion) -> None:
        """| `^0.2` | only `0.2` and its `Z`: in `0.Y` every `Y` may break |."""
        assert takes(Caret((0, 2)), version) is (version.base == BaseVersion("0.2"))
        assert takes(Caret((0, 2)), version.base) is (version.base == BaseVersion("0.2"))

    @few
    @given(st.booleans())
    def test_maintenance(self, approved: bool) -> None:
        """| `1.5` after `2.0` exists | allowed when asked for exactly (`after="1.4"`); plain minor is on the newest `X`; projects that track `^1` follow it |."""  # noqa: E501
        with bench() as b:
            b.base(version="1.4")
            b.project("vit/vit-l/base/1.4")
            b.project("vit/vit-l/base/1.4", name="projectB")
            b.base(version="2.0")
            b.configure('[projects.projectA]\ntrack = "^1"')
            if approved:
                b.cellar.approve("vit/vit-l/base/2.0")
            assert b.base() == "vit/vit-l/base/2.1"
            assert b.base(after="1.4") == "vit/vit-l/base/1.5"
            wanted = {
                rebuild.model.project: str(rebuild.base.version)
                for rebuild in b.cellar.plan("vit/vit-l").rebuilds
            }
            assert wanted == {"projectA": "1.5", "projectB": "2.1" if approved else "1.5"}

    @few
    @given(st.integers(1, 3))
    def test_hotfix(self, fixes: int) -> None:
        """| new `Z` on an older base | allowed (a hotfix); `latest` is by number, so it does not move; the plan still says behind |."""  # noqa: E501
        with bench() as b:
            old, new = b.base(version="1.2"), b.base(version="1.3")
            newest = b.project(new)
            b.project(old)
            b.project(old, name="projectB")
            for fix in range(fixes):
                assert b.project(old) == f"vit/vit-l/projectA/1.2.{fix + 2}"
                b.project(old, name="projectB")
            assert str(b.cellar.resolve("vit/vit-l/projectA@latest").ref) == newest
            [behind] = b.cellar.plan("vit/vit-l").rebuilds
            assert (behind.model.project, str(behind.base)) == ("projectB", new)

    @few
    @given(recipes, recipes)
    def test_same_bytes_other_recipe(self, one: Recipe, other: Recipe) -> None:
        """| same bytes, other recipe | a new `Z` |."""
        with bench() as b:
            base = b.base(version="1.2")
            first = b.project(base, "bytes", recipe=one)
            second = b.project(base, "bytes", recipe=other)
            assert (first == second) is (one.facts() == other.facts())
            assert b.project(base, "bytes", recipe=one) == first

    @few
    @given(names)
    def test_rack_of_one_segment(self, name: str) -> None:
        """| rack of one segment (`vit-l/base/2.0`) | legal; the `{algorithm}/` prefix is a convention that `check` only advises |."""  # noqa: E501
        with bench() as b:
            assert b.base(rack=name, version="2.0") == f"{name}/base/2.0"
            assert b.project(f"{name}/base/2.0") == f"{name}/projectA/2.0.1"

    @few
    @given(st.integers(0, 2))
    def test_project_with_option(self, updates: int) -> None:
        """| `{project}-{option}` | an independent project |."""
        with bench() as b:
            base = b.base(version="1.2")
            for _ in range(updates):
                b.project(base)
            assert b.project(base, name="projectA-night") == "vit/vit-l/projectA-night/1.2.1"
            assert len(b.cellar.versions("vit/vit-l/projectA")) == updates
            b.configure('[projects.projectA]\nhold = { reason = "audit" }')
            b.base()
            assert [rebuild.model.project for rebuild in b.cellar.plan("vit/vit-l").rebuilds] == [
                "projectA-night"
            ]

    @given(names, few_bases, st.booleans())
    def test_project_without_version(self, name: str, base: BaseVersion, named: bool) -> None:
        """| project without any version | in the plan (`NEVER_BUILT`, wanted) only if `config.toml` names it |."""
        with bench() as b:
            b.base(version=base)
            if named:
                b.configure(f'[projects."{name}"]')
            rebuilds = b.cellar.plan("vit/vit-l").rebuilds
            assert [(r.model.project, r.reason) for r in rebuilds] == [(name, Reason.NEVER_BUILT)] * named

    @few
    @given(st.integers(0, 2), st.booleans())
    def test_contract_of_the_line(self, between: int, keeps: bool) -> None:
        """| minor bump and the application's contract | compared with the line's first committed version |."""
        with bench() as b:
            b.base(version="1.0")
            b.cellar.register_base(
                "vit/vit-l", b.files("first of its line", signature__json="a"), version="2.3"
            )
            for index in range(between):  # registered before there was a rule
                b.cellar.register_base("vit/vit-l", b.files(str(index), signature__json="b"), bump="minor")
            b.configure('[artifact]\ncontract_files = ["signature.json"]')
            candidate = b.files("candidate", signature__json="a" if keeps else "b")
            if keeps:
                done = b.cellar.register_base("vit/vit-l", candidate, bump="minor")
                assert str(done.ref) == f"vit/vit-l/base/2.{4 + between}"
            else:
                with pytest.raises(
                    ContractChanged, match=r"signature\.json is not as in vit/vit-l/base/2\.3"
                ):
                    b.cellar.register_base("vit/vit-l", candidate, bump="minor")


def test_recipe_never_names_a_project_model() -> None:
    """A base's recipe may name an earlier base as its pre-trained model, never a project model."""
    assert Recipe(pretrained="vit/vit-l/base/1.2").pretrained == Ref("vit/vit-l/base/1.2")
    with pytest.raises(ValidationError, match="nothing is ever tuned from a tuned model"):
        Recipe(pretrained="vit/vit-l/projectA/1.2.1")
