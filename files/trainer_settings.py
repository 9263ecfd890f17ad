"""Settings that Lightning takes and cannot work with: found before a run, or said without a traceback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from files.errors import InputError, check_at_least

LARGEST_SEED = 2**32 - 1
# Lightning divides by these, or takes them and does nothing of use.
_LEAST = {"accumulate_grad_batches": 1, "gradient_clip_val": 0, "log_every_n_steps": 0}
_FIX = "see the setting in `python train.py fit --help`, and correct it"


def check_seed(seed: object) -> None:
    """Refuse a seed that numpy does not take.

    Args:
        seed: What was given; anything but a number means that there is none.

    Raises:
        InputError: It is negative or too large.

    Example:
        >>> check_seed(1), check_seed(False)
        (None, None)
    """
    if isinstance(seed, int) and not 0 <= seed <= LARGEST_SEED:
        raise InputError(
            "is out of range",
            field="--seed_everything",
            expected=f"a whole number from 0 to {LARGEST_SEED}",
            got=seed,
            fix="give another one",
        )


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Refuse settings of the Trainer that make no sense, and that it does not refuse itself.

    Args:
        settings: The section `trainer`.

    Raises:
        InputError: One of them is too small.

    Example:
        >>> check_trainer({"accumulate_grad_batches": 2})
    """
    if settings.get("default_root_dir") == "":
        raise InputError(
            "is empty",
            field="--trainer.default_root_dir",
            expected="the folder of the run",
            fix="name a folder, such as runs/mine, or leave the option out",
        )
    for name, least in _LEAST.items():
        value = settings.get(name)
        if isinstance(value, int | float):
            check_at_least(f"--trainer.{name}", value, least)
    interval = settings.get("val_check_interval")
    if interval == 0 and isinstance(interval, int | float):
        raise InputError(
            "is no interval",
            field="--trainer.val_check_interval",
            expected="a number of batches, or a share of an epoch",
            got=interval,
            fix="correct it; --trainer.limit_val_batches 0 leaves validation out",
        )


@contextmanager
def refused_by_lightning(building: bool) -> Iterator[None]:
    """Turn what Lightning says about its settings into an error of the user's.

    Args:
        building: Whether the block builds the Trainer of settings, so that whatever goes wrong there is their fault.
            Else only what Lightning itself raises as a misconfiguration or about a value counts.

    Raises:
        InputError: Lightning refuses a setting.
    """
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError, RuntimeError, ImportError, LookupError) as error:
        if not building and not (type(error) is ValueError and _raised_by_lightning(error)):
            raise
        raise _refused(error) from error
    except Exception as error:
        if type(error).__name__ != "MisconfigurationException":
            raise
        raise _refused(error) from error


def _refused(error: Exception) -> InputError:
    text = " ".join(str(error).split())
    return InputError(f"the Trainer refuses a setting: {text.rstrip('.')}", field="trainer", fix=_FIX)


def _raised_by_lightning(error: Exception) -> bool:
    """Whether the innermost call is one of Lightning's own."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith("lightning.")
