"""The jobs that fit at once, as tables."""

import pytest

from vae_lightning.errors import Code, UserError
from vae_lightning.sweeps import slots as module
from vae_lightning.sweeps.slots import environment, slots_of_this_machine


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "n_cores", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("n_slots", "threads", "expected"),
    [(None, None, (8, 1)), (2, None, (2, 4)), (None, 4, (2, 4)), (3, None, (3, 2)), (3, 1, (3, 1)), (8, 1, (8, 1))],
)
def test_slots_and_threads_share_the_cores(n_slots: int | None, threads: int | None, expected: tuple[int, int]) -> None:
    slots = slots_of_this_machine("cpu", None, 1, n_slots, threads)
    assert (len(slots.all), slots.threads) == expected
    assert environment(slots.all) == {}


@pytest.mark.parametrize(("n_slots", "threads"), [(9, None), (4, 3), (None, 9)])
def test_more_threads_than_cores_are_refused(n_slots: int | None, threads: int | None) -> None:
    with pytest.raises(UserError) as refused:
        slots_of_this_machine("cpu", None, 1, n_slots, threads)
    assert refused.value.about == ("hydra.launcher.n_slots", "hydra.launcher.threads")


@pytest.mark.parametrize(
    ("variable", "n_slots", "threads", "expected"),
    [
        ("4", None, None, (2, 4)),
        ("3", None, None, (2, 3)),
        ("4", 8, None, (8, 1)),  # never more threads than cores
        ("1", 2, None, (2, 1)),
        ("16", None, None, (1, 8)),
        ("4", None, 2, (4, 2)),  # what is typed decides
        ("4,2", None, None, (2, 4)),
        ("", None, None, (8, 1)),
        ("0", None, None, (8, 1)),
        ("many", None, None, (8, 1)),
    ],
)
def test_the_threads_of_the_environment_count(
    variable: str, n_slots: int | None, threads: int | None, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    slots = slots_of_this_machine("cpu", None, 1, n_slots, threads)
    assert (len(slots.all), slots.threads) == expected
    gpus = slots_of_this_machine("cuda", [0, 1], 1, None, None)
    assert gpus.threads == min(4, expected[1] if variable in {"3", "1"} else 4)


def test_gpus_have_slots_each_and_a_job_sees_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = slots_of_this_machine("cuda", [3, "GPU-7"], 2, None, None)
    taken = [slots.take(1) for _ in range(4)]
    assert [environment(found or ()) for found in taken] == [
        {"CUDA_VISIBLE_DEVICES": name} for name in ("3", "GPU-7", "3", "GPU-7")
    ]
    assert slots.take(1) is None
    slots.give_back(taken[2] or ())
    assert environment(slots.take(1) or ()) == {"CUDA_VISIBLE_DEVICES": "3"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 6")
    assert {slot.gpu for slot in slots_of_this_machine("cuda", None, 1, None, None).all} == {"5", "6"}
    assert len(slots_of_this_machine("cuda", None, 3, 4, None).all) == 4


def test_a_job_of_several_devices_takes_as_many_different_ones() -> None:
    slots = slots_of_this_machine("cuda", [0, 1, 2], 2, None, None)
    two = slots.take(2)
    assert environment(two or ()) == {"CUDA_VISIBLE_DEVICES": "0,1"}
    every = slots.take(None)
    assert environment(every or ()) == {"CUDA_VISIBLE_DEVICES": "0,1,2"}
    assert slots.take(2) is None  # one slot is left, on the third
    assert environment(slots.take(1) or ()) == {"CUDA_VISIBLE_DEVICES": "2"}
    on_cpu = slots_of_this_machine("cpu", None, 1, 4, None)
    assert len(on_cpu.take(3) or ()) == 3
    assert on_cpu.take(2) is None


def test_what_can_never_fit_is_refused() -> None:
    with pytest.raises(UserError) as too_many:
        slots_of_this_machine("cuda", [0, 1], 4, None, None).take(3)
    assert too_many.value.about == ("trainer.devices",)
    with pytest.raises(UserError) as twice:
        slots_of_this_machine("cuda", [0, 0], 1, None, None)
    assert twice.value.about == ("hydra.launcher.gpus",)
    with pytest.raises(UserError) as more:
        slots_of_this_machine("cuda", [0, 1], 1, 3, None)
    assert more.value.about == ("hydra.launcher.n_slots", "hydra.launcher.jobs_per_gpu")


def test_threads_are_for_jobs_on_gpus_too() -> None:
    assert slots_of_this_machine("cuda", [0, 1, 2, 3], 1, None, 2).threads == 2
    with pytest.raises(UserError) as refused:
        slots_of_this_machine("cuda", [0, 1, 2, 3], 1, None, 3)
    assert refused.value.code is Code.UNAVAILABLE
    assert slots_of_this_machine("cuda", list(range(16)), 1, None, None).threads == 1  # as the machine is


def test_slots_come_back_in_order() -> None:
    slots = slots_of_this_machine("cpu", None, 1, 3, None)
    first, second = slots.take(1), slots.take(1)
    slots.give_back(second or ())
    slots.give_back(first or ())
    assert [slot.number for slot in slots.free] == [0, 1, 2]
