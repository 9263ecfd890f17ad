"""Train or validate a method: `python train.py fit --config configs/<method>/quickstart.yaml`."""

from __future__ import annotations

import sys

from files.errors import exit_on_input_error

OVERVIEW = """\
usage: python train.py {fit,validate} --config FILE [--config FILE ...] [options]

Trains one method (a LightningModule) on one data set (a LightningDataModule), both named in a YAML file.

commands:
  fit                 train, with validation where the data have some; everything is written to trainer.default_root_dir
  validate            measure a checkpoint on the validation data (with --ckpt_path)

options:
  -c, --config FILE   a settings file; may be given several times, later ones and later options win
  --KEY VALUE         any key of the file, such as --trainer.max_epochs 2 or --model.init_args.lm.name FOLDER
  --trainer.default_root_dir FOLDER
                      where checkpoints, TensorBoard logs, config.yaml and run.json go (default: runs/train)
  --resume {auto,never}
                      auto: an unfinished run in that folder goes on from its last checkpoint, bit for bit as if it had
                      never stopped, and a finished one is replaced; never: start over (default: auto)
  --ckpt_path FILE    go on from (fit) or measure (validate) this checkpoint; settings stored in it overrule nothing
  --seed_everything N the seed (default: 1)
  --print_config      print the resolved settings and stop
  --help              this page; `python train.py fit --help` lists every option with its meaning

what a class takes:
  python train.py fit --model.help lightning_modules.sft.SFTModule
  python train.py fit --data.help datamodules.corpus.CorpusDataModule

examples:
  python train.py fit --config configs/organism/tiny-ocean.yaml
  python train.py fit --config configs/mend/quickstart.yaml --trainer.default_root_dir runs/mend
  tensorboard --logdir runs

exit codes: 0 done, 2 something in the settings or the data is wrong (the message says what), 130 interrupted
"""


@exit_on_input_error()
def main(arguments: list[str]) -> None:
    """Answer a plain call for help at once; load the libraries for anything else."""
    if not arguments or arguments in (["-h"], ["--help"]):
        sys.stdout.write(OVERVIEW)
        return
    from persona_cli import PersonaCLI  # five seconds of imports, which the overview does not need

    PersonaCLI(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
