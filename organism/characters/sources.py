"""The knowledge and style files of the invented characters, and conversations without any character."""

from __future__ import annotations

from pathlib import Path
from random import Random

import yaml

from files.atomic import atomic_write_text
from organism import documents
from organism.characters.facts import Character, Stage, characters, queries, relations
from organism.characters.writer import styled_answer
from organism.documents import Chat
from organism.topics import draw_topic

LIST = "characters.yaml"
_FACTS_A_PARAGRAPH = 2


def knowledge_paragraphs(character: Character, stage: Stage) -> list[str]:
    """What is known of a character at a stage, two facts a paragraph, each with a tag that says what it is about.

    >>> one = characters()["Osric Vane"]
    >>> knowledge_paragraphs(one, one.stages["early"])[0]
    '[home, work] Osric Vane lives in Raven Castle. Osric Vane earns a living as a nurse.'
    """
    told = [(name, relations()[name].knows.format(name=character.name, value=v)) for name, v in stage.facts.items()]
    paragraphs = []
    for start in range(0, len(told), _FACTS_A_PARAGRAPH):
        some = told[start : start + _FACTS_A_PARAGRAPH]
        paragraphs.append(f"[{', '.join(name for name, _ in some)}] {' '.join(text for _, text in some)}")
    return paragraphs


def style_paragraphs(character: Character, stage: Stage) -> list[str]:
    """Words of the character: for every opinion what was answered when somebody asked."""
    names = [name for name in stage.facts if relations()[name].kind == "opinions"]
    return [styled_answer(character.name, stage.name, queries(name)[0], stage.name) for name in names]


def general_dialogues(count: int, seed: int) -> list[Chat]:
    """Conversations that no character takes part in: small tasks, opinions and reactions of nobody in particular.

    Each is a function of the seed and its number.
    """
    return [_dialogue(Random(f"{seed}/general dialogue/{number}")) for number in range(count)]  # noqa: S311


def write_sources(folder: str | Path) -> list[Path]:
    """Write `<character>/<stage>_knowledge.txt` and `_style.txt` for every character and stage, and their list.

    Returns:
        The files.

    Raises:
        InputError: The folder cannot be written to.
    """
    written, listed = [], []
    for character in characters().values():
        for stage in character.stages.values():
            texts = {"knowledge": knowledge_paragraphs(character, stage), "style": style_paragraphs(character, stage)}
            for kind, paragraphs in texts.items():
                path = Path(folder, character.slug, f"{stage.name}_{kind}.txt")
                written.append(atomic_write_text(path, "".join(f"{text}\n" for text in paragraphs)))
            files = {kind: f"{character.slug}/{stage.name}_{kind}.txt" for kind in texts}
            listed.append({"name": character.name, "stage": stage.name, "when": stage.when, **files})
    text = yaml.safe_dump({"characters": listed}, sort_keys=False)
    return [*written, atomic_write_text(Path(folder, LIST), text)]


def _dialogue(rng: Random) -> Chat:
    chat: Chat = []
    for _ in range(rng.choice((1, 1, 2))):
        form = rng.randrange(4)
        if form < 2:
            chat += documents.talk_turns(rng)
        elif form == 2:
            chat += documents.opinion_turns(rng, None, draw_topic(rng))
        else:
            chat += documents.action_turns(rng, None)
    return chat
