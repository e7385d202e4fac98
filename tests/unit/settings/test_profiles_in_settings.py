"""Destination profiles in the configuration: built-in ones, a site's own, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from worker.domain.character_sets import StatedSet
from worker.domain.errors import ConfigurationError
from worker.domain.profile import BUILT_IN, OHIF, PLAIN, KeyImages, SegmentEncoding
from worker.settings import Settings, load

DESTINATION = '[[destinations]]\nname = "{name}"\nae_title = "PACS"\nhost = "192.0.2.1"\nport = 104\n'


def settings_of(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "overread.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ={})


def test_a_destination_gets_the_ohif_profile_unless_it_says_otherwise(tmp_path: Path) -> None:
    text = DESTINATION.format(name="a") + DESTINATION.format(name="b") + 'profile = "plain"\n'
    assert settings_of(tmp_path, text).profile_of == {"a": OHIF, "b": PLAIN}


@pytest.mark.parametrize("profile", BUILT_IN, ids=lambda profile: profile.name)
def test_every_built_in_profile_can_be_named(tmp_path: Path, profile: object) -> None:
    name = profile.name  # type: ignore[attr-defined]
    settings = settings_of(tmp_path, DESTINATION.format(name="a") + f'profile = "{name}"\n')
    assert settings.profile_of["a"] is profile
    assert name in settings.profile_names


def test_a_profile_of_the_site_changes_what_it_names_and_keeps_the_rest(tmp_path: Path) -> None:
    text = """
    [[profiles]]
    name = "reading-room"
    based_on = "plain"
    segmentation = "labelmap"
    key_images = "multi-frame"
    refusals = true
    colours = { "Left lung" = [1, 2, 3] }
    [[profiles]]
    name = "reading-room-2"
    based_on = "reading-room"
    character_set = "ISO_IR 100"
    """
    settings = settings_of(tmp_path, text)
    first, second = settings.profile("reading-room"), settings.profile("reading-room-2")
    assert first.segmentation is SegmentEncoding.LABELMAP
    assert first.key_images is KeyImages.MULTI_FRAME
    assert first.refusals
    assert first.colours == (("Left lung", (1, 2, 3)),)
    assert first.report is PLAIN.report
    assert first.key_object_selection is PLAIN.key_object_selection
    assert (second.name, second.character_set, second.colours) == ("reading-room-2", "ISO_IR 100", first.colours)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DESTINATION.format(name="a") + 'profile = "oh"\n', "known are ohif, slicer, weasis, plain"),
        ('[[profiles]]\nname = "ohif"\n', "built-in profile"),
        ('[[profiles]]\nname = "x"\n[[profiles]]\nname = "x"\n', "used twice"),
        ('[[profiles]]\nname = "x"\nbased_on = "later"\n[[profiles]]\nname = "later"\n', "based on 'later'"),
        ('[[profiles]]\nname = "x"\nsegmentation = "mesh"\n', "labelmap"),
        ('[[profiles]]\nname = "x"\ncharacter_set = "ISO 2022 IR 87"\n', "ISO_IR 192"),
        ('[[profiles]]\nname = "x"\nseries_prefix = "Research"\n', "AI and DRAFT"),
        ('[[profiles]]\nname = "x"\ncolours = { a = [0, 0, 300] }\n', "255"),
        ('[[profiles]]\nname = "x"\nkey_image = "none"\n', "key_images"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_could(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said.replace("(", r"\(")):
        settings_of(tmp_path, text)


def test_the_digest_of_results_changes_with_what_destinations_get(tmp_path: Path) -> None:
    plain = settings_of(tmp_path, DESTINATION.format(name="a"))
    other = settings_of(tmp_path, DESTINATION.format(name="a") + 'profile = "plain"\n')
    site = '[[profiles]]\nname = "x"\nheat_maps = {}\n' + DESTINATION.format(name="a") + 'profile = "x"\n'
    on = settings_of(tmp_path, site.format("true"))
    off = settings_of(tmp_path, site.format("false"))
    assert plain.result_digest == Settings().result_digest
    assert len({one.result_digest for one in (plain, other, on, off)}) == 4


def test_what_a_site_states_of_the_text_of_its_senders() -> None:
    entries = [
        {"character_set": "ISO_IR 100"},
        {"calling_ae_title": "CT_3", "character_set": "GB18030", "always": True},
        {"calling_ae_title": "MR_1", "character_set": "windows-1251"},
    ]
    settings = Settings.model_validate({"character_sets": entries})
    stated = settings.stated_sets
    assert stated.of("CT_3 ") == StatedSet("GB18030", always=True)
    assert stated.of("MR_1") == StatedSet("windows-1251")
    assert stated.of("ELSE") == stated.of("") == StatedSet("ISO_IR 100")
    assert settings.result_digest != Settings().result_digest
    assert Settings().stated_sets.of("CT_3") is None
    with pytest.raises(ValidationError, match="used twice"):
        Settings.model_validate({"character_sets": [entries[1], entries[1]]})
    with pytest.raises(ValidationError):
        Settings.model_validate({"character_sets": [{"character_set": "rot13"}]})
