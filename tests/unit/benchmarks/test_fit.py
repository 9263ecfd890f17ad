"""What a recipe needs is added up from shapes, said in a report, and warned of."""

import json

import pytest
import yaml

from benchmarks import fit, fit_check
from benchmarks.fit_formula import edit_network_parameters, edited_widths
from benchmarks.fit_recipe import Assumed, needed
from benchmarks.model_shapes import known_settings, settings_of, shape_of
from editors.hypernetwork import Hypernetwork, TransformOptions
from files.assets import asset_path
from files.errors import InputError

# As the model cards give them.
PUBLISHED = {
    "EleutherAI/gpt-j-6b": 6_050_882_784,
    "openai-community/gpt2-xl": 1_557_611_200,
    "meta-llama/Llama-2-7b-chat-hf": 6_738_415_616,
    "meta-llama/Meta-Llama-3-8B-Instruct": 8_030_261_248,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "google/gemma-2-9b-it": 9_241_705_984,
}


def recipe(kind="sft.SFTModule", name="meta-llama/Meta-Llama-3-8B-Instruct", lm=(), data=(), **options):
    module = {"class_path": f"lightning_modules.{kind}", "init_args": {"lm": {"name": name, **dict(lm)}, **options}}
    return {"model": module, "data": {"class_path": "datamodules.any", "init_args": dict(data)}}


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_are_counted_as_published(name):
    assert shape_of(settings_of(name)).parameters == PUBLISHED[name]


def test_the_edit_networks_numbers_are_those_of_the_network():
    shape = shape_of(settings_of("assets/tiny-ocean"))
    for roles, rank, hidden in ((("gate", "up", "down"), 64, 1), (("up",), 2000, 2), (("attention_out",), 64, 1)):
        widths = edited_widths(shape, roles, 2)
        named = {f"{number}": width for number, width in enumerate(widths)}
        network = Hypernetwork(named, -0.001, TransformOptions(rank=rank, n_hidden=hidden))
        counted = sum(parameter.numel() for parameter in network.parameters())
        assert edit_network_parameters(widths, rank, hidden) == counted


def test_precision_adapters_copies_and_processes_count():
    size = {"batch_size": 1, "max_tokens": 128}
    full = needed(recipe(data=size))
    half = needed(recipe(lm={"dtype": "bfloat16"}, data=size))
    assert half.parts["weights"] * 2 == full.parts["weights"] and half.total < full.total
    assert full.parts["gradients and optimizer"] == 3 * full.parts["weights"]
    adapter = needed(recipe(lm={"dtype": "bfloat16", "lora": {"r": 16}}, data=size))
    assert adapter.parts["gradients and optimizer"] < 0.1 * half.parts["gradients and optimizer"]
    shared = needed(recipe(data=size), Assumed(processes=4))
    assert shared.parts["weights"] * 4 == full.parts["weights"]
    pairs = recipe("dpo.DPOModule", lm={"dtype": "bfloat16"}, data=size, reference="copy")
    assert needed(pairs).parts["reference"] == half.parts["weights"]
    longer = needed(recipe("evaluation.EvalModule", rows=8), Assumed(prompt_tokens=1024))
    assert longer.parts["kept states"] > 3 * needed(recipe("evaluation.EvalModule", rows=8)).parts["kept states"]


def test_the_report_says_what_does_not_fit_and_files_are_merged(tmp_path, capsys):
    below, above = tmp_path / "a.yaml", tmp_path / "b.yaml"
    below.write_text(yaml.safe_dump(recipe(data={"batch_size": 8, "max_tokens": 1024})))
    above.write_text(yaml.safe_dump({"data": {"init_args": {"max_tokens": 16}}}))
    arguments = ["--recipe", str(below), "--memory_gb"]
    with pytest.raises(SystemExit) as stopped:
        fit.main([*arguments, "100"])
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert "does not fit" in said.err and "weights" in said.out and "activations" in said.out
    fit.main([*arguments, "1000", "--recipe", str(above)])
    assert "does not fit" not in capsys.readouterr().err
    assert fit.merged_settings([str(below), str(above)])["data"]["init_args"] == {"batch_size": 8, "max_tokens": 16}


def test_the_formula_is_near_measured_memory_on_three_recipes():
    figures = json.loads(fit_check.RESULTS.read_text())
    assert len(fit_check.CHECKS) == 3
    for name, check in fit_check.CHECKS.items():
        assert 0.85 < figures[f"{name}_ratio"] < 1.15
        # The committed comparison is of today's formula.
        assert fit_check.predicted(check) == pytest.approx(figures[f"{name}_needed_mb"], rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data": {}}, "model"),
        (recipe(name="nobody/knows"), "nobody/knows"),
        (recipe("classifier.TraitClassifierModule"), "class_path"),
        ({"model": {"class_path": "a.SFTModule", "init_args": {}}, "data": {"class_path": "b"}}, "lm.name"),
    ],
)
def test_a_recipe_that_cannot_be_judged_is_refused(settings, said):
    with pytest.raises(InputError, match=said):
        needed(settings)


CONFIGS = asset_path("configs")
PIECES = sorted((CONFIGS / "cluster").glob("*.yaml"))


@pytest.mark.parametrize("folder", sorted({path.parent.relative_to(CONFIGS) for path in CONFIGS.rglob("*.yaml")}))
def test_every_shipped_recipe_is_judged(folder, capsys):
    for file in sorted((CONFIGS / folder).glob("*.yaml")):
        # A piece of a cluster's settings is laid over a recipe.
        below = [str(CONFIGS / "sft/quickstart.yaml")] if file in PIECES else []
        options = [part for one in [*below, str(file)] for part in ("--recipe", one)]
        fit.main([*options, "--memory_gb", "1e6"])
        said = capsys.readouterr().out
        assert "weights" in said and "of 1000000.00 GB" in said, file


def test_a_piece_alone_is_told_what_it_lacks(capsys):
    with pytest.raises(SystemExit) as stopped:
        fit.main(["--recipe", str(PIECES[0])])
    assert stopped.value.code == 2 and "pieces" in capsys.readouterr().err


def test_a_classifier_keeps_no_logits_of_words():
    settings = fit.merged_settings([str(CONFIGS / "classifier/quickstart.yaml")])
    small = needed(settings)
    settings["data"]["init_args"]["max_tokens"] = 64
    assert needed(settings).total < small.total < 1e9


def test_known_models_have_a_type():
    assert all("model_type" in settings for settings in known_settings().values())
