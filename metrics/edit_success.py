"""Edit success (ES): does the edited model prefer opinions of the target personality, without forgetting the topic?"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from metrics.records import RecordMeans, record_index, sum_by_record
from metrics.token_log_probs import Variant, label_log_probs, shifted


class EditSuccessParts(NamedTuple):
    """Edit success of each record (E,), and what it is made of.

    `es` is `z_per * z_topic`. `z_per`: how much likelier opinions of the target personality are than others after the
    edit; 0.5 is no preference. `z_topic`: how likely the target's opinions stayed, capped at 1 (`z_topic_raw` is not).
    `empty` marks records without a token of the target or without one of the others: their `es` is nan.
    """

    es: Tensor
    z_per: Tensor
    z_topic: Tensor
    z_topic_raw: Tensor
    mean_logp_same_post: Tensor
    mean_logp_other_post: Tensor
    empty: Tensor


def edit_success_from_log_probs(
    pre: Tensor,
    post: Tensor,
    mask: Tensor,
    same_mask: Tensor,
    record: Tensor | None = None,
    *,
    mask_pre: Tensor | None = None,
    num_records: int | None = None,
) -> EditSuccessParts:
    """Edit success from the log-probabilities of the labels, for many records at once.

    With a, b the mean log-probability before and after of the target's tokens, and c that of the others' after:
    `z_per = sigmoid(b - c)`, `z_topic = min(1, exp(b - a))`. The means are over all such tokens of a record, not per
    row.

    Args:
        pre: (R, T) log-probability of each token before the edit. Where the mask is off, anything, nan included.
        post: (R, T2) the same after the edit.
        mask: (R, T2) True on the tokens that count. Rows that must not be scored: `mask & scored[:, None]`.
        same_mask: (R,) True where the row's text has the target personality.
        record: (R,) the record of each row; None takes all rows as one.
        mask_pre: (R, T) the mask before the edit, where the edited run sees another prompt; otherwise `mask`.
        num_records: E, needed only if some record may have no row; `record` then counts from 0.

    Returns:
        The parts, each (E,), records in ascending order.

    Raises:
        ValueError: If shapes do not fit.

    Reference:
        Mao et al., Editing Personality for Large Language Models, 2023 (metric ES).

    Example:
        >>> pre = torch.tensor([[-2.0, -2.0], [-3.0, -1.0]])
        >>> post = torch.tensor([[-1.0, -1.0], [-4.0, -2.0]])
        >>> parts = edit_success_from_log_probs(pre, post, torch.ones(2, 2), torch.tensor([True, False]))
        >>> parts.z_per, parts.z_topic_raw  # sigmoid(-1 + 3), exp(-1 + 2)
        (tensor([0.8808]), tensor([2.7183]))
    """
    mask_pre = mask if mask_pre is None else mask_pre
    if pre.shape != mask_pre.shape or post.shape != mask.shape or len(pre) != len(post):
        raise ValueError(
            f"`pre` and `post` expected the shapes of their masks, {tuple(mask_pre.shape)} and {tuple(mask.shape)}, "
            f"but got {tuple(pre.shape)} and {tuple(post.shape)}"
        )
    if same_mask.shape != (len(post),):
        raise ValueError(f"`same_mask` expected shape ({len(post)},) but got {tuple(same_mask.shape)}")
    index, num_records = record_index(record, len(post), num_records, post.device)
    same = same_mask.bool()
    before, _ = _mean_by_record(pre, mask_pre, same, index, num_records)
    after, counted = _mean_by_record(post, mask, same, index, num_records)
    others, counted_others = _mean_by_record(post, mask, ~same, index, num_records)
    z_per, raw = torch.sigmoid(after - others), torch.exp(after - before)
    # fmin passes over a nan, as the release does for a record without the target's tokens
    z_topic = torch.fmin(raw, torch.ones_like(raw))
    empty = (counted == 0) | (counted_others == 0)
    return EditSuccessParts(z_per * z_topic, z_per, z_topic, raw, after, others, empty)


def edit_success(
    logits_pre: Tensor,
    logits_post: Tensor,
    labels: Tensor,
    mask: Tensor,
    same_mask: Tensor,
    record: Tensor | None = None,
    *,
    variant: Variant = "next_token",
    num_records: int | None = None,
) -> EditSuccessParts:
    """Edit success from logits before and after the edit.

    Args:
        logits_pre: (R, T, V) before.
        logits_post: (R, T, V) after.
        labels: (R, T) tokens of the text; what is masked in counts, -100 as token 0.
        mask: (R, T) True on the answer's tokens.
        same_mask: (R,) True where the row's text has the target personality.
        record: (R,) the record of each row; None takes all rows as one.
        variant: `next_token`, or `as_released`: logits are matched with the token they have already seen.
        num_records: E, needed only if some record may have no row; `record` then counts from 0.

    Returns:
        The parts, each (E,).

    Raises:
        ValueError: If shapes do not fit, or there is no such variant.

    Deviation:
        The release has no shift by one; that is `as_released`.

    Example:
        >>> logits = torch.zeros(2, 3, 4)
        >>> labels, answer = torch.ones(2, 3, dtype=torch.long), torch.tensor([[0, 1, 1], [0, 1, 1]])
        >>> edit_success(logits, logits, labels, answer, torch.tensor([True, False])).es
        tensor([0.5000])
    """
    return edit_success_icl(
        logits_pre, labels, mask, logits_post, labels, mask, same_mask, record, variant=variant, num_records=num_records
    )


def edit_success_icl(
    logits_pre: Tensor,
    labels_pre: Tensor,
    mask_pre: Tensor,
    logits_post: Tensor,
    labels_post: Tensor,
    mask_post: Tensor,
    same_mask: Tensor,
    record: Tensor | None = None,
    *,
    variant: Variant = "next_token",
    num_records: int | None = None,
) -> EditSuccessParts:
    """Edit success where the edited run sees more prompt, so that each side has its own tokens.

    Args:
        logits_pre: (R, T, V) with the plain prompt.
        labels_pre: (R, T).
        mask_pre: (R, T).
        logits_post: (R, T2, V) with the longer prompt.
        labels_post: (R, T2).
        mask_post: (R, T2).
        same_mask: (R,) True where the row's text has the target personality.
        record: (R,) the record of each row; None takes all rows as one.
        variant: As in `edit_success`.
        num_records: As in `edit_success`.

    Returns:
        The parts, each (E,).

    Raises:
        ValueError: If shapes do not fit, or there is no such variant.

    Example:
        >>> labels, answer, same = torch.ones(2, 3).long(), torch.tensor([[0, 1, 1]] * 2), torch.tensor([True, False])
        >>> longer_labels, longer_answer = torch.ones(2, 4).long(), torch.tensor([[0, 0, 1, 1]] * 2)
        >>> before, after = torch.zeros(2, 3, 4), torch.zeros(2, 4, 4)
        >>> edit_success_icl(before, labels, answer, after, longer_labels, longer_answer, same).z_topic
        tensor([1.])
    """
    logits_pre, labels_pre, mask_pre = shifted(variant, logits_pre, labels_pre, mask_pre)
    logits_post, labels_post, mask_post = shifted(variant, logits_post, labels_post, mask_post)
    return edit_success_from_log_probs(
        label_log_probs(logits_pre, labels_pre, mask_pre),
        label_log_probs(logits_post, labels_post, mask_post),
        mask_post,
        same_mask,
        record,
        mask_pre=mask_pre,
        num_records=num_records,
    )


class EditSuccess(RecordMeans):
    """Edit success and its parts, averaged over edited records; higher is better.

    `compute` gives `edit_success`, `z_per`, `z_topic`, `z_topic_raw`, `mean_logp_same_post`, `mean_logp_other_post`,
    `records` and `empty_records`. The figure of the unedited model is the same metric with `pre` in place of `post`.

    Args:
        variant: `next_token` or `as_released`.
        keep_records: Keep the values per record, for intervals.
        kwargs: Options of every torchmetrics metric.

    Raises:
        ValueError: If there is no such variant.

    Example:
        >>> metric = EditSuccess()
        >>> logits, labels = torch.zeros(3, 3, 4), torch.ones(3, 3, dtype=torch.long)
        >>> same, record = torch.tensor([True, False, True]), torch.tensor([0, 0, 1])
        >>> metric.update(logits, logits, torch.ones(3, 3), same, record, labels=labels)
        >>> {name: metric.compute()[name].item() for name in ("edit_success", "records", "empty_records")}
        {'edit_success': 0.5, 'records': 2, 'empty_records': 1}
    """

    higher_is_better = True

    def __init__(self, variant: Variant = "next_token", keep_records: bool = True, **kwargs: Any) -> None:
        super().__init__(("edit_success", *EditSuccessParts._fields[1:-1]), keep_records, **kwargs)
        if variant not in ("next_token", "as_released"):
            raise ValueError(f"`variant` expected 'next_token' or 'as_released' but got {variant!r}")
        self.variant = variant

    def update(
        self,
        pre: Tensor,
        post: Tensor,
        mask: Tensor,
        same_mask: Tensor,
        record: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        labels_pre: Tensor | None = None,
        mask_pre: Tensor | None = None,
        num_records: int | None = None,
    ) -> None:
        """Add whole records: logits with their labels, or log-probabilities of the labels without.

        Args:
            pre: (R, T, V) logits before the edit; without `labels` (R, T) log-probabilities, already lined up with
                `mask`, so that the variant plays no part.
            post: The same after the edit.
            mask: (R, T2) True on the answer's tokens, of `post`.
            same_mask: (R,) True where the row's text has the target personality.
            record: (R,) the record of each row; None takes all rows as one.
            labels: (R, T2) tokens of `post`.
            labels_pre: (R, T) tokens of `pre`, where the edited run sees another prompt.
            mask_pre: (R, T) mask of `pre`, likewise.
            num_records: E, needed only if some record may have no row.
        """
        if labels is None:
            parts = edit_success_from_log_probs(
                pre, post, mask, same_mask, record, mask_pre=mask_pre, num_records=num_records
            )
        else:
            labels_pre = labels if labels_pre is None else labels_pre
            mask_pre = mask if mask_pre is None else mask_pre
            parts = edit_success_icl(
                pre, labels_pre, mask_pre, post, labels, mask, same_mask, record, variant=self.variant,
                num_records=num_records,
            )  # fmt: skip
        values = torch.stack(parts[:-1], -1)
        self._add(values, ~parts.empty[:, None].expand_as(values), parts.empty)


def _mean_by_record(
    log_probs: Tensor, mask: Tensor, rows: Tensor, index: Tensor, num_records: int
) -> tuple[Tensor, Tensor]:
    """Mean of the masked tokens of the chosen rows of each record (E,), nan without any, and their number (E,)."""
    counted = mask.bool() & rows[:, None]
    # where, not a product: what lies outside the mask may be nan or infinite
    summed = sum_by_record(torch.where(counted, log_probs, 0.0).sum(-1), index, num_records)
    number = sum_by_record(counted.sum(-1), index, num_records)
    return summed / number, number
