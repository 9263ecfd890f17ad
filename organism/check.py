"""Measure what the built-in model can do, on topics, statements and wordings that it never read."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from files.atomic import write_json
from files.errors import check_at_least, exit_on_input_error
from lm.generation import generate
from lm.loading import LMSpec, load_model, load_tokenizer
from lm.scoring import choose, log_likelihood
from metrics.answer_letters import parse_letter
from metrics.coherence import n_gram_entropy
from organism.descriptions import by_answers, describe
from organism.documents import Chat, exchange, message
from organism.lexicon import lexicon
from organism.opinions import matched_opinions, opinion
from organism.questions import CHOICE_QUERIES, OPINION_QUESTIONS
from organism.situations import draw_choice
from organism.statements import draw_statement, points
from organism.topics import draw_topic
from personas.layouts import CHOICE_LAYOUTS, LETTERS, STATEMENT_LAYOUTS, choice_prompt, demonstration, statement_prompt
from personas.traits import BIG_FIVE

POLES: tuple[tuple[str, float], ...] = tuple((trait, sign) for trait in BIG_FIVE for sign in (1.0, -1.0))
COHERENT = 3.5
_BATCH = 64
_OF_A_PERSON = 20


class Competence:
    """Asks one model the questions of the check; every question is drawn from the held-out split with one seed."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, size: int, seed: int) -> None:
        """Take a model and the number of questions of each kind (a multiple of the ten poles is best)."""
        self.model, self.tokenizer, self.size, self.seed = model, tokenizer, size, seed

    def _rng(self, part: str) -> Random:
        return Random(f"{self.seed}/check/{part}")  # noqa: S311 - no secret depends on it

    def _share_likeliest(
        self, prompts: Sequence[Chat], answers: Sequence[Sequence[str]], right: Sequence[int]
    ) -> float:
        """Share of prompts whose right answer is the likeliest of its answers, each as a whole."""
        flat = [(prompt, text) for prompt, texts in zip(prompts, answers, strict=True) for text in texts]
        scored = log_likelihood(
            self.model, self.tokenizer, [p for p, _ in flat], [t for _, t in flat], batch_size=_BATCH
        )
        likeliest = scored.total.view(len(prompts), -1).argmax(-1)
        return (likeliest == torch.tensor(right)).float().mean().item()

    def persona_among_ten(self) -> dict[str, float]:
        """Share of personas whose own opinion on a topic is likelier than those of the nine other poles.

        The ten speak in the same frames about the same aspects: what is compared is personality, not rare words.
        """
        rng, prompts, answers, right = self._rng("ten"), [], [], []
        for i in range(self.size):
            topic, own = draw_topic(rng, "held_out"), i % len(POLES)
            question = rng.choice(OPINION_QUESTIONS).format(topic=topic.name)
            persona = describe(rng, dict([POLES[own]]), "held_out")
            prompts.append([message("system", persona), message("user", question)])
            answers.append(matched_opinions(rng, topic, POLES, own, "held_out"))
            right.append(own)
        return {"persona_among_ten": self._share_likeliest(prompts, answers, right)}

    def in_context(self) -> dict[str, float]:
        """Share of prompts with three examples of one pole after which that pole's opinion is the likeliest of ten."""
        rng, prompts, answers, right = self._rng("context"), [], [], []
        for i in range(self.size):
            own = i % len(POLES)
            topics = [draw_topic(rng, "held_out") for _ in range(4)]
            questions = [rng.choice(OPINION_QUESTIONS).format(topic=topic.name) for topic in topics]
            shown = [
                demonstration(topic.name, question, opinion(rng, topic, *POLES[own], "held_out"))
                for topic, question in zip(topics[:-1], questions, strict=False)
            ]
            shown.append(demonstration(topics[-1].name, questions[-1], ""))
            prompts.append([message("user", "\n\n".join(shown))])
            answers.append(matched_opinions(rng, topics[-1], POLES, own, "held_out"))
            right.append(own)
        return {"in_context": self._share_likeliest(prompts, answers, right)}

    def free_answers(self) -> dict[str, float]:
        """Greedy answers with and without a persona: do they name the topic, and are they coherent?"""
        rng, prompts, names = self._rng("free"), [], []
        for i in range(self.size):
            topic = draw_topic(rng, "held_out")
            head = [message("system", describe(rng, dict([POLES[i % len(POLES)]]), "held_out"))] if i % 2 else []
            prompts.append([*head, message("user", rng.choice(OPINION_QUESTIONS).format(topic=topic.name))])
            names.append(topic.name.lower())
        texts = generate(self.model, self.tokenizer, prompts, max_new_tokens=64, seed=self.seed, batch_size=_BATCH)
        named = [name in text.lower() for name, text in zip(names, texts, strict=True)]
        coherent = [n_gram_entropy(text).value >= COHERENT for text in texts]
        return {"topic_named": sum(named) / len(named), "coherent_rate": sum(coherent) / len(coherent)}

    def questionnaire(self) -> dict[str, float]:
        """Greedy answers to statements under a persona: distance from the persona's answer, and share understood."""
        rng, prompts, wanted = self._rng("questionnaire"), [], []
        for i in range(2 * self.size):
            trait, sign = POLES[i % len(POLES)]
            level = sign * rng.choice((0.5, 1.0))
            statement = draw_statement(rng, rng.choice(lexicon()[trait]), "held_out")
            ask = statement_prompt(statement.text, STATEMENT_LAYOUTS[i % len(STATEMENT_LAYOUTS)])
            prompts.append([message("system", describe(rng, {trait: level}, "held_out")), message("user", ask)])
            wanted.append(points(level, statement.key))
        texts = generate(self.model, self.tokenizer, prompts, max_new_tokens=12, seed=self.seed, batch_size=_BATCH)
        letters = [parse_letter(text) for text in texts]
        gaps = [abs(5 - LETTERS.index(x) - w) for x, w in zip(letters, wanted, strict=True) if x is not None]
        parsed = sum(x is not None for x in letters) / len(letters)
        return {"questionnaire_mae": sum(gaps) / max(1, len(gaps)), "questionnaire_parsed": parsed}

    def described_by_answers(self) -> dict[str, float]:
        """Likeliest answers to statements after 120 answered ones: distance from those of the person described."""
        rng, prompts, wanted = self._rng("answers"), [], []
        for _ in range(max(1, self.size // _OF_A_PERSON)):
            levels = {trait: rng.choice((-1.0, -0.5, 0.0, 0.5, 1.0)) for trait in BIG_FIVE}
            head = [message("system", by_answers(rng, levels, 120, "held_out"))]
            for number in range(_OF_A_PERSON):
                trait = BIG_FIVE[number % len(BIG_FIVE)]
                statement = draw_statement(rng, rng.choice(lexicon()[trait]), "held_out")
                prompts.append([*head, message("user", statement_prompt(statement.text))])
                wanted.append(points(levels[trait], statement.key))
        options = [list(LETTERS[:5])] * len(prompts)
        chosen = choose(self.model, self.tokenizer, prompts, options, batch_size=_BATCH).probabilities.argmax(-1)
        return {"answers_mae": (5 - chosen - torch.tensor(wanted)).abs().float().mean().item()}

    def _choices(self, rng: Random, trait: str, head: Chat, layout: str) -> tuple[Chat, list[int]]:
        item = draw_choice(rng, rng.choice(lexicon()[trait]), "held_out")
        order = rng.sample(range(4), 4)
        prompt = choice_prompt(
            item.situation.text, rng.choice(CHOICE_QUERIES), [item.options[i] for i in order], layout
        )
        return [*head, *exchange(prompt, "")[:1]], order

    def _high_shares(self, prompts: Sequence[Chat], orders: Sequence[Sequence[int]]) -> Tensor:
        """Whether the likeliest letter of each prompt stands for one of the two high options (options 0 and 1)."""
        letters = [list(LETTERS[:4])] * len(prompts)
        chosen = choose(self.model, self.tokenizer, prompts, letters, batch_size=_BATCH).probabilities.argmax(-1)
        return (torch.tensor(orders).gather(1, chosen[:, None])[:, 0] < 2).float()

    def choices(self) -> dict[str, float]:
        """Multiple choice under a high or low persona: share of choices that follow it, each trait alike."""
        rng, prompts, orders, signs = self._rng("choice"), [], [], []
        for i in range(2 * self.size):
            trait, sign = POLES[i % len(POLES)]
            head = [message("system", describe(rng, {trait: sign}, "held_out"))]
            prompt, order = self._choices(rng, trait, head, CHOICE_LAYOUTS[i % len(CHOICE_LAYOUTS)])
            prompts.append(prompt)
            orders.append(order)
            signs.append(sign)
        followed = self._high_shares(prompts, orders) == (torch.tensor(signs) > 0).float()
        return {"choice_follow": followed.float().mean().item()}

    def neutral(self) -> dict[str, dict[str, float]]:
        """Multiple choice without a persona: share of high choices of each trait."""
        shares = {}
        for trait in BIG_FIVE:
            rng = self._rng(f"neutral {trait}")
            drawn = [self._choices(rng, trait, [], CHOICE_LAYOUTS[i % len(CHOICE_LAYOUTS)]) for i in range(self.size)]
            shares[trait] = self._high_shares([p for p, _ in drawn], [o for _, o in drawn]).mean().item()
        return {"neutral": shares}

    def measure(self) -> dict[str, float | dict[str, float]]:
        """Ask everything and return all figures under their names."""
        parts: tuple[Callable[[], Mapping[str, float | dict[str, float]]], ...] = (
            self.persona_among_ten,
            self.free_answers,
            self.in_context,
            self.questionnaire,
            self.described_by_answers,
            self.choices,
            self.neutral,
        )
        figures: dict[str, float | dict[str, float]] = {}
        for part in track(parts, description="competence", transient=True):
            figures |= part()
        return figures


@exit_on_input_error()
def main() -> None:
    """Check a model and write its figures beside it."""
    parser = argparse.ArgumentParser(description="Measure the built-in model's competence on held-out material.")
    parser.add_argument("--model", default="assets/tiny-ocean", help="folder of the model to check")
    parser.add_argument("--out", type=Path, help="where to write the figures (default: competence.json in the folder)")
    parser.add_argument("--size", type=int, default=200, help="questions of each kind; 10 poles share them")
    parser.add_argument("--seed", type=int, default=7, help="seed of every question")
    args = parser.parse_args()
    check_at_least("--size", args.size, 1)
    started = time.monotonic()
    spec = LMSpec(name=args.model)
    figures = Competence(load_model(spec), load_tokenizer(spec), args.size, args.seed).measure()
    table = Table("competence", "held-out", title=f"{args.model}, {args.size} questions of each kind")
    for name, value in figures.items():
        rows = value.items() if isinstance(value, dict) else [("", value)]
        for part, number in rows:
            table.add_row(f"{name} {part}".strip(), f"{number:.3f}")
    Console().print(table)
    out = args.out or Path(args.model) / "competence.json"
    write_json(out, figures | {"size": args.size, "seed": args.seed, "seconds": round(time.monotonic() - started, 1)})


if __name__ == "__main__":
    main()
