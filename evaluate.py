"""Evaluate a method: `python evaluate.py --config configs/eval/<benchmark>/<method>.yaml [--ckpt_path FILE]`."""

from __future__ import annotations

import sys

from files.errors import exit_on_input_error

OVERVIEW = """\
usage: python evaluate.py --config FILE [--config FILE ...] [--ckpt_path FILE] [options]

Asks a language model the questions of one benchmark, as it is and under one method, and compares the answers.

options:
  -c, --config FILE   a settings file; may be given several times, later ones and later options win
  --ckpt_path FILE    the trained method: a checkpoint of train.py (else the file's callback, or none)
  --KEY VALUE         any key of the file, such as --data.init_args.data_dir FOLDER or --model.init_args.lm.name FOLDER
  --trainer.default_root_dir FOLDER
                      where the results go (default: runs/<benchmark>-<method>): results.json, records.jsonl, report.md,
                      samples.md, TensorBoard logs
  --seed_everything N the seed (default: 1)
  --print_config      print the resolved settings and stop
  --help              this page; `python evaluate.py --options` lists every option with its meaning

An evaluation that was interrupted goes on where it stopped when the same command is given again; a finished one is done
again and its results are replaced.

examples:
  python evaluate.py --config configs/eval/personality_edit/none.yaml
  python evaluate.py --config configs/eval/personality_edit/mend.yaml --ckpt_path runs/quickstart/checkpoints/last.ckpt
  tensorboard --logdir runs

exit codes: 0 done, 2 something in the settings or the data is wrong (the message says what), 130 interrupted
"""


@exit_on_input_error()
def main(arguments: list[str]) -> None:
    """Answer a plain call for help at once; load the libraries for anything else."""
    if not arguments or arguments in (["-h"], ["--help"]):
        sys.stdout.write(OVERVIEW)
        return
    from eval_cli import EvalCLI  # five seconds of imports, which the overview does not need

    EvalCLI(["--help"] if arguments == ["--options"] else arguments).run()


if __name__ == "__main__":
    main(sys.argv[1:])
