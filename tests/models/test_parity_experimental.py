"""The experimental nets say the same in torch (from their weights) and in ONNX Runtime (from what is shipped)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models.conftest import MODELS

NETS = {
    "lungs-cr": (1, 128, 128),
    "chest-view-cr": (1, 128, 128),
    "chest-tilt-cr": (1, 128, 128),
    "body-region-ct": (1, 96, 96),
    "nodules-chest-ct": (5, 64, 64),
}
HOUNSFIELD = ("body-region-ct", "nodules-chest-ct")


def a_batch(folder: str) -> np.ndarray:
    """Three smooth images: of normalised brightness, or in HU."""
    channels, rows, columns = NETS[folder]
    random = np.random.default_rng(11)
    coarse = random.normal(0, 1, (3, channels, rows // 8, columns // 8))
    if folder in HOUNSFIELD:
        coarse = coarse * 300 - 400
    return np.kron(coarse, np.ones((1, 1, 8, 8))).astype(np.float32)


@pytest.mark.export
@pytest.mark.parametrize("folder", NETS)
def test_answers_agree(model_script, onnx_net, folder: str) -> None:
    import torch

    batch = a_batch(folder)
    net = model_script(folder, "export").load_net(MODELS / folder / "weights.safetensors")
    with torch.no_grad():
        expected = net(torch.from_numpy(batch)).numpy()
    found = onnx_net(folder, "model.onnx")(batch)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("folder", NETS)
def test_images_of_a_batch_do_not_influence_each_other(onnx_net, folder: str) -> None:
    run, batch = onnx_net(folder, "model.onnx"), a_batch(folder)
    alone = np.concatenate([run(batch[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(run(batch), alone, atol=1e-3, rtol=1e-4)


@pytest.mark.export
@pytest.mark.parametrize("folder", NETS)
def test_export_again_gives_the_file_that_is_shipped(model_script, tmp_path, folder: str) -> None:
    import onnx

    export = model_script(folder, "export")
    export.export(export.load_net(MODELS / folder / "weights.safetensors"), tmp_path / "model.onnx")
    shipped, again = onnx.load(MODELS / folder / "model.onnx"), onnx.load(tmp_path / "model.onnx")
    assert [o.version for o in shipped.opset_import] == [17]
    assert shipped.graph.SerializeToString() == again.graph.SerializeToString()
