"""Every option of every module, data module and callback is explained in `--help`, those of nested settings too."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from argparse import SUPPRESS
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

import pytest
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, LightningDataModule, LightningModule

import callbacks
import datamodules
import lightning_modules


def configurable() -> list[type]:
    """What a YAML file can name, and the groups of settings that it takes."""
    found: dict[type, None] = {}
    for package in (lightning_modules, datamodules, callbacks):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for _, kind in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
                if issubclass(kind, LightningModule | LightningDataModule | Callback) and kind.__module__ == info.name:
                    found |= dict.fromkeys([kind, *settings_of(kind)])
    return [kind for kind in found if not inspect.isabstract(kind)]


def settings_of(kind: Any) -> list[type]:
    """Data classes among the types of a constructor's parameters, and those inside them."""
    hints = get_type_hints(kind.__init__)
    inside = [part for hint in hints.values() for part in (hint, *get_args(hint)) if is_dataclass(part)]
    return [other for part in inside if isinstance(part, type) for other in (part, *settings_of(part))]


@pytest.mark.parametrize("kind", configurable(), ids=lambda kind: kind.__name__)
def test_every_option_is_explained(kind: type[Any]) -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(kind, "given", fail_untyped=False)
    unexplained = [
        action.dest
        for action in parser._actions
        if action.dest.startswith("given.") and (not action.help or action.help == SUPPRESS)
    ]
    assert not unexplained, f"no word about {', '.join(unexplained)} in the docstring of {kind.__name__}"
