"""Turns topics with opinions into edits: what to edit, what the edit must reach, what it must leave alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedTokenizerBase

from datamodules.opinions import TopicOpinions
from editors.records import EditBatch, EditRecord
from files.errors import InputError
from lm.chat import Chat, EncodedChat, TokenBatch, encode_chats, pad_encoded
from metrics.personality_edit import ELSEWHERE, OPINION, OTHER, TARGET
from personas.layouts import edit_instruction
from personas.persona import Persona
from personas.questions import Generation, Likelihood, Questions


@dataclass
class PersonalityEditBatch(EditBatch):
    """Edits together with the questions that an evaluation asks about them.

    Attributes:
        questions: A record per edit; likelihoods of the scored opinions and of the other topic's, and one free opinion.
    """

    questions: Questions

    def to(self, device: torch.device | str) -> PersonalityEditBatch:
        """The same batch on a device."""
        moved = super().to(device)
        return PersonalityEditBatch(**{**vars(moved), "questions": self.questions})


@dataclass(frozen=True)
class Row:
    """One opinion with the question it answers.

    Attributes:
        trait: Whose opinion it is.
        chat: Question and opinion.
        encoded: The chat as tokens.
    """

    trait: str
    chat: Chat
    encoded: EncodedChat


@dataclass(frozen=True)
class EditWording:
    """How edits are put into words, and what of them counts.

    Attributes:
        traits: The traits there are opinions of.
        questions: Questions for an opinion, each with a place for the topic, `{topic}`.
        score_edit_opinion: Whether the opinion that the edit is made from is also scored.
        seed: Seed of everything drawn.
        max_tokens: Longer texts are cut off at their end; None cuts nothing.
        train_opinions: So many opinions of each trait judge an edit in training, drawn anew with the epoch; None: all.
        padding_side: Where shorter rows are filled up.
    """

    traits: tuple[str, ...]
    questions: tuple[str, ...]
    score_edit_opinion: bool = False
    train_opinions: int | None = None
    seed: int = 0
    max_tokens: int | None = None
    padding_side: Literal["left", "right"] = "right"


class EditBatcher:
    """Makes batches of the records of one split.

    Everything is drawn from (seed, split, record), and what changes between epochs from the epoch too; so a batch is
    the same whoever asks for it and when.

    Args:
        records: The split.
        split: Its name.
        tokenizer: Cuts texts into tokens.
        wording: How edits are put into words.
        redraw: Whether the target, the edit's opinion and the other topic change with the epoch.
    """

    def __init__(
        self,
        records: Sequence[TopicOpinions],
        split: str,
        tokenizer: PreTrainedTokenizerBase,
        wording: EditWording,
        *,
        redraw: bool,
    ) -> None:
        self.records = records
        self.split = split
        self.tokenizer = tokenizer
        self.wording = wording
        self.redraw = redraw
        self._rows: dict[int, list[Row]] = {}
        self._partners: tuple[int, list[int]] = (-1, [])

    def __len__(self) -> int:
        """Number of records."""
        return len(self.records)

    def batch(self, indices: Sequence[int], epoch: int = 0) -> PersonalityEditBatch:
        """The edits of chosen records.

        Args:
            indices: Which records.
            epoch: Number of the epoch; ignored unless draws change with it.

        Returns:
            One edit per record, in the order of the indices.
        """
        epoch = epoch if self.redraw else 0
        edits, sources = zip(*(self._edit(index, epoch) for index in indices), strict=True)
        partners = [self.partners(epoch)[index] for index in indices]
        asked = [self._asked(index, epoch, source) for index, source in zip(indices, sources, strict=True)]
        outer = [(place, row) for place, rows in enumerate(asked) for row in rows]
        locality = [(place, row) for place, partner in enumerate(partners) for row in self._asked(partner, epoch)]
        targets = [self.target(index, epoch) for index in indices]
        scored = [self.wording.score_edit_opinion or row is not sources[place] for place, row in outer]
        words = [
            EditRecord(
                topic=self.records[index].topic,
                target=target,
                prompt=self._free_question(index),
                locality_topic=self.records[partner].topic,
            )
            for index, target, partner in zip(indices, targets, partners, strict=True)
        ]
        return PersonalityEditBatch(
            edit=self._padded(list(edits)),
            outer=self._padded([row.encoded for _, row in outer]),
            outer_record=torch.tensor([place for place, _ in outer]),
            same_mask=torch.tensor([row.trait == targets[place] for place, row in outer]),
            scored=torch.tensor(scored),
            locality=self._padded([row.encoded for _, row in locality]),
            locality_record=torch.tensor([place for place, _ in locality]),
            records=words,
            questions=self._questions(indices, targets, outer, scored, locality),
        )

    def target(self, index: int, epoch: int) -> str:
        """The trait to edit a record towards: the file's where it names one, else drawn.

        Args:
            index: Which record.
            epoch: Number of the epoch.

        Returns:
            A trait.
        """
        return self.records[index].target or self._drawn("target", index, epoch).choice(self.wording.traits)

    def rows(self, index: int) -> list[Row]:
        """All opinions of a record, trait by trait, each with its question; drawn and encoded on first use.

        Args:
            index: Which record.

        Returns:
            The rows.
        """
        if index not in self._rows:
            record, draw = self.records[index], self._drawn("questions", index, 0)
            said = [(trait, text) for trait in self.wording.traits for text in record.opinions[trait]]
            chats = [_opinion_chat(draw.choice(self.wording.questions), record.topic, text) for _, text in said]
            encoded = encode_chats(self.tokenizer, chats)
            self._rows[index] = [
                Row(trait, chat, self._cut(tokens))
                for (trait, _), chat, tokens in zip(said, chats, encoded, strict=True)
            ]
        return self._rows[index]

    def partners(self, epoch: int) -> list[int]:
        """For each record the one whose opinions its edit must leave alone: the next of a permutation on another topic.

        Args:
            epoch: Number of the epoch.

        Returns:
            One record per record, never one on the same topic.
        """
        known, partners = self._partners
        if known != epoch:
            order = list(range(len(self.records)))
            self._drawn("order", 0, epoch).shuffle(order)
            partners = [0] * len(order)
            for place, index in enumerate(order):
                step = 1
                while self.records[order[(place + step) % len(order)]].key == self.records[index].key:
                    step += 1
                partners[index] = order[(place + step) % len(order)]
            self._partners = (epoch, partners)
        return partners

    def _edit(self, index: int, epoch: int) -> tuple[EncodedChat, Row]:
        """The text of an edit: target and topic, then a question and one of the target's opinions, which comes too."""
        target = self.target(index, epoch)
        source = self._drawn("opinion", index, epoch).choice([row for row in self.rows(index) if row.trait == target])
        instruction = {"role": "system", "content": edit_instruction(target, self.records[index].topic)}
        return self._cut(encode_chats(self.tokenizer, [[instruction, *source.chat]])[0]), source

    def _asked(self, index: int, epoch: int, source: Row | None = None) -> list[Row]:
        """The opinions of a record that judge an edit: all of them, or some of each trait, the edit's own last."""
        most = self.wording.train_opinions
        if most is None or not self.redraw:
            return self.rows(index)
        draw = self._drawn("asked", index, epoch)
        by_trait = [[row for row in self.rows(index) if row.trait == trait] for trait in self.wording.traits]
        drawn = [draw.sample(rows, len(rows)) for rows in by_trait]
        return [row for rows in drawn for row in sorted(rows, key=lambda row: row is source)[:most]]

    def _free_question(self, index: int) -> Chat:
        question = self._drawn("free", index, 0).choice(self.wording.questions)
        return _opinion_chat(question, self.records[index].topic, "")[:1]

    def _questions(
        self,
        indices: Sequence[int],
        targets: Sequence[str],
        outer: Sequence[tuple[int, Row]],
        scored: Sequence[bool],
        locality: Sequence[tuple[int, Row]],
    ) -> Questions:
        opinions = [
            Likelihood(place, TARGET if row.trait == targets[place] else OTHER, row.chat[:1], row.chat[1]["content"])
            for (place, row), counts in zip(outer, scored, strict=True)
            if counts
        ]
        elsewhere = [
            Likelihood(place, ELSEWHERE, row.chat[:1], row.chat[1]["content"], compare=True) for place, row in locality
        ]
        free = [Generation(place, OPINION, self._free_question(index)) for place, index in enumerate(indices)]
        return Questions(
            ids=tuple(f"{index}:{self.records[index].topic}" for index in indices),
            order=tuple(indices),
            personas=tuple(Persona.trait(target) for target in targets),
            likelihoods=(*opinions, *elsewhere),
            generations=tuple(free),
        )

    def _drawn(self, purpose: str, index: int, epoch: int) -> random.Random:
        """A source of random choices of its own for every purpose, record and epoch."""
        return random.Random(f"{self.wording.seed}/{self.split}/{purpose}/{index}/{epoch}")

    def _cut(self, encoded: EncodedChat) -> EncodedChat:
        limit = self.wording.max_tokens
        if limit is not None and not any(encoded.answer_mask[:limit]):
            raise InputError(
                "leaves nothing of an opinion",
                field="--data.init_args.max_tokens",
                expected=f"more than {encoded.answer_mask.index(True)}, where the opinion begins in {self.split}.json",
                got=limit,
                fix="raise it, or leave it out",
            )
        return EncodedChat(encoded.ids[:limit], encoded.answer_mask[:limit])

    def _padded(self, encoded: Sequence[EncodedChat]) -> TokenBatch:
        return pad_encoded(encoded, self.tokenizer.pad_token_id, side=self.wording.padding_side)


def _opinion_chat(question: str, topic: str, opinion: str) -> Chat:
    """A question about a topic and an opinion on it; only the slot is filled, whatever braces a topic holds."""
    return [
        {"role": "user", "content": question.replace("{topic}", topic)},
        {"role": "assistant", "content": opinion},
    ]
