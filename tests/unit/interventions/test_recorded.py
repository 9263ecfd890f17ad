"""Recordings against the same activations taken by plain hooks, row by row and without padding."""

import pytest
import torch

from files.errors import InputError
from interventions.applied import Site, applied
from interventions.heads import head_sites
from interventions.places import places_of
from interventions.recorded import recorded
from interventions.reductions import AllTokens, FiringCounts, Histogram, LastToken, MeanOverTokens
from tests.models import ARCHITECTURES, random_model
from tests.unit.interventions.steered import batch, shift_heads, texts


def plainly(model, site, row):
    """Activations (T, W) of one unpadded row, by a hook of the test's own."""
    caught = []
    module = model.get_submodule(site.module)
    if site.kind == "input":
        handle = module.register_forward_pre_hook(lambda m, args: caught.append(args[0]))
    else:
        handle = module.register_forward_hook(lambda m, args, out: caught.append(out[0] if type(out) is tuple else out))
    with torch.no_grad():
        model(row.unsqueeze(0))
    handle.remove()
    return caught[0][0]


def record(model, sites, reduce, side="left", **options):
    with torch.no_grad(), recorded(model, sites, reduce, **options) as recording:
        model(**batch(texts(), side))
    return recording


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_reductions(arch, side):
    model = random_model(arch)
    found = places_of(model)
    sites = [found.heads(1), found.neurons(0, "gate"), found.neurons(1, "down"), found.block(0)]
    want = {site: [plainly(model, site, row) for row in texts()] for site in sites}
    close = {"rtol": 1e-4, "atol": 1e-5}
    everything = record(model, sites, "all", side)
    last, mean = record(model, sites, "last", side), record(model, sites, "mean", side)
    pooled = record(model, sites, MeanOverTokens(per_row=False), side)
    firing = record(model, sites, FiringCounts(0.0503), side)
    edges = torch.tensor([-torch.inf, -0.2013, 0.0107, 0.1511, torch.inf])
    histogram = record(model, sites, Histogram(edges), side)
    for site in sites:
        rows = want[site]
        joined = torch.cat(rows)
        for got, row in zip(everything[site], rows, strict=True):
            torch.testing.assert_close(got, row, **close)
        torch.testing.assert_close(last[site], torch.stack([row[-1] for row in rows]), **close)
        torch.testing.assert_close(mean[site], torch.stack([row.mean(0) for row in rows]), **close)
        torch.testing.assert_close(pooled[site], joined.mean(0), **close)
        assert firing[site].tokens == len(joined)
        assert torch.equal(firing[site].counts, (joined > 0.0503).sum(0))
        for number in range(4):
            inside = (joined > edges[number]) & (joined <= edges[number + 1])
            assert torch.equal(histogram[site][:, number].long(), inside.sum(0))


def test_rows_of_several_passes_follow_one_another():
    model = random_model()
    sites = head_sites(places_of(model))
    rows = texts()
    with torch.no_grad(), recorded(model, sites, LastToken("cpu", torch.float64)) as recording:
        for row in rows:
            model(row.unsqueeze(0))
    assert list(recording) == sites and recording[sites[0]].dtype == torch.float64
    torch.testing.assert_close(recording[sites[1]].float(), record(model, sites, "last")[sites[1]])


def test_a_mask_of_answers():
    model = random_model()
    site = places_of(model).block(1)
    mask = torch.zeros(3, 9, dtype=torch.bool)
    mask[0, 6:], mask[2, 5:7] = True, True
    with torch.no_grad(), recorded(model, [site], "mean") as recording:
        recording.count(mask)
        model(**batch(texts(), "left"))
    first, _, third = (plainly(model, site, row) for row in texts())
    got = recording[site]
    torch.testing.assert_close(got[0], first[6:].mean(0))
    torch.testing.assert_close(got[2], third[3:5].mean(0))
    assert got[1].isnan().all()
    with pytest.raises(ValueError, match=r"reads \(3, 9\) tokens"), recorded(model, [site], "mean") as recording:
        recording.count(mask[:, 1:])
        model(**batch(texts(), "left"))


@pytest.mark.parametrize("phase", ["all", "prompt", "generated"])
@pytest.mark.parametrize("use_cache", [True, False])
def test_generation_is_recorded_like_its_text_alone(use_cache, phase):
    model, rows = random_model(), texts()
    found = places_of(model)
    site = found.neurons(1, "down")
    options = {"max_new_tokens": 6, "do_sample": False, "use_cache": use_cache, "pad_token_id": 0}
    given = batch(rows, "left")
    model.generation_config.eos_token_id = None
    free = model.generate(given["input_ids"], attention_mask=given["attention_mask"], **options)[:, 9:]
    stop = int(free[0, 2])  # ends the first row after three tokens, the others where they happen to say it
    model.generation_config.eos_token_id = stop
    reductions = {"all": AllTokens(), "mean": MeanOverTokens(), "last": LastToken(), "firing": FiringCounts()}
    seen = {}
    for name, reduction in reductions.items():
        with torch.no_grad(), recorded(model, [site], reduction, phase=phase) as recording:
            output = model.generate(given["input_ids"], attention_mask=given["attention_mask"], **options)
        seen[name] = recording[site]
    total = 0
    for row, (prompt, new) in enumerate(zip(rows, output[:, 9:], strict=True)):
        ended = (new == stop).nonzero()
        read = new[: int(ended[0]) if len(ended) else 5]  # the token that ends a text, and the very last, are not read
        want = plainly(model, site, torch.cat([prompt, read]))
        want = {"all": want, "prompt": want[: len(prompt)], "generated": want[len(prompt) :]}[phase]
        torch.testing.assert_close(seen["all"][row], want, rtol=1e-4, atol=1e-5)
        if len(want):
            torch.testing.assert_close(seen["mean"][row], want.mean(0), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(seen["last"][row], want[-1], rtol=1e-4, atol=1e-5)
        total += len(want)
    assert seen["firing"].tokens == total


def test_edited_activations_are_seen_and_nothing_stays():
    model = random_model()
    found = places_of(model)
    shift = shift_heads(found)
    site = found.heads(0)
    before = record(model, [site], "last")[site]
    with applied(model, shift):
        after = record(model, [site], "last")[site]
    torch.testing.assert_close(after, before + shift.tables[0][:, 0])
    with pytest.raises(InputError, match="no such module"), recorded(model, [site, Site("model.nowhere")]):
        pass
    with pytest.raises(KeyboardInterrupt), recorded(model, [site]):
        raise KeyboardInterrupt
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_compiled_models_are_recorded():
    model = random_model()
    site = places_of(model).heads(0)
    want = record(model, [site], "last")[site]
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        compiled(**batch(texts(), "left"))
        with recorded(compiled, [site], "last") as recording:
            compiled(**batch(texts(), "left"))
    torch.testing.assert_close(recording[site], want)
    torch._dynamo.reset()


def test_wrong_wishes_are_refused():
    model = random_model()
    site = places_of(model).heads(0)
    with pytest.raises(InputError, match="last, mean"), recorded(model, [site], "median"):
        pass
    for edges in ([0.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="edges"), recorded(model, [site], Histogram(edges)):
            pass
    with pytest.raises(InputError, match="language models"), recorded(torch.nn.Linear(1, 1), []):
        pass
    with pytest.raises(KeyError), recorded(model, [site]) as recording:
        recording[places_of(model).heads(1)]


def test_nothing_was_recorded_yet():
    model = random_model()
    site = places_of(model).heads(0)
    for reduce in ("last", "mean"):
        with recorded(model, [site], reduce) as recording:
            assert recording[site].numel() == 0
