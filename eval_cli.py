"""The command line of `evaluate.py`: one benchmark, one language model, one method."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from callbacks.report import Report
from callbacks.results_json import ResultsJson
from callbacks.sample_generations import SampleGenerations
from callbacks.steering import SteeringCallback
from datamodules.beside import AskedBeside
from datamodules.side_questions import SideEffectSpec
from files.assets import asset_path
from files.atomic import write_json
from files.library_notes import leave_out_notes
from files.locked_folder import locked_folder
from files.parser_errors import PlainErrors
from files.provenance import data_hash
from files.readers import read_json
from files.trainer_settings import check_seed, check_trainer, refused_by_lightning
from files.yaml_files import check_settings_files
from lightning_modules.base import HEADER
from lightning_modules.evaluation import NO_METHOD, EvalModule
from lightning_modules.trained import last_checkpoint, read_checkpoint
from lm.classifier import ClassifierSpec

RUNS, LOGS = "runs", "tensorboard/evaluation"
RESULTS, DONE = "results.json", "evaluation.json"


# Two warnings of libraries about themselves: that arguments come from a list, and about a pytree class.
for _own in ("LightningCLI's args parameter is intended", r"`isinstance\(treespec, LeafSpec\)` is deprecated"):
    warnings.filterwarnings("ignore", message=_own)
leave_out_notes()


class PlainParser(PlainErrors, LightningArgumentParser):
    """Lightning's parser with errors in a few lines."""


class EvalCLI(LightningCLI):
    """Builds an evaluation from YAML and command line; `run` runs it.

    The language model and the seed are named once and linked to the data. Settings stored in a checkpoint overrule
    nothing: they only rebuild the module that was trained.
    """

    def __init__(self, args: list[str] | None = None) -> None:
        check_settings_files(args if args is not None else sys.argv[1:])
        super().__init__(
            EvalModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            save_config_callback=None,
            parser_class=PlainParser,
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
            "--trained_by",
            type=str | None,
            default=None,
            help="settings file of the training that this evaluation needs; without --ckpt_path its last checkpoint is "
            "evaluated",
        )
        parser.add_argument(
            "--classifier",
            type=ClassifierSpec | None,
            default=None,
            help="reads traits off the free answers of any benchmark: acc, tpei, trait_expression",
        )
        parser.add_argument(
            "--side_effects",
            type=SideEffectSpec | None,
            default=None,
            help="what is asked beside the benchmark: perplexity of plain text, talk_accuracy, safety, hallucination",
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

    def _set_seed(self) -> None:
        """Set the seed, if it is one."""
        check_seed(self._get(self.config, "seed_everything"))
        super()._set_seed()

    def _parse_ckpt_path(self) -> None:
        """Leave the checkpoint alone: settings stored in it must not overrule the file and the command line."""

    def before_instantiate_classes(self) -> None:
        """Choose the run's folder, and see that the checkpoint is one, before anything is loaded."""
        check_trainer(self.config.trainer)
        if self.config.ckpt_path is None and self.config.trained_by is not None:
            self.config.ckpt_path = self.config.model.init_args.ckpt_path = last_checkpoint(self.config.trained_by)
        self.folder_given = self.config.trainer.default_root_dir is not None
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
        with refused_by_lightning(building=True):
            return super().instantiate_trainer(callbacks=callbacks, **kwargs)

    @property
    def root(self) -> Path:
        """The run's folder."""
        return Path(self.config.trainer.default_root_dir)

    def settings(self) -> dict[str, Any]:
        """The resolved settings, as the YAML file holds them."""
        settings: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        return settings

    def is_done(self) -> bool:
        """Whether the folder holds the results of this very evaluation: same settings, data, model and checkpoint."""
        note = self.root / DONE
        if not note.is_file() or not (self.root / RESULTS).is_file():
            return False
        content = read_json(note)
        return isinstance(content, dict) and content.get("key") == self.key()

    def key(self) -> str:
        """What the results depend on, beside the code: settings and the content of all files they name."""
        settings = self.settings()
        callbacks = (settings.pop("trainer", None) or {}).get("callbacks")
        for name in ("trained_by", "ckpt_path"):
            settings.pop(name, None)
        folders = [self.config.model.init_args.lm.name]
        folders += [self.config.classifier.name] if self.config.classifier is not None else []
        folders += [self.config.side_effects.data_dir] if self.config.side_effects is not None else []
        files = [asset_path(name) for name in folders if asset_path(name).is_dir()]
        files += [Path(self.config.ckpt_path)] if self.config.ckpt_path is not None else []
        contents = [data_hash(file) for file in (*files, self.datamodule.data_files())]
        text = json.dumps([settings, callbacks, contents], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def run(self) -> None:
        """Evaluate; the log of an earlier evaluation in the same folder is replaced.

        The folder is tried out first, then data and model are loaded; where one is faulty nothing is left in it.
        """
        root = Path(self.trainer.default_root_dir)
        with locked_folder(root, lock=self.trainer.is_global_zero):
            data = self._data()
            self.model.configure_model()
            if self.trainer.is_global_zero:
                shutil.rmtree(root / LOGS, ignore_errors=True)
                (root / DONE).unlink(missing_ok=True)
            with refused_by_lightning(building=False):
                self.trainer.test(self.model, datamodule=data, verbose=False)
            if self.trainer.is_global_zero:
                write_json(root / DONE, {"key": self.key()})

    def _data(self) -> LightningDataModule:
        """The data module, set up, with what is asked beside it."""
        self.datamodule.prepare_data()
        self.datamodule.setup("test")
        side_effects, classifier = (self._get(self.config_init, name) for name in ("side_effects", "classifier"))
        if side_effects is None and classifier is None:
            return self.datamodule
        return AskedBeside(self.datamodule, side_effects, classifier)

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
