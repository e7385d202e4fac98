"""Train the lung and airway network from pinned public data. About 20 minutes on two idle CPU cores.

    python models/lungs-airways-ct/train.py --cache ~/.cache/overread/samples

Data (see README.md): LIDC-IDRI-0001 and an abdomen CT with TotalSegmentator labels, one head CT without
any of our structures, and synthetic slices. The seed fixes every random choice; another CPU may still
round differently, so retrained weights agree in accuracy, not in every bit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import training
from augment import SliceSampler, Source, mark_outside
from ct.samples import Case, abdomen_case, chest_case, empty_case
from net import LungNet
from training import Schedule, dice_loss, optimise

HERE = Path(__file__).resolve().parent
SEED = 20260201
BATCH = 12


@dataclass(frozen=True)
class Phase:
    """One run of the optimiser; the second starts from the averaged weights of the first."""

    seed: int
    steps: int
    peak_rate: float
    mass_probability: float


PHASES = (
    Phase(seed=SEED, steps=1000, peak_rate=4e-3, mass_probability=0.0),
    # Anatomy first, then tumours: masses from the beginning blur what a lung is.
    Phase(seed=SEED + 1, steps=350, peak_rate=1.5e-3, mass_probability=0.5),
)
SYNTHETIC_WEIGHT = 0.08
CLASS_WEIGHTS = (1.0, 1.0, 1.0, 6.0)
"""The trachea has one voxel for 150 of the lungs: unweighted, the network never begins to learn it."""


def sources(cache: Path) -> list[Source]:
    """Training cases with their share of the batches."""
    return [
        _source(chest_case(cache), weight=0.62, scale=(0.75, 1.3)),
        _source(abdomen_case(cache), weight=0.15, scale=(0.75, 1.3)),
        _source(empty_case("head-ct-4mm", cache), weight=0.15, scale=(0.8, 1.8)),
    ]


def _source(case: Case, weight: float, scale: tuple[float, float]) -> Source:
    assert case.labels is not None
    slice_mm, row_mm, column_mm = case.grid.spacing_mm
    return Source(
        hu=torch.from_numpy(case.grid.values),
        labels=torch.from_numpy(mark_outside(case.grid.values, case.labels)),
        row_mm=row_mm,
        column_mm=column_mm,
        slice_mm=slice_mm,
        weight=weight,
        scale=scale,
    )


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice of the structures over the whole batch."""
    cross_entropy = functional.cross_entropy(logits, labels, weight=torch.tensor(CLASS_WEIGHTS))
    return cross_entropy + dice_loss(logits, labels)


def train(net: LungNet, data: Sequence[Source], phase: Phase, batch: int = BATCH) -> LungNet:
    """Optimise ``net`` in one phase; returns the average of its weights."""
    sampler = SliceSampler(data, SYNTHETIC_WEIGHT, phase.seed, phase.mass_probability)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        images, labels = sampler.draw(count)
        return images.contiguous(memory_format=torch.channels_last), labels

    schedule = Schedule(phase.steps, batch, phase.peak_rate, average_decay=0.99)
    # Channels last: convolutions of few channels are faster on processors.
    trained = optimise(net.to(memory_format=torch.channels_last), draw, loss, schedule)
    return trained.to(memory_format=torch.contiguous_format)


def new_net() -> LungNet:
    """Fresh weights, the same on every call."""
    torch.manual_seed(SEED)
    return LungNet()


def main() -> None:
    parser = training.parser_of(HERE, __doc__)
    parser.add_argument("--resume", type=Path, help="weights that some phases have made already")
    parser.add_argument("--done", type=int, default=0, help="how many phases have made them")
    arguments = training.parse(parser)
    data, net = sources(arguments.cache), new_net()
    if arguments.resume is not None:
        net.load_state_dict(load_file(arguments.resume))
    for count, phase in list(enumerate(PHASES, start=1))[arguments.done :]:
        print(phase, flush=True)
        net = train(net, data, phase)
        recipe = {"phases": [asdict(one) for one in PHASES[:count]], "batch": BATCH}
        training.save(net, arguments.out, recipe)


if __name__ == "__main__":
    main()
