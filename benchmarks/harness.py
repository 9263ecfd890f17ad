"""Tasks of lm-evaluation-harness on a persona: what else a method changes (needs the extra `harness`).

    python -m benchmarks.harness --config configs/eval/trait/description.yaml --persona openness+ --tasks arc_easy

The method is the callback of the settings file; without one, or without a persona, the model answers as it is.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from callbacks.harness import PersonaModel, fitted, harness_model
from callbacks.steering import SteeringCallback
from files.atomic import write_json
from files.errors import InputError, exit_on_input_error
from lm.loading import freeze, load_model, load_tokenizer
from personas.persona import Persona
from personas.traits import TRAIT_OF_FACET, TRAITS


def parsed_persona(text: str | None) -> Persona:
    """A persona by its name, such as `openness+` or `trust-`; nobody in particular without one.

    Raises:
        InputError: There is no such trait or facet.

    Example:
        >>> parsed_persona("trust-").levels
        {'trust': -1.0}
    """
    if text is None:
        return Persona("nobody")
    match = re.fullmatch(r"(?P<name>.+?)(?P<sign>[+-])", text.strip())
    if match is None or (match["name"] not in TRAITS and match["name"] not in TRAIT_OF_FACET):
        raise InputError(
            "is no persona", field="--persona", expected="a trait or facet with + or -, such as openness+", got=text
        )
    return Persona.trait(match["name"], 1.0 if match["sign"] == "+" else -1.0)


def persona_model(config: str, persona: Persona, batch_size: int) -> PersonaModel:
    """The model of a settings file under the method in it.

    Args:
        config: A settings file of `evaluate.py`.
        persona: Whom to speak as.
        batch_size: Most rows computed at once.

    Raises:
        InputError: The method cannot express the persona, or cannot be fitted here.
    """
    from eval_cli import EvalCLI

    cli: Any = EvalCLI(["--config", config])
    spec = cli.model.spec
    lm, tokenizer = freeze(load_model(spec)), load_tokenizer(spec)
    methods: list[Any] = [
        one for one in cli.trainer.callbacks if isinstance(one, SteeringCallback) and not one.baseline
    ]
    if not persona.levels or not methods:
        return PersonaModel(lm, tokenizer, persona, None, batch_size)
    method = fitted(methods[0], lm, tokenizer)
    method.check([persona])
    return PersonaModel(lm, tokenizer, persona, method, batch_size)


@exit_on_input_error()
def main(arguments: Sequence[str]) -> None:
    """Run tasks and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harness", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--config", required=True, help="settings file of an evaluation: the model and the method")
    parser.add_argument("--persona", help="whom to speak as, such as openness+; left out: the model as it is")
    parser.add_argument("--tasks", required=True, help="tasks of the harness, separated by commas")
    parser.add_argument("--limit", type=int, help="take only so many items of each task")
    parser.add_argument("--batch_size", type=int, default=16, help="most rows computed at once (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args(arguments)
    model = harness_model(persona_model(options.config, parsed_persona(options.persona), options.batch_size))
    from lm_eval import simple_evaluate

    found = simple_evaluate(model=model, tasks=options.tasks.split(","), limit=options.limit, log_samples=False)
    results: dict[str, dict[str, Any]] = (found or {}).get("results", {})
    table = Table("task", "figure", "value", title=f"{options.config}, {options.persona or 'no persona'}")
    for task, figures in results.items():
        for name, value in figures.items():
            if isinstance(value, float):
                table.add_row(task, name, f"{value:.4f}")
    Console().print(table)
    if options.output is not None:
        write_json(options.output, results)


if __name__ == "__main__":
    main(sys.argv[1:])
