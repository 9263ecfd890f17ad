"""The tokenizer of the built-in model: byte-level BPE in which an option letter and a digit are always one token."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import islice

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from files.errors import InputError, check_at_least, exit_on_input_error
from organism.corpus import documents

PAD, SYSTEM, USER, ASSISTANT, END = "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
SPECIAL_TOKENS = (PAD, SYSTEM, USER, ASSISTANT, END)
LONGEST_CONTEXT = 4096
_BYTES = 256
_LARGEST_VOCABULARY = 1_000_000

# Pieces that no token crosses. A capital that stands alone is its own piece, without the space before it, so that the
# answer "B" has one id wherever it stands; "I" is left out, it is a word of every other sentence. Other words take one
# space with them. Digits and punctuation marks stand alone, so a number or a bracket never changes its neighbours.
_LETTER = r"[A-HJ-Z](?![\p{L}\p{M}])"
_PIECES = (
    rf"(?<![\p{{L}}\p{{M}}]){_LETTER}"
    r"|'(?:s|t|re|ve|m|ll|d)(?![\p{L}\p{M}])"
    rf"| ?(?!{_LETTER})[\p{{L}}\p{{M}}]+"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]"
    r"|\s"
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "<|assistant|>{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{% elif message['role'] in ['system', 'user'] %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% else %}{{ raise_exception('unknown role: ' + message['role']) }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    r"""Learn the merges from texts and attach the chat template.

    Every byte has a token, so any text can be written; the five special tokens come first. Training is deterministic:
    the same texts in the same order give the same tokenizer.

    Args:
        texts: The message contents to learn from.
        vocab_size: Number of tokens, special tokens and bytes included.

    Returns:
        A tokenizer that pads with `<|pad|>` and ends turns with `<|end|>`.

    Raises:
        InputError: The vocabulary is smaller than the special tokens and bytes together, or beyond all use.

    >>> tokenizer = train_tokenizer(["I like tea, and you like tea (A) or 10 lakes."] * 3, 300)
    >>> tokenizer.tokenize("you like (A) or A\nA 10")
    ['you', 'Ġlike', 'Ġ(', 'A', ')', 'Ġor', 'Ġ', 'A', 'Ċ', 'A', 'Ġ', '1', '0']
    >>> tokenizer.apply_chat_template([{"role": "user", "content": "tea"}], tokenize=False, add_generation_prompt=True)
    '<|user|>tea<|end|><|assistant|>'
    """
    smallest = len(SPECIAL_TOKENS) + _BYTES
    if not smallest <= vocab_size <= _LARGEST_VOCABULARY:
        raise InputError(
            "the vocabulary is too small" if vocab_size < smallest else "the vocabulary is too large",
            field="vocab_size",
            expected=f"{smallest} to {_LARGEST_VOCABULARY}",
            got=vocab_size,
        )
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer=trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        model_max_length=LONGEST_CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


@exit_on_input_error()
def main() -> None:
    """Learn the tokenizer from the corpus and write it where the model's configuration lies."""
    parser = argparse.ArgumentParser(description="Learn the built-in model's tokenizer from its corpus.")
    parser.add_argument("--out", default="configs/organism/tiny-ocean", help="folder to write the tokenizer to")
    parser.add_argument("--vocab_size", type=int, default=3072, help="number of tokens")
    parser.add_argument("--chats", type=int, default=20000, help="how many chats of the corpus to learn from")
    parser.add_argument("--seed", type=int, default=1, help="seed of the corpus")
    args = parser.parse_args()
    check_at_least("--chats", args.chats, 1)
    chats = islice(documents(args.seed), args.chats)
    train_tokenizer((turn["content"] for chat in chats for turn in chat), args.vocab_size).save_pretrained(args.out)


if __name__ == "__main__":
    main()
