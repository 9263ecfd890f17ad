"""Every piece for clusters merges onto recipes, and the submit script names what is there."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import evaluate
import train

REPOSITORY = Path(__file__).resolve().parents[2]
PIECES = sorted(REPOSITORY.glob("configs/cluster/*.yaml"))
RECIPES = ("mend/quickstart", "sft/llama-3-8b")


def merged(main, capsys, *arguments):
    """The settings that a command would use."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, arguments), "--print_config"])
    shown = capsys.readouterr()
    assert stopped.value.code == 0, shown.err
    return yaml.safe_load(shown.out)


@pytest.mark.parametrize("piece", PIECES, ids=lambda path: path.stem)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_piece_adds_to_a_recipe_and_takes_nothing_of_it(piece, recipe, capsys):
    path = REPOSITORY / "configs" / f"{recipe}.yaml"
    settings = merged(train.main, capsys, "fit", "--config", path, "--config", piece)
    own, added = (yaml.safe_load(file.read_text(encoding="utf-8"))["trainer"] for file in (path, piece))
    wanted = [*own["callbacks"], *added.pop("callbacks+", [])]
    found = settings["trainer"]["callbacks"]
    assert [one["class_path"] for one in found] == [one["class_path"] for one in wanted]
    assert settings["trainer"]["use_distributed_sampler"] is False
    for key, value in added.items():
        given = settings["trainer"][key]
        assert (given["class_path"] if isinstance(value, dict) else given) == (
            value["class_path"] if isinstance(value, dict) else value
        )


def test_evaluations_are_shared_out_by_the_same_piece(capsys):
    recipe, piece = REPOSITORY / "configs/eval/trait/none.yaml", REPOSITORY / "configs/cluster/ddp.yaml"
    settings = merged(evaluate.main, capsys, "--config", recipe, "--config", piece)
    assert settings["trainer"]["strategy"] == "ddp" and settings["trainer"]["devices"] == "auto"
    assert settings["trainer"]["inference_mode"] is False


def test_the_submit_script_asks_for_what_its_settings_say():
    script = REPOSITORY / "configs/cluster/submit.sh"
    subprocess.run(["bash", "-n", script], check=True)
    refused = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "usage" in refused.stderr
    text = script.read_text(encoding="utf-8")
    trainer = yaml.safe_load((REPOSITORY / "configs/cluster/slurm.yaml").read_text(encoding="utf-8"))["trainer"]
    assert re.search(r"--nodes=(\d+)", text).group(1) == str(trainer["num_nodes"])
    assert re.search(r"--ntasks-per-node=(\d+)", text).group(1) == str(trainer["devices"])
    assert all((REPOSITORY / name).is_file() for name in re.findall(r"configs/[\w./-]+\.(?:yaml|sh)", text))
    assert {"#SBATCH --requeue", "#SBATCH --signal=SIGUSR1@180"} <= set(text.splitlines())
