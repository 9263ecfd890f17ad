"""Evaluate a method: `python evaluate.py --config configs/eval/<benchmark>/<method>.yaml [--ckpt_path FILE]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from files.errors import InputError, exit_on_input_error

OVERVIEW = """\
usage: python evaluate.py --config FILE [--config FILE ...] [--ckpt_path FILE] [options]
       python evaluate.py --config FILE --sweep KEY=A,B,C [options]
       python evaluate.py --config FILE --seeds 0,1,2 [options]
       python evaluate.py --compare FOLDER [FOLDER ...] [--out FOLDER]
       python evaluate.py --judge FOLDER [FOLDER ...] --base_url URL --model NAME [--protocols NAME ...]
       python evaluate.py --check-judge --base_url URL --model NAME

Asks a language model the questions of one benchmark, as it is and under one method, and compares the answers.

options:
  -c, --config FILE   a settings file; may be given several times, later ones and later options win
  --ckpt_path FILE    the trained method: a checkpoint of train.py (else what the file's trained_by has trained, or the
                      file's callback, or none)
  --KEY VALUE         any key of the file, such as --data.init_args.data_dir FOLDER or --model.init_args.lm.name FOLDER
  --trainer.default_root_dir FOLDER
                      where the results go (default: runs/<benchmark>-<method>): results.json, records.jsonl, report.md,
                      samples.md, TensorBoard logs
  --seed_everything N the seed (default: 1)
  --sweep KEY=A,B,C   evaluate once for each value of a setting, such as model.init_args.temperature=0,0.7; the end of
                      a key will do where it names one setting. Draws trait expression against perplexity
  --seeds 0,1,2       evaluate once for each seed, of data and methods; figures in results.json are means over seeds,
                      intervals over seeds too
  --compare FOLDER .. make a report of the results in and below these folders: report.html, one page that needs nothing
                      else, report.md, leaderboard.md, tests of methods against each other row by row, pictures (PNG,
                      SVG) and TensorBoard logs with the hparams table
  --out FOLDER        where the report goes (default: runs/compare)
  --judge FOLDER ..   have a chat model rate the free answers of finished evaluations, and add the figures to them;
                      `python evaluate.py --check-judge --help` lists what can be judged and every option
  --check-judge       have it rate texts of known trait level and print the rank correlation
  --print_config      print the resolved settings and stop
  --help              this page; `python evaluate.py --options` lists every option with its meaning

An evaluation that was interrupted goes on where it stopped when the same command is given again; a finished one is done
again and its results are replaced. Of a sweep and of several seeds, what is finished is kept.

examples:
  python evaluate.py --config configs/eval/personality_edit/none.yaml
  python evaluate.py --config configs/eval/personality_edit/mend.yaml --ckpt_path runs/quickstart/checkpoints/last.ckpt
  tensorboard --logdir runs

exit codes: 0 done, 2 something in the settings or the data is wrong (the message says what), 130 interrupted
"""


OWN = ("--sweep", "--seeds")
JUDGING = ("--judge", "--check-judge")


@exit_on_input_error()
def main(arguments: list[str]) -> None:
    """Answer a plain call for help at once; load the libraries for anything else."""
    if not arguments or arguments in (["-h"], ["--help"]):
        sys.stdout.write(OVERVIEW)
        return
    if any(argument.partition("=")[0] in JUDGING for argument in arguments):
        from judge_cli import run

        run(arguments)
        return
    if "--compare" in arguments:
        compare(arguments)
        return
    from eval_cli import EvalCLI  # five seconds of imports, which the overview does not need

    given, rest = taken_out(arguments, OWN)
    if not given:
        EvalCLI(["--help"] if arguments == ["--options"] else arguments).run()
        return
    from eval_series import run_seeds, run_sweep

    if len(given) > 1:
        raise InputError("do not go together", field="--sweep, --seeds", fix="sweep once for each seed")
    (name, text), *_ = given.items()
    root = run_sweep(EvalCLI, rest, text) if name == "--sweep" else run_seeds(EvalCLI, rest, text)
    page = "sweep.md" if name == "--sweep" else "leaderboard.md"
    sys.stdout.write(f"Results of all are in {root}, a table in {root / page}\n")


def compare(arguments: Sequence[str]) -> None:
    """Make a report of finished evaluations.

    Args:
        arguments: `--compare FOLDER ... [--out FOLDER]`.

    Raises:
        InputError: A folder holds no results, a results file is faulty, or there is nothing to show.
    """
    parser = argparse.ArgumentParser(prog="python evaluate.py", usage=OVERVIEW.split("\n\n")[0].removeprefix("usage: "))
    parser.add_argument("--compare", nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--out", default="runs/compare", metavar="FOLDER")
    options = parser.parse_args(arguments)
    if not options.out.strip():
        raise InputError("is empty", field="--out", expected="a folder for the report", got=options.out, fix="name one")
    from metrics.result_rows import find_results, read_results
    from report.contents import contents
    from report.leaderboard import leaderboard_markdown
    from report.paired_tests import write_paired_tests
    from report.tensorboard import write_tensorboard
    from report.writing import write_report

    rows = [row for file in find_results(options.compare) for row in read_results(file)]
    found = contents(rows)
    page = write_report(found, options.out)
    tested = write_paired_tests(found.tests, options.out)
    if found.boards:
        sys.stdout.write(f"{leaderboard_markdown(found.boards)}\n{tested}\n")
    write_tensorboard(found, options.out)
    for text in (found.judge_warning, *found.warnings):
        if text is not None:
            sys.stderr.write(f"Warning: {text}.\n")
    sys.stdout.write(f"written to {page}\n")


def taken_out(arguments: Sequence[str], names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Take options of this script's own out of a command line.

    Args:
        arguments: The command line.
        names: The options; each has one value, after a space or an equals sign.

    Returns:
        Their values, and the rest of the command line.

    Raises:
        InputError: An option has no value.

    Example:
        >>> taken_out(["--config", "a.yaml", "--seeds", "0,1"], ["--seeds"])
        ({'--seeds': '0,1'}, ['--config', 'a.yaml'])
    """
    found: dict[str, str] = {}
    rest: list[str] = []
    left = list(arguments)
    while left:
        name, equals, value = left[0].partition("=")
        left.pop(0)
        if name not in names:
            rest.append(name + equals + value)
        elif equals:
            found[name] = value
        elif left:
            found[name] = left.pop(0)
        else:
            raise InputError("has no value", field=name, fix="see python evaluate.py --help")
    return found, rest


if __name__ == "__main__":
    main(sys.argv[1:])
