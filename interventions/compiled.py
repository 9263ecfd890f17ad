"""Running models as they were written, so that hooks set after their compilation are not passed over."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

import torch


def uncompiled() -> AbstractContextManager[object]:
    """A context in which compiled code is left aside and the model runs step by step.

    Compiled code looks at a module's hooks once, when it is made: one that is set later is ignored without a word, and
    one that is removed goes on acting. Compiling anew for every intervention would take longer than it saves. A model
    does not tell whether somebody has compiled it from outside, so this holds for all code.
    """
    # Where the compiler was never loaded there is no compiled code, and loading it takes seconds.
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
