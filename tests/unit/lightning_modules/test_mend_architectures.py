"""MEND from end to end on every architecture: train, edit, edit again on top, keep, load by plain transformers."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

from editors.hypernetwork import TransformOptions
from interventions.applied import applied
from lightning_modules.mend import MENDModule
from lm.loading import LMSpec
from tests.models import ARCHITECTURES, byte_tokenizer, random_model
from tests.unit.editors.batches import random_batch

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
TOPICS = ("tea", "rain", "a long walk")


def chats(wording):
    return [
        [
            {"role": "user", "content": f"{wording} {topic}?"},
            {"role": "assistant", "content": f"{topic}! I {wording} it."},
        ]
        for topic in TOPICS
    ]


@pytest.fixture(params=ARCHITECTURES)
def trained(request, tmp_path):
    """A module on a saved model of the architecture, after two steps."""
    folder = tmp_path / "model"
    random_model(request.param, layers=3).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    torch.manual_seed(0)
    module = MENDModule(
        LMSpec(str(folder)), last_layers=2, transform=TransformOptions(rank=8), learning_rate=1e-2, edit_lr=-0.1
    )
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_steps=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader([random_batch(edits=2, seed=seed) for seed in range(2)], batch_size=None))
    return module


def test_edits_are_kept_as_plain_weights(trained, tmp_path):
    first = trained.edit(chats("like"))
    both = trained.edit(chats("hate"), on_top_of=first.edit)
    ids = torch.randint(6, 272, (len(TOPICS), 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        base = trained.lm(ids).logits
        for edited in (first, both):
            with edited.applied():
                together = trained.lm(ids).logits
            assert (together - base).abs().amax((1, 2)).min() > 1e-3
            for number in range(len(TOPICS)):
                kept = tmp_path / f"kept-{number}"
                edited.materialize(number).save_pretrained(kept)
                plain = AutoModelForCausalLM.from_pretrained(kept, dtype=torch.float32).eval()
                torch.testing.assert_close(plain(ids).logits[number], together[number], rtol=1e-4, atol=1e-4)
        assert torch.equal(trained.lm(ids).logits, base)


def test_a_row_is_answered_under_its_edit_whatever_its_neighbours(trained):
    edit = trained.edit(chats("like")).edit
    ids = torch.randint(6, 272, (4, 7), generator=torch.Generator().manual_seed(2))
    rows = [2, 0, 0, 1]
    with torch.no_grad():
        with applied(trained.lm, edit.rows(rows)):
            together = trained.lm(ids).logits
        for place, row in enumerate(rows):
            with applied(trained.lm, edit.only(row)):
                alone = trained.lm(ids[place : place + 1]).logits[0]
            torch.testing.assert_close(together[place], alone, rtol=1e-4, atol=1e-4)


def test_an_edit_answers_in_generation(trained):
    """The same text with a cache and without."""
    edited = trained.edit(chats("like"))
    ids = torch.randint(6, 272, (len(TOPICS), 5), generator=torch.Generator().manual_seed(3))
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    with edited.applied():
        cached, plain = (
            trained.lm.generate(ids, attention_mask=torch.ones_like(ids), use_cache=cache, **options)
            for cache in (True, False)
        )
    assert torch.equal(cached, plain)
