import pytest
import torch

from vae_lightning.data import EvaluationLoader, Images, TrainingLoader


def numbered(n: int) -> Images:
    """Images whose pixels all are their own row number."""
    rows = torch.arange(n)
    return Images(rows.to(torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous(), rows % 10)


def loader(**options: int) -> TrainingLoader:
    return TrainingLoader(numbered(60), **{"batch_size": 20, "seed": 0} | options)


def rows_of(loader: TrainingLoader, epoch: int) -> list[int]:
    loader.sampler.set_epoch(epoch)
    return [row for batch in loader.batches() for row in batch.rows.tolist()]


def test_an_epoch_shows_every_image_once_in_whole_batches() -> None:
    batches = list(loader().batches())
    assert [len(batch.pixels) for batch in batches] == [20, 20, 20]
    assert sorted(row for batch in batches for row in batch.rows.tolist()) == list(range(60))
    assert torch.equal(batches[0].pixels[:, 0, 0, 0] * 255, batches[0].rows.float())
    assert torch.equal(batches[0].labels, batches[0].rows % 10)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert rows_of(loader(), 3) == rows_of(loader(), 3)
    used = loader()
    rows_of(used, 0)
    assert rows_of(used, 3) == rows_of(loader(), 3)  # not of what was read before
    assert rows_of(loader(), 0) != rows_of(loader(), 1)
    assert rows_of(loader(), 0) != rows_of(loader(seed=1), 0)
    assert rows_of(loader(), 0) != list(range(60))


def test_ranks_share_each_global_batch() -> None:
    whole = [batch.rows.tolist() for batch in loader().batches()]
    parts = zip(loader(rank=0, world_size=2).batches(), loader(rank=1, world_size=2).batches(), strict=True)
    assert [first.rows.tolist() + second.rows.tolist() for first, second in parts] == whole


def test_chunks_hold_ten_batches_and_the_last_one_the_rest() -> None:
    chunked = loader(batch_size=5)
    assert [len(list(chunk)) for chunk in chunked] == [10, 2]
    assert (len(chunked), chunked.n_batches) == (2, 12)


@pytest.mark.parametrize("taken", [1, 9, 10, 11, 12])
def test_it_goes_on_at_the_very_batch_inside_a_chunk_too(taken: int) -> None:
    first = loader(batch_size=5)
    first.sampler.set_epoch(2)
    iterator = first.batches()
    seen = [next(iterator).rows.tolist() for _ in range(taken)]
    in_hand = first.state_dict()
    rest = next(iterator, None)
    after = first.state_dict()
    assert (in_hand["next_batch"], after["next_batch"]) == (taken - 1, taken)
    second = loader(batch_size=5)
    second.load_state_dict(after)
    second.sampler.set_epoch(2)
    continued = [batch.rows.tolist() for batch in second.batches()]
    assert continued[:1] == ([rest.rows.tolist()] if rest else [])
    assert [row for rows in seen + continued for row in rows] == rows_of(loader(batch_size=5), 2)


def test_a_position_in_an_epoch_that_was_cut_short_does_not_shorten_the_next() -> None:
    resumed = loader()
    resumed.load_state_dict({"epoch": 0, "next_batch": 2})
    assert rows_of(resumed, 1) == rows_of(loader(), 1)


def test_dynamic_binarisation_is_fresh_each_epoch_fair_and_shared_by_ranks() -> None:
    grey = Images(torch.full((200, 1, 10, 10), 51, dtype=torch.uint8), torch.zeros(200, dtype=torch.long))

    def pixels(epoch: int, rank: int = 0, world_size: int = 1) -> torch.Tensor:
        loader = TrainingLoader(
            grey, batch_size=100, seed=0, dynamic_binarization=True, rank=rank, world_size=world_size
        )
        loader.sampler.set_epoch(epoch)
        return torch.stack([batch.pixels for batch in loader.batches()])

    assert set(pixels(0).unique().tolist()) == {0.0, 1.0}
    standard_error = (0.2 * 0.8 / 20_000) ** 0.5
    assert abs(float(pixels(0).mean()) - 0.2) < 4 * standard_error
    assert torch.equal(pixels(0), pixels(0))
    assert not torch.equal(pixels(0), pixels(1))
    assert torch.equal(torch.cat([pixels(0, 0, 2), pixels(0, 1, 2)], dim=1), pixels(0))


def test_evaluation_counts_every_image_once_over_batches_and_ranks() -> None:
    rows = [
        row
        for rank in range(3)
        for batch in EvaluationLoader(numbered(50), batch_size=7, rank=rank, world_size=3)
        for row in batch.rows.tolist()
    ]
    assert rows == list(range(50))
