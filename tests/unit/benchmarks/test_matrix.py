"""The matrix: which cells are asked together, what is kept, and a reason for every other cell."""

import json
import threading
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from benchmarks import matrix
from benchmarks.matrix_cells import find_cells, groups, left_out, method_of
from benchmarks.matrix_settings import SIZES, read_sizes
from files.errors import InputError
from tests.unit.metrics.test_result_rows import row

REPOSITORY = Path(__file__).resolve().parents[3]


def test_every_pair_of_shipped_settings_is_evaluated_or_has_a_reason():
    cells = find_cells(REPOSITORY / "configs/eval")
    there = {(cell.benchmark, cell.method) for cell in cells}
    without = {(one["benchmark"], one["method"]) for one in left_out(cells, {}) if one["reason"]}
    methods = {cell.method for cell in cells if cell.missing() is None}
    assert {(cell.benchmark, method) for cell in cells for method in methods} <= there | without
    assert not there & without


def test_shipped_cells_with_the_same_questions_are_asked_together():
    cells = find_cells(REPOSITORY / "configs/eval")
    found = groups(cells)
    assert sorted(cell.name for group in found for cell in group.cells) == sorted(cell.name for cell in cells)
    together = [
        {cell.method for cell in group.cells} for group in found if group.cells[0].benchmark == "personality_edit"
    ]
    assert any({"none", "mend"} <= methods for methods in together)


def test_no_method_stands_in_a_group_twice():
    cells = [cell for cell in find_cells(REPOSITORY / "configs/eval") if cell.missing() is None]
    for group in groups(cells):
        content = group.settings(Path("run"), "last.ckpt" if group.recipe else None)
        main = [method_of(one) for one in content["trainer"]["callbacks"]]
        if group.recipe is not None and not main:
            main = [Path(group.recipe).parent.name]
        names = [*main, *map(method_of, content["baselines"])]
        assert len(set(names)) == len(names), names
        assert {cell.method for cell in group.cells} <= {*names, "none"}


def settings(method="none", trained_by=None, **data):
    content = {
        "model": {"class_path": "m", "init_args": {"lm": {"name": "assets/tiny-ocean"}, "method": method}},
        "data": {"class_path": "d", "init_args": data},
        "trainer": {"accelerator": "cpu"},
    }
    if trained_by is not None:
        content["trained_by"] = str(trained_by)
    if method == "random_heads":
        content["trainer"]["callbacks"] = [{"class_path": "callbacks.random_heads.RandomHeads"}]
    return content


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Settings of four cells, and a matrix whose evaluations only note what they were asked."""
    recipe = tmp_path / "recipes" / "pas" / "quickstart.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("seed_everything: 1\n")
    cells = {
        "papi/none": settings(),
        "papi/pas": settings("pas", recipe),
        "papi/random_heads": settings("random_heads", recipe),
        "trait/none": settings(limit=3),
    }
    for name, content in cells.items():
        file = tmp_path / "configs" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(content))
    asked = []

    def fit(commands, folder, resume):
        asked.append(("fit", resume))
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (folder / "checkpoints/last.ckpt").write_text("weights")

    def evaluate(commands, file):
        given = yaml.safe_load(file.read_text())
        asked.append((file.parents[2].name, file.parent.name))
        named = given["model"]["init_args"].get("method", "pas" if "ckpt_path" in given else "none")
        own = [method_of(one) for one in given["trainer"]["callbacks"]]
        assert own == ([named] if named not in ("none", "pas") else [])
        methods = list(dict.fromkeys([named, *map(method_of, given["baselines"]), "none"]))
        rows = [row(method=name, benchmark=file.parents[2].name) for name in methods]
        Path(given["trainer"]["default_root_dir"], "results.json").write_text(json.dumps(rows))

    monkeypatch.setattr(matrix, "fit", fit)
    monkeypatch.setattr(matrix, "evaluate", evaluate)
    return tmp_path, asked


def run(root, *more):
    matrix.main(["--configs", str(root / "configs"), "--root", str(root / "run"), "--jobs", "1", *more])
    return json.loads((root / "run/results.json").read_text())


def test_each_cell_is_done_once(world):
    root, asked = world
    rows = run(root)
    assert asked == [("fit", "never"), ("papi", "none+pas+random_heads"), ("trait", "none")]
    assert [(one["benchmark"], one["method"]) for one in rows] == [
        ("papi", "none"), ("papi", "pas"), ("papi", "random_heads"), ("trait", "none"),
    ]  # fmt: skip
    asked.clear()
    assert run(root) == rows and asked == []
    (root / "run/papi/random_heads.json").unlink()
    assert run(root) == rows and asked == [("papi", "random_heads")]
    assert {path.name for path in (root / "run").iterdir()} >= {"leaderboard.md", "leaderboard.png", "skipped.json"}


def test_records_of_a_method_that_was_done_anew_are_dropped_elsewhere(tmp_path):
    for name, methods in {"a+b": ("a", "b", "none"), "b": ("b", "none"), "empty": ()}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "results.json").write_text(json.dumps([row(method=method) for method in methods]))
        (folder / "records.jsonl").write_text("".join(f'{{"method": "{method}"}}\n' for method in methods))
    matrix.forget({"b"}, sorted(tmp_path.iterdir()))
    assert [path.name for path in tmp_path.iterdir()] == ["a+b"]
    assert [one["method"] for one in json.loads((tmp_path / "a+b/results.json").read_text())] == ["a", "none"]
    assert (tmp_path / "a+b/records.jsonl").read_text() == '{"method": "a"}\n{"method": "none"}\n'


def test_a_cell_is_done_again_when_what_it_depends_on_has_changed(world):
    root, asked = world
    run(root)
    asked.clear()
    file = root / "configs/trait/none.yaml"
    file.write_text(yaml.safe_dump(settings(limit=4)))
    run(root)
    assert asked == [("trait", "none")]
    asked.clear()
    (root / "recipes/pas/quickstart.yaml").write_text("seed_everything: 2\n")
    run(root)
    assert asked == [("fit", "never"), ("papi", "pas+random_heads")]


def test_an_unfinished_training_goes_on(world):
    root, asked = world
    run(root)
    note = root / "run/train/pas/matrix.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "finished": False}))
    asked.clear()
    run(root)
    assert asked == [("fit", "auto")]


def test_one_faulty_cell_costs_one_cell(world, monkeypatch):
    root, asked = world
    plain = matrix.evaluate

    def evaluate(commands, file):
        if "random_heads" in file.parent.name:
            raise InputError("is faulty", file="some file")
        plain(commands, file)

    monkeypatch.setattr(matrix, "evaluate", evaluate)
    rows = run(root)
    assert [one["method"] for one in rows] == ["none", "pas", "none"]
    skipped = json.loads((root / "run/skipped.json").read_text())
    reasons = {(one["benchmark"], one["method"]): one["reason"] for one in skipped}
    assert "some file: is faulty" in reasons["papi", "random_heads"]
    assert set(reasons) == {("papi", "random_heads"), ("trait", "pas"), ("trait", "random_heads")}


def test_a_training_that_fails_costs_its_cells(world, monkeypatch):
    root, asked = world

    def fit(commands, folder, resume):
        raise InputError("has no data")

    monkeypatch.setattr(matrix, "fit", fit)
    rows = run(root)
    assert [(one["benchmark"], one["method"]) for one in rows] == [("papi", "none"), ("trait", "none")]
    skipped = json.loads((root / "run/skipped.json").read_text())
    assert any(one["method"] == "pas" and "has no data" in one["reason"] for one in skipped)


def test_only_some_benchmarks(world):
    root, asked = world
    run(root, "--only", "trait")
    assert asked == [("trait", "none")]
    with pytest.raises(SystemExit) as stop:
        run(root, "--only", "traits")
    assert stop.value.code == 2


def test_settings_for_what_is_not_here_are_skipped_with_the_reason(world):
    root, asked = world
    content = settings()
    content["model"]["init_args"]["lm"]["name"] = "some/8b"
    (root / "configs/papi/large.yaml").write_text(yaml.safe_dump(content))
    (root / "configs/papi/untrained.yaml").write_text(yaml.safe_dump(settings(autoencoder="runs/nowhere/sae")))
    rows = run(root)
    assert {one["method"] for one in rows} == {"none", "pas", "random_heads"}
    skipped = json.loads((root / "run/skipped.json").read_text())
    reasons = {(one["benchmark"], one["method"]): one["reason"] for one in skipped}
    assert "some/8b" in reasons["papi", "large"] and ("trait", "large") not in reasons
    assert "runs/nowhere/sae" in reasons["papi", "untrained"]


@pytest.mark.parametrize("content", [None, "model: 1", "model: [", "- 1"])
def test_faulty_settings_are_named(tmp_path, content):
    (tmp_path / "papi").mkdir()
    if content is not None:
        (tmp_path / "papi/none.yaml").write_text(content)
    with pytest.raises(InputError):
        find_cells(tmp_path)


def test_progress_is_told(world):
    root, _ = world
    console = Console(file=(root / "log.txt").open("w"))
    cells = find_cells(root / "configs")
    matrix.Matrix(cells, root / "run", console).run()
    console.file.close()
    assert "papi x none, papi x pas, papi x random_heads" in (root / "log.txt").read_text()


def test_what_a_quickstart_leaves_is_trained_once_and_taken_from_there(world, monkeypatch):
    root, asked = world
    content = settings(autoencoder="runs/sae/sae")
    (root / "configs/trait/sae.yaml").write_text(yaml.safe_dump(content))
    plain, seen = matrix.evaluate, []

    def evaluate(commands, file):
        seen.append(yaml.safe_load(file.read_text())["data"]["init_args"].get("autoencoder"))
        plain(commands, file)

    monkeypatch.setattr(matrix, "evaluate", evaluate)
    run(root, "--only", "trait")
    assert ("fit", "never") in asked and str(root / "run/train/sae/sae") in seen


def test_other_cells_go_on_while_something_is_trained(world, monkeypatch):
    root, asked = world
    plain = matrix.fit
    trait_done = threading.Event()

    def fit(commands, folder, resume):
        assert trait_done.wait(timeout=20), "the cell without a training has waited for the training"
        plain(commands, folder, resume)

    def evaluate(commands, file, plain=matrix.evaluate):
        plain(commands, file)
        if file.parents[2].name == "trait":
            trait_done.set()

    monkeypatch.setattr(matrix, "fit", fit)
    monkeypatch.setattr(matrix, "evaluate", evaluate)
    assert len(run(root, "--jobs", "2")) == 4
    assert asked[0] == ("trait", "none")


def test_the_matrix_takes_less_where_its_sizes_say_so(world, monkeypatch):
    root, _ = world
    recipe = root / "recipes" / "pas" / "quickstart.yaml"
    recipe.write_text("data: {init_args: {people: 50}}\n")
    for method in ("none", "pas", "random_heads"):
        file = root / f"configs/papi/{method}.yaml"
        content = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump({**content, "data": {"class_path": "d", "init_args": {"people": 50}}}))
    sizes = {"evaluations": {"papi": {"data": {"init_args": {"people": 2}}, "side_effects": {"records": 1}}}}
    sizes["trainings"] = {str(recipe): {"data": {"init_args": {"people": 3}}}}
    (root / "sizes.yaml").write_text(yaml.safe_dump(sizes))
    (root / "empty.yaml").write_text("")

    def taken(file):
        run(root, "--sizes", str(root / file))
        [evaluated] = (root / "run/papi/together").glob("*/settings.yaml")
        evaluated = yaml.safe_load(evaluated.read_text())
        assert "side_effects" not in evaluated
        trained = yaml.safe_load((root / "run/train/pas/settings.yaml").read_text())
        return evaluated["data"]["init_args"]["people"], trained["data"]["init_args"]["people"]

    assert taken("sizes.yaml") == (2, 3)
    assert taken("empty.yaml") == (50, 50)  # and what was done in another size is done again


def test_the_sizes_that_are_shipped_are_of_settings_that_are_there():
    sizes = read_sizes(SIZES)
    cells = find_cells(REPOSITORY / "configs/eval", sizes["evaluations"])
    assert set(sizes["evaluations"]) <= {cell.benchmark for cell in cells}
    plain = {cell.name: cell for cell in find_cells(REPOSITORY / "configs/eval")}
    for benchmark in sizes["evaluations"]:
        for cell in (cell for cell in cells if cell.benchmark == benchmark):
            assert cell.settings["data"] != plain[cell.name].settings["data"] or "side_effects" in cell.settings
    assert all((REPOSITORY / recipe).is_file() for recipe in sizes["trainings"])
