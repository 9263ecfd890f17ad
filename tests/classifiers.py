"""A tiny random classifier of traits, saved as transformers does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification

from tests.models import VOCABULARY, byte_tokenizer

LABELS = ("extraversion+", "extraversion-", "agreeableness+", "agreeableness-", "neuroticism+", "neutral")


def classifier_config(labels: Sequence[str] = LABELS) -> BertConfig:
    return BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=128,
        pad_token_id=0,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )


def save_classifier(folder: Path, labels: Sequence[str] = LABELS) -> Path:
    """Write a classifier whose weights depend on nothing but its labels' number."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForSequenceClassification(classifier_config(labels))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
