from __future__ import annotations

from pathlib import Path

import pytest

from worker.domain.errors import ConfigurationError
from worker.domain.routing import Between, FurtherInput, OneOf, Preference, Rule
from worker.settings import load


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "overread.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_has_a_working_default() -> None:
    settings = load(environ={})
    assert settings.node.ae_title == "OVERREAD"
    assert settings.listener.bind == "127.0.0.1"
    assert settings.database_url.startswith("sqlite:///")


def test_environment_lies_on_top_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[listener]\nport = 104\n[node]\nae_title = "FILE"\n')
    environ = {
        "OVERREAD_LISTENER__PORT": "11113",
        "OVERREAD_DESTINATIONS": '[{"name": "PACS", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}]',
        "HOME": "/root",
    }
    settings = load(path, environ=environ)
    assert settings.listener.port == 11113
    assert settings.node.ae_title == "FILE"
    assert settings.destinations[0].to_domain().ae_title == "PACS"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[listner]\nport = 1\n", "unknown key 'listner', did you mean 'listener'?"),
        ("[listener]\nprot = 1\n", "unknown key 'listener.prot', did you mean 'port'?"),
        ("[work]\nxyz = 1\n", "known here: concurrency, deadline_s"),
        ("[listener]\nport = 99999\n", "listener.port: Input should be less than or equal to 65535 (found 99999)"),
        ('[node]\nae_title = "SEVENTEEN LETTERS"\n', "node.ae_title"),
        ('[node]\nae_title = "A\\\\B"\n', "node.ae_title"),
        ('[listener]\nbind = "localhost"\n', "listener.bind"),
        ('[[rules]]\nname = "a"\nmodel = "m"\ndestinations = ["X"]\n', "names the destination 'X', which is not"),
        ('[[rules]]\nname = "a"\nmodel = "m"\n[[rules]]\nname = "a"\nmodel = "m"\n', "'a' is used twice"),
        (
            '[[rules]]\nname = "a"\nmodel = "m"\nconditions = [{attribute = "Modality", one_off = ["CT"]}]\n',
            "unknown key 'rules.0.conditions.0.one_off', did you mean 'one_of'?",
        ),
        (
            '[[rules]]\nname = "a"\nmodel = "m"\nconditions = [{attribute = "Modality"}]\n',
            "expected exactly one of one_of",
        ),
        (
            '[[rules]]\nname = "a"\nmodel = "m"\nconditions = [{attribute = "Modality", matches = "("}]\n',
            "not a regular expression",
        ),
        ("[listener\n", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write(tmp_path, text), environ={})
    assert said in str(caught.value)


def test_an_unknown_variable_is_refused_too() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'port'"):
        load(environ={"OVERREAD_LISTENER__PROT": "1"})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no configuration file .*nothing\.toml"):
        load(tmp_path / "nothing.toml", environ={})


def test_a_secret_is_not_repeated_in_messages_nor_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(environ={"OVERREAD_DATABASE__URL": "[1, 2, 31415]"})
    assert "31415" not in str(caught.value)
    settings = load(environ={"OVERREAD_DATABASE__URL": "postgresql+psycopg://u:tellnobody@h/d"})
    assert "tellnobody" not in repr(settings)
    assert "tellnobody" in settings.database_url


def test_a_site_rule_narrows_the_contract_of_its_model(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [[destinations]]
        name = "PACS"
        ae_title = "PACS"
        host = "127.0.0.1"
        port = 104

        [[rules]]
        name = "thin"
        model = "lungs"
        conditions = [{attribute = "slice_thickness_mm", maximum = 2}]
        preferences = [{attribute = "ConvolutionKernel", one_of = ["B30f"], weight = 3}]
        """,
    )
    settings = load(path, environ={})
    contract = Rule("lungs", "lungs", (OneOf("Modality", ("CT",)),))
    rule = settings.site_rule(settings.rules[0], contract)
    assert rule.conditions == (OneOf("Modality", ("CT",)), Between("slice_thickness_mm", None, 2.0))
    assert rule.preferences == (Preference(OneOf("ConvolutionKernel", ("B30f",)), 3.0),)
    assert rule.destinations == ("PACS",)


def test_a_site_rule_keeps_the_further_inputs_of_its_model_and_runs_once_per_study(tmp_path: Path) -> None:
    further = (FurtherInput("pet", (OneOf("Modality", ("PT",)),)),)
    contract = Rule("fusion", "fusion", (OneOf("Modality", ("CT",)),), input="ct", further=further)
    text = '[[rules]]\nname = "site"\nmodel = "fusion"\nconditions = [{attribute = "KVP", minimum = 90}]\n'
    settings = load(write(tmp_path, text), environ={})
    rule = settings.site_rule(settings.rules[0], contract)
    assert (rule.input, rule.further) == ("ct", further)
    assert rule.conditions == (*contract.conditions, Between("KVP", 90.0, None))
    settings = load(write(tmp_path, text + "per_study = 2\n"), environ={})
    with pytest.raises(ConfigurationError) as caught:
        settings.site_rule(settings.rules[0], contract)
    assert caught.value.code == "rule-per-study"


def test_the_digest_changes_with_what_changes_results_only() -> None:
    base = load(environ={}).result_digest
    assert load(environ={"OVERREAD_LISTENER__PORT": "104"}).result_digest == base
    assert load(environ={"OVERREAD_RESULTS__SERIES_NUMBER": "7000"}).result_digest != base


def test_a_password_of_digits_is_a_password() -> None:
    settings = load(environ={"OVERREAD_FLOWER__PASSWORD": "31415", "OVERREAD_FLOWER__ENABLED": "false"})
    assert settings.flower.password.get_secret_value() == "31415"
    assert settings.flower.enabled is False


def test_a_moved_threshold_changes_results(tmp_path: Path) -> None:
    moved = load(write(tmp_path, "[models.thresholds]\nnodules-chest-ct = { nodule = 0.7 }"), environ={})
    assert moved.models.thresholds == {"nodules-chest-ct": {"nodule": 0.7}}
    assert moved.result_digest != load(None, environ={}).result_digest
