"""The command line of `train.py`: Lightning's own, with one model for module and data, and runs that go on."""

from __future__ import annotations

import sys
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import yaml
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from callbacks.finite_training import FiniteTraining
from callbacks.progress import TrainingProgressBar
from callbacks.resume import ExactResume
from callbacks.run_folder import CONFIG_FILE, LOGS, RunFolder, WholeCheckpointIO, checkpoint_to_go_on_from
from files.errors import InputError
from files.library_notes import leave_out_notes
from files.locked_folder import locked_folder
from files.parser_errors import PlainErrors
from files.trainer_settings import check_seed, check_trainer, refused_by_lightning
from files.yaml_files import check_settings_files, read_yaml
from lightning_modules.base import PersonaModule
from lightning_modules.checkpoint_file import OPTION, name_the_file
from lightning_modules.trained import read_checkpoint

DEFAULT_FOLDER = "runs/train"
USAGE = "python train.py {} --config FILE [--KEY VALUE ...]"
# What a run must share with the one it goes on from, or its outcome would belong to neither.
_SAME_SECTIONS = ("model", "data", "seed_everything")
_SAME_TRAINER = ("precision", "accumulate_grad_batches", "gradient_clip_val", "max_epochs", "max_steps")

# What libraries warn of and is meant here, or concerns only themselves: arguments from a list, a run that goes on in
# its folder, a pytree class.
for _meant in (
    "LightningCLI's args parameter is intended",
    "Checkpoint directory .* exists and is not empty",
    # Lightning advises to keep the weights from before a step; those after it are the ones to go on from.
    "Using ModelCheckpoint with manual optimization",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
):
    warnings.filterwarnings("ignore", message=_meant)
leave_out_notes()


class PlainParser(PlainErrors, LightningArgumentParser):
    """Lightning's parser with errors in a few lines."""


class PersonaCLI(LightningCLI):
    """`fit` and `validate` of any module on any data module.

    The language model is named once, in the module, and linked to the data. Everything is written below
    `trainer.default_root_dir`. An unfinished run that is started again goes on from its last checkpoint.
    """

    def __init__(self, args: list[str] | None = None) -> None:
        self.checkpoint: str | None = None
        check_settings_files(args if args is not None else sys.argv[1:])
        with ExitStack() as self._held:
            self._start(args)

    def _start(self, args: list[str] | None) -> None:
        """Build everything and run it."""
        super().__init__(
            PersonaModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            save_config_callback=None,
            parser_class=PlainParser,
            seed_everything_default=1,
            trainer_defaults={"default_root_dir": DEFAULT_FOLDER, "use_distributed_sampler": False},
            parser_kwargs={name: {"usage": USAGE.format(name)} for name in ("fit", "validate")},
            args=args,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The two commands, and what is not to be given on the command line."""
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"},
            "validate": {"model", "dataloaders", "datamodule", "weights_only"},
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """One model for module and data, and the choice to start over."""
        parser.link_arguments("model.init_args.lm", "data.init_args.lm")
        parser.add_argument(
            "--resume",
            type=Literal["auto", "never"],
            default="auto",
            help="auto: an unfinished run in trainer.default_root_dir goes on from its last checkpoint, a finished one "
            "is replaced. never: start over in any case.",
        )

    def _set_seed(self) -> None:
        """Set the seed, if it is one."""
        check_seed(self._get(self.config, "seed_everything"))
        super()._set_seed()

    def _parse_ckpt_path(self) -> None:
        """Leave the checkpoint alone: settings stored in it must not overrule the file and the command line."""

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint to go on from, before anything is loaded."""
        settings = self.config[self.config["subcommand"]]
        check_trainer(settings.trainer)
        root, given = Path(settings.trainer.default_root_dir), settings.get("ckpt_path")
        if self.config["subcommand"] == "fit":
            # The logger opens a file before the data are read, and a start that fails must leave nothing behind.
            self._held.enter_context(locked_folder(root, lock=not getattr(rank_zero_only, "rank", 0)))
        if given is not None:
            self.checkpoint = str(given)
        elif self.config["subcommand"] == "fit" and settings.resume == "auto":
            last = checkpoint_to_go_on_from(root)
            if last is not None:
                check_same_settings(root / CONFIG_FILE, self._settings_as_yaml())
                self.checkpoint = str(last)
        if given is not None and Path(given).is_dir() and _writes_one_file(settings.trainer.strategy):
            name_the_file(Path(given))
            raise InputError(
                "is a folder",
                file=given,
                field=OPTION,
                expected="a checkpoint, which is a file with this strategy",
                fix="name the file in it, such as checkpoints/last.ckpt",
            )
        # Sharded checkpoints are folders; their strategy reads them.
        if self.checkpoint is not None and not Path(self.checkpoint).is_dir():
            read_checkpoint(self.checkpoint)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add what every run has, where the settings do not bring their own."""
        settings = self._get(self.config_init, "trainer")
        root = settings.default_root_dir
        if settings.get("logger") in (None, True) and not settings.get("fast_dev_run"):
            kwargs["logger"] = TensorBoardLogger(root, name="", version="", sub_dir=LOGS, default_hp_metric=False)
        if _writes_one_file(settings.get("strategy", "auto")):
            kwargs["plugins"] = [*_as_list(settings.get("plugins")), WholeCheckpointIO()]
        callbacks = _as_list(settings.get("callbacks"))
        if not any(isinstance(callback, Checkpoint) for callback in callbacks):
            callbacks.append(ModelCheckpoint(save_last=True))
        if settings.get("enable_progress_bar") is not False and not any(
            isinstance(callback, ProgressBar) for callback in callbacks
        ):
            callbacks.append(TrainingProgressBar())
        callbacks += [ExactResume(), FiniteTraining()]
        if self.subcommand == "fit" and not settings.get("fast_dev_run"):
            callbacks.append(RunFolder(root, self._settings_as_yaml(), resumed=self.checkpoint is not None))
        with refused_by_lightning(building=True):
            return super().instantiate_trainer(callbacks=callbacks, **kwargs)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Hand the checkpoint over as a path, never by a word such as `last`, which falls back to untrained weights."""
        given = super()._prepare_subcommand_kwargs(subcommand)
        return {**given, "ckpt_path": self.checkpoint, "weights_only": True}

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; an interruption, which the Trainer ends with exit code 1, is passed on as what it is.

        What is wrong with a checkpoint is found by the module, which does not know where it came from.
        """
        try:
            with refused_by_lightning(building=False):
                super()._run_subcommand(subcommand)
        except InputError as error:
            if error.field == "ckpt_path" and error.file is None:
                error.file, error.field = self.checkpoint, OPTION
            raise
        except SystemExit:
            if self.trainer.interrupted:
                raise KeyboardInterrupt from None
            raise

    def _settings_as_yaml(self) -> str:
        subcommand = self.config["subcommand"]
        return self._parser(subcommand).dump(self.config[subcommand], skip_none=False)


def _writes_one_file(strategy: Any) -> bool:
    """Whether checkpoints are written by the first process alone, into one file."""
    name = strategy if isinstance(strategy, str) else type(strategy).__name__.removesuffix("Strategy").lower()
    return name.startswith(("auto", "ddp", "single", "sharded"))


def check_same_settings(file: Path, now: str) -> None:
    """Refuse to go on with a run under other settings.

    Args:
        file: The settings of the unfinished run, as written by it.
        now: Those of this start, as YAML.

    Raises:
        InputError: The model, the data, the seed or the length of the run differ.
    """
    if not file.is_file():
        return
    written = read_yaml(
        file,
        problem="the settings of the unfinished run cannot be read",
        expected="the settings that it was started with",
        fix="restore the file, choose another trainer.default_root_dir, or start over with --resume never",
    )
    before, after = _compared(written), _compared(yaml.safe_load(now))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            raise InputError(
                "the folder holds an unfinished run with other settings",
                file=file.parent,
                field=key,
                expected=str(before.get(key)),
                got=after.get(key),
                fix="take the old settings back, choose another trainer.default_root_dir, or start over with "
                "--resume never",
            )


def _compared(settings: Any) -> dict[str, Any]:
    """What two starts of one run share, as flat keys."""
    if not isinstance(settings, dict):
        return {}
    trainer = settings.get("trainer") or {}
    kept = {name: settings.get(name) for name in _SAME_SECTIONS}
    return _flat({**kept, "trainer": {name: trainer.get(name) for name in _SAME_TRAINER}})


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _as_list(value: Any) -> list[Any]:
    """A setting that may be absent, one thing or a list, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
