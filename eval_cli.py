"""The command line of `evaluate.py`: one benchmark, one language model, one method."""

from __future__ import annotations

import importlib
import shutil
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from callbacks.report import Report
from callbacks.results_json import ResultsJson
from callbacks.sample_generations import SampleGenerations
from callbacks.steering import SteeringCallback
from files.atomic import ensure_writable_folder
from lightning_modules.base import HEADER
from lightning_modules.evaluation import NO_METHOD, EvalModule
from lightning_modules.trained import read_checkpoint

RUNS, LOGS = "runs", "tensorboard/evaluation"


# Two warnings of libraries about themselves: that arguments come from a list, and about a pytree class.
for _own in ("LightningCLI's args parameter is intended", r"`isinstance\(treespec, LeafSpec\)` is deprecated"):
    warnings.filterwarnings("ignore", message=_own)


class EvalCLI(LightningCLI):
    """Builds an evaluation from YAML and command line; `run` runs it.

    The language model and the seed are named once and linked to the data. Settings stored in a checkpoint overrule
    nothing: they only rebuild the module that was trained.
    """

    def __init__(self, args: list[str] | None = None) -> None:
        super().__init__(
            EvalModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            save_config_callback=None,
            seed_everything_default=1,
            run=False,
            trainer_defaults={
                "use_distributed_sampler": False,
                "enable_checkpointing": False,
                "enable_model_summary": False,
                "inference_mode": False,  # an edit is made from gradients
                "devices": 1,
            },
            parser_kwargs={
                "usage": "python evaluate.py --config FILE [--ckpt_path FILE] [--KEY VALUE ...]",
                "description": "Evaluate a method on a benchmark (python evaluate.py --help is a short page).",
            },
            args=args,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The checkpoint, and what is given once for both module and data."""
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="checkpoint of the trained method to evaluate; its settings rebuild the module, its model must be the "
            "one named in model.init_args.lm",
        )
        parser.add_argument(
            "--baselines",
            type=list[SteeringCallback],
            default=[],
            help="methods that answer the same questions beside the one evaluated, such as callbacks.prompting.FewShot",
        )
        parser.link_arguments("ckpt_path", "model.init_args.ckpt_path")
        parser.link_arguments("model.init_args.lm", "data.init_args.lm")
        for target in ("model.init_args.seed", "data.init_args.seed"):
            parser.link_arguments("seed_everything", target, compute_fn=_seed)

    def _parse_ckpt_path(self) -> None:
        """Leave the checkpoint alone: settings stored in it must not overrule the file and the command line."""

    def before_instantiate_classes(self) -> None:
        """Choose the run's folder, and see that the checkpoint is one, before anything is loaded."""
        if self.config.trainer.default_root_dir is None:
            self.config.trainer.default_root_dir = f"{RUNS}/{self._benchmark()}-{self._method()}"
        elif self.config.ckpt_path is not None:
            read_checkpoint(self.config.ckpt_path)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add what every evaluation has, where the settings do not bring their own."""
        settings = self._get(self.config_init, "trainer")
        if settings.get("logger") in (None, True):
            kwargs["logger"] = TensorBoardLogger(
                settings.default_root_dir, name="", version="", sub_dir=LOGS, default_hp_metric=False
            )
        given = settings.get("callbacks") or []
        callbacks = list(given) if isinstance(given, list) else [given]
        if settings.get("enable_progress_bar") is not False and not any(isinstance(c, ProgressBar) for c in callbacks):
            callbacks.append(RichProgressBar())
        for baseline in self._get(self.config_init, "baselines") or []:
            baseline.baseline = True
            callbacks.append(baseline)
        # the files first, so that the report can name them
        settings_file = self.parser.dump(self.config, skip_none=False)
        callbacks += [ResultsJson(settings_file), SampleGenerations(), Report()]
        return super().instantiate_trainer(callbacks=callbacks, **kwargs)

    def run(self) -> None:
        """Evaluate; the log of an earlier evaluation in the same folder is replaced.

        The folder is tried out first, then data and model are loaded; where one is faulty nothing is left in it.
        """
        root = Path(self.trainer.default_root_dir)
        new = [folder for folder in (root, *root.parents) if not folder.exists()]
        ensure_writable_folder(root)
        try:
            self.datamodule.prepare_data()
            self.datamodule.setup("test")
            self.model.configure_model()
        except BaseException:
            for folder in new:
                folder.rmdir()
            raise
        if self.trainer.is_global_zero:
            shutil.rmtree(root / LOGS, ignore_errors=True)
        self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)

    def _benchmark(self) -> str:
        """Name of the benchmark, which its data module knows."""
        benchmark = getattr(_class(self.config.data.class_path), "benchmark", None)
        return getattr(benchmark, "name", "unknown")

    def _method(self) -> str:
        """Name of the method: as given, of the checkpoint, or of the first callback that has one."""
        named = self.config.model.init_args.get("method")
        if named is None and self.config.ckpt_path is not None:
            named = read_checkpoint(self.config.ckpt_path)[HEADER].get("method")
        callbacks = self.config.trainer.callbacks or []
        for callback in callbacks if isinstance(callbacks, list) else [callbacks]:
            named = named or getattr(_class(callback.class_path), "method", None)
        return named if isinstance(named, str) else NO_METHOD


def _class(path: str) -> Any:
    """The class at a dotted path that the parser has already checked."""
    package, _, name = path.rpartition(".")
    return getattr(importlib.import_module(package), name)


def _seed(value: object) -> int:
    """The run's seed as a number; 0 where seeding is switched off."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
