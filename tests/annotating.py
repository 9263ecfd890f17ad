"""Small characters and folders to annotate."""

from __future__ import annotations

from pathlib import Path

from annotation.records import Question, write_records
from annotation.sources import CharacterFiles
from annotation.steps import PASSAGES, QUESTIONS

KNOWLEDGE = [f"Ada Finch kept {thing} in the {place}." for thing, place in zip("abcdefgh", "stuvwxyz", strict=True)]


def write_character(folder: Path, stage: str | None = None, name: str = "Ada Finch") -> CharacterFiles:
    """A character with eight paragraphs of knowledge and two of style."""
    folder.mkdir(parents=True, exist_ok=True)
    knowledge, style = folder / "knowledge.txt", folder / "style.txt"
    knowledge.write_text("".join(f"[page {n}] {text}\n" for n, text in enumerate(KNOWLEDGE)), encoding="utf-8")
    style.write_text("【letter】 Dear me, what a day!\n\nWell I never.\n", encoding="utf-8")
    return CharacterFiles(name, str(knowledge), str(style), stage)


def write_questions(folder: Path, count: int, character: CharacterFiles) -> list[str]:
    """Questions of a character, ready to be answered."""
    texts = [f"Question number {number}?" for number in range(count)]
    passage = f"{character.slug}-knowledge-1"
    questions = [
        Question(f"q-{number}", character.name, character.stage, "ordinary", passage, text, "a test")
        for number, text in enumerate(texts)
    ]
    write_records(folder / QUESTIONS, questions)
    return texts


def options(character: CharacterFiles) -> list[str]:
    """The character on a command line."""
    return ["--name", character.name, "--knowledge", character.knowledge, "--style", str(character.style)]


__all__ = ["PASSAGES", "QUESTIONS", "options", "write_character", "write_questions"]
