"""Answers with as many rows at once as memory allows: half as many after every time that it does not suffice."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import PreTrainedTokenizerBase

from files.errors import InputError
from lightning_modules.answering import AnswerSettings, Respondent, answer_several
from metrics.benchmark import Answers

_log = logging.getLogger(__name__)
_ROWS = "--model.init_args.rows"
# How torch says it on a CPU, where it has no class of its own for it.
_SAID = ("can't allocate memory", "not enough memory", "out of memory")


def answer_within_memory(
    base: Respondent,
    personas: Sequence[Respondent | None],
    tokenizer: PreTrainedTokenizerBase,
    settings: AnswerSettings,
) -> tuple[tuple[Answers, list[Answers], list[float]], AnswerSettings]:
    """What `answer_several` answers; where memory runs out it is asked again with half the rows, down to one.

    A row is answered the same alone and among others, so the answers are those of a machine with more memory.

    Args:
        base: As there.
        personas: As there.
        tokenizer: As there.
        settings: As there.

    Returns:
        The answers, and the settings that they were found under, to go on with.

    Raises:
        InputError: Memory does not suffice for a single row.
    """
    while True:
        try:
            return answer_several(base, personas, tokenizer, settings), settings
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            said = str(error).split("\n")[0]
        # Here, where the error and all that its traceback held on to are gone.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if settings.rows == 1:
            raise InputError(
                "memory does not suffice for a single question",
                field=_ROWS,
                expected="room for the model, one question and its answer",
                got=said,
                fix="shorten model.init_args.max_new_tokens, load the model in a smaller number format "
                "(model.init_args.lm.dtype), or take a larger machine",
            )
        settings = replace(settings, rows=settings.rows // 2)
        _log.warning("out of memory: going on with %d rows at once (see %s)", settings.rows, _ROWS)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, on an accelerator or on the CPU.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
        (True, False)
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _SAID)
