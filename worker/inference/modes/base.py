"""What modes share: putting an image into a net and taking its answer back to the same grid."""

from __future__ import annotations

from worker.domain.errors import ConfigurationError
from worker.inference.nets import Net, RunNet
from worker.inference.steps.image import Float, Image, Scores


def whole(image: Image, net: Net, run: RunNet) -> Scores:
    """Run a net on the whole volume at once: (1, channel, a, b, c) in, (1, channel, a, b, c) out."""
    answer = run(net, image.values[None])
    check_grid(net, answer[0], image)
    return Scores(answer[0], image.geometry)


def check_grid(net: Net, values: Float, image: Image) -> None:
    """Raise ConfigurationError unless the answer (channel, a, b, c) lies on the grid of what went in."""
    if values.shape[1:] != image.values.shape[1:]:
        raise ConfigurationError(
            f'Output "{net.output.name}" has the grid {values.shape[1:]}, but its input had {image.values.shape[1:]}.',
            next_step="This mode needs a net whose output lies on the grid of its input; export it so.",
            code="net-grid-mismatch",
        )
