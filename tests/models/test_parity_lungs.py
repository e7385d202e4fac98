"""The lung net says the same in torch (from the weights we trained) and in ONNX Runtime (from what we ship)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models.conftest import MODELS

FOLDER = "lungs-airways-ct"


def a_batch() -> np.ndarray:
    """Three slices of HU: a body with two lungs off centre, noise over the whole range, and nothing but air."""
    generator = np.random.default_rng(7)
    y, x = np.mgrid[:192, :192]
    body = np.where(((y - 100) / 60) ** 2 + ((x - 80) / 75) ** 2 < 1, 40.0, -1000.0)
    for centre in (45, 115):
        body[((y - 100) / 40) ** 2 + ((x - centre) / 25) ** 2 < 1] = -850
    noise = generator.uniform(-2000, 4000, (192, 192))
    return np.stack([body + generator.normal(0, 15, body.shape), noise, np.full((192, 192), -1024.0)])[:, None]


def torch_logits(model_script, batch: np.ndarray) -> np.ndarray:
    import torch

    net = model_script(FOLDER, "export").load_net(MODELS / FOLDER / "weights.safetensors")
    with torch.no_grad():
        return net(torch.from_numpy(batch.astype(np.float32))).numpy()


@pytest.mark.export
def test_logits_agree(model_script, onnx_net) -> None:
    batch = a_batch()
    expected, found = torch_logits(model_script, batch), onnx_net(FOLDER, "model.onnx")(batch)
    assert found.shape == (3, 4, 192, 192)
    np.testing.assert_allclose(found, expected, atol=2e-3, rtol=0)
    differ = found.argmax(axis=1) != expected.argmax(axis=1)
    assert differ.mean() < 1e-4


def test_batch_axis_is_free_and_slices_do_not_influence_each_other(onnx_net) -> None:
    run, batch = onnx_net(FOLDER, "model.onnx"), a_batch()
    together = run(batch)
    alone = np.concatenate([run(batch[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-3, rtol=0)


def test_a_chest_like_slice_has_both_lungs_on_their_sides(onnx_net) -> None:
    """Guards against a net that agrees with its weights but learned nothing (columns run toward Left)."""
    labels = onnx_net(FOLDER, "model.onnx")(a_batch())[0].argmax(axis=0)
    assert (labels[:, 115] == 1).sum() > (labels[:, 115] == 2).sum()
    assert (labels[:, 45] == 2).sum() > (labels[:, 45] == 1).sum()


@pytest.mark.export
def test_export_again_gives_the_file_we_ship(model_script, onnx_net, tmp_path) -> None:
    import onnx

    export = model_script(FOLDER, "export")
    fresh = tmp_path / "model.onnx"
    export.export(export.load_net(MODELS / FOLDER / "weights.safetensors"), fresh)
    shipped = onnx.load(MODELS / FOLDER / "model.onnx")
    again = onnx.load(fresh)
    assert [o.version for o in shipped.opset_import] == [17]
    assert shipped.graph.SerializeToString() == again.graph.SerializeToString()
