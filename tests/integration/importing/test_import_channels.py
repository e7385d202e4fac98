"""Several channels of nnU-Net: how each is named and normalised."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest

from worker.importing.nnunet.folder import TrainedModel
from worker.importing.nnunet.manifest import contract, input_names, modalities, steps

pytestmark = pytest.mark.export

KNOWN = {"mean": 40.0, "std": 80.0, "percentile_00_5": -200.0, "percentile_99_5": 300.0}


def a_model(*channels: str, schemes: tuple[str, ...], masked: tuple[bool, ...]) -> TrainedModel:
    kept = {"resampling_fn_data_kwargs": {"order": 3, "order_z": 0, "force_separate_z": None}}
    settings = SimpleNamespace(normalization_schemes=schemes, use_mask_for_norm=masked, configuration=kept)
    numbers = {str(channel): KNOWN for channel in range(len(channels))}
    plans = SimpleNamespace(foreground_intensity_properties_per_channel=numbers, plans={}, transpose_backward=(0, 1, 2))
    empty: dict[str, Any] = dict.fromkeys(one.name for one in fields(TrainedModel))
    stated = {"inputs": channels, "settings": settings, "plans": plans, "axes": "SPL", "spacing_mm": (2.0, 1.0, 1.0)}
    return TrainedModel(**(empty | stated | {"shown": ()}))


def test_what_is_normalised_over_its_own_foreground_comes_first() -> None:
    """A clipped and shifted CT is nowhere 0: after it nothing would be told from air."""
    model = a_model("CT", "T1", schemes=("CTNormalization", "ZScoreNormalization"), masked=(False, True))
    chain = [(one["step"], one.get("channel")) for one in steps(model)[2:-1]]
    assert chain == [("z_score", 1), ("clip", 0), ("scale_shift", 0)]


def test_sequences_of_one_scheme_are_normalised_in_one_step() -> None:
    model = a_model("T1", "T2", schemes=("ZScoreNormalization",) * 2, masked=(True, True))
    assert steps(model)[2:-1] == [{"step": "z_score", "over": "foreground", "each_channel": True}]


def test_series_of_different_modalities_need_no_further_condition() -> None:
    model = a_model("PET", "CT", schemes=("ZScoreNormalization", "CTNormalization"), masked=(False, False))
    inputs = contract(model, modalities(model))["inputs"]
    assert [one["modality"] for one in inputs] == ["PT", "CT"]
    assert not any("conditions" in one for one in inputs)
    assert modalities(model, "MR") == ("MR", "MR")
    assert modalities(model, "MR,CT") == ("MR", "CT")


def test_names_of_channels_become_names_of_inputs() -> None:
    assert input_names(["T1 (post)", "FLAIR", "0000", "flair"]) == ["t1-post", "flair", "channel-3", "channel-4"]
