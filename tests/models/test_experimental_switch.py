"""Experimental packages: installed and shown, and routed to only where the site lists their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.models.conftest import MODELS
from worker.cli.main import build
from worker.domain.errors import ConfigurationError
from worker.inference.manifest.card import markdown
from worker.inference.packages.package import load_package
from worker.settings import Settings, load
from worker.wiring.packages import bound_rules, registry, table_of

PRODUCTS = {"brain-mr-t1", "lungs-airways-ct"}


def settings(*, experimental: tuple[str, ...] = (), enabled: tuple[str, ...] = (), rule: str = "") -> Settings:
    environ = {
        "OVERREAD_MODELS__EXPERIMENTAL": json.dumps(experimental),
        "OVERREAD_MODELS__ENABLED": json.dumps(enabled),
    }
    if rule:
        environ["OVERREAD_RULES"] = json.dumps([{"name": "one", "model": rule}])
    return load(environ=environ)


def routed(found: Settings) -> list[str]:
    return [bound.model.name for bound in bound_rules(found)]


def code_of(found: Settings) -> str:
    with pytest.raises(ConfigurationError) as caught:
        bound_rules(found)
    return caught.value.code


def test_a_default_installation_routes_to_products_only() -> None:
    packages = registry(settings()).packages
    experiments = {p.identity.name for p in packages if p.manifest.package.experimental}
    assert {p.identity.name for p in packages} == PRODUCTS | experiments
    assert "lungs-cr" in experiments
    assert set(routed(settings())) == PRODUCTS


def test_a_listed_experiment_runs_beside_the_products() -> None:
    assert set(routed(settings(experimental=("lungs-cr",)))) == {*PRODUCTS, "lungs-cr"}


def test_a_listed_experiment_runs_beside_the_enabled_models() -> None:
    assert routed(settings(experimental=("lungs-cr",), enabled=("brain-mr-t1",))) == ["brain-mr-t1", "lungs-cr"]
    assert routed(settings(experimental=("lungs-cr",), enabled=("lungs-cr",))) == ["lungs-cr"]


def test_neither_a_rule_nor_enabled_brings_an_experiment_in() -> None:
    assert code_of(settings(rule="lungs-cr")) == "model-experimental"
    assert code_of(settings(enabled=("lungs-cr",))) == "model-experimental"
    assert routed(settings(rule="lungs-cr", experimental=("lungs-cr",))) == ["lungs-cr"]


def test_an_experiment_that_is_not_installed_is_a_mistake_in_the_configuration() -> None:
    assert code_of(settings(experimental=("lungs-rc",))) == "model-missing"


def test_run_says_why_an_experiment_is_not_run() -> None:
    with pytest.raises(ConfigurationError) as caught:
        table_of(settings(), "lungs-cr")
    assert "models.experimental" in caught.value.next_step
    assert [one.model.name for one in table_of(settings(), "brain-mr-t1").rules] == ["brain-mr-t1"]


def test_list_and_card_show_what_is_experimental(tmp_path: Path) -> None:
    config = tmp_path / "overread.toml"
    config.write_text('[models]\nexperimental = ["lungs-cr"]\n', encoding="utf-8")
    answer = CliRunner().invoke(build(), ["models", "list", "--json", "--config", str(config)])
    assert answer.exit_code == 0, answer.output
    states = {one["title"]: (one["experimental"], one["offered"]) for one in json.loads(answer.stdout)["models"]}
    assert states["Lungs on frontal chest radiographs"] == (True, True)
    assert states["View of a chest radiograph"] == (True, False)
    assert states["Lungs and airways on chest CT"] == (False, True)
    package = load_package(MODELS / "lungs-cr")
    assert "## Experimental" in markdown(package.manifest, digest=package.identity.digest)
    product = load_package(MODELS / "lungs-airways-ct")
    assert "## Experimental" not in markdown(product.manifest, digest=product.identity.digest)


def test_weights_of_experiments_are_small() -> None:
    sizes = {
        package.identity.name: sum(one.whole_bytes for one in package.weights.values())
        for package in registry(settings()).packages
        if package.manifest.package.experimental
    }
    assert max(sizes.values()) < 5_000_000
