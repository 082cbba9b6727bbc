"""Rules of the house that no linter knows: sizes, names, and that files which name one another agree."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from pipelines.cards import read_card
from pipelines.policies import read_policies
from workers.cli.main import cli
from workers.config import ENVIRONMENT_PREFIX, load_config
from workers.lanes import LANES

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
NOT_A_SUBJECT = {"utils", "common", "helpers", "base", "manager"}
FOLDERS = (".ci", "configs", "docker", "docs", "model_cards", "pipelines", "tests", "workers")
TEXT_SUFFIXES = {".html", ".json", ".md", ".py", ".sh", ".svg", ".toml", ".txt", ".yaml", ".yml"}
TEXT_NAMES = {"Dockerfile", "Makefile", "run"}
ONE_MACHINE = re.compile(r"(?<![\w./-])/(?:work|root|home|Users)/(?!\.cache/pip\b)")
"""A path that exists on one person's machine. The image builder's own package cache is none."""

READERS: dict[str, Callable[[Path], object]] = {"liverisk.yaml": load_config, "policies.yaml": read_policies}
"""Every file in configs/ and what reads it."""


class Service(BaseModel):
    """What the tests look at in a compose service."""

    model_config = ConfigDict(extra="ignore")

    image: str = ""
    command: list[str] = []
    environment: dict[str, str] = {}


class Compose(BaseModel):
    model_config = ConfigDict(extra="ignore")

    services: dict[str, Service]

    def ours(self) -> dict[str, Service]:
        return {name: service for name, service in self.services.items() if service.image.startswith("liverisk:")}


def modules() -> list[Path]:
    return sorted(path for package in ("pipelines", "workers") for path in (ROOT / package).rglob("*.py"))


def text_files() -> Iterator[Path]:
    paths = (*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*")))
    return (path for path in paths if path.is_file() and (path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES))


def compose() -> Compose:
    return Compose.model_validate(yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")))


def test_files_are_short_enough_to_hold_in_mind() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}

    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_functions_are_short_enough_to_hold_in_mind() -> None:
    too_long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": lines
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }

    assert too_long == {}


def test_modules_are_named_after_a_subject() -> None:
    named = {part for path in modules() for part in path.relative_to(ROOT).with_suffix("").parts}

    assert named & NOT_A_SUBJECT == set()


def test_no_file_names_a_path_of_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if ONE_MACHINE.search(line)
    ]

    assert found == []


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_configuration_file_loads(path: Path) -> None:
    assert path.name in READERS, "name its reader in READERS"
    READERS[path.name](path)


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in ROOT.glob("model_cards/*/README.md")), ids=lambda p: p.name
)
def test_every_model_card_loads(folder: Path) -> None:
    read_card(folder)


def test_every_checkpoint_folder_has_its_card() -> None:
    folders = [path for path in (ROOT / "model_cards").iterdir() if path.is_dir()]

    assert [path.name for path in folders if not (path / "README.md").is_file()] == []


def test_what_the_image_copies_exists_and_reaches_the_builder() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    allowed = (ROOT / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copies = [line.split()[1:-1] for line in dockerfile.splitlines() if re.match(r"COPY (?!--from)", line)]
    sources = {source for copy in copies for source in copy}

    assert sources
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    assert {source for source in sources if f"!{source}" not in allowed} == set()


def test_the_containers_run_commands_that_liverisk_takes() -> None:
    commands = {name: service.command for name, service in compose().ours().items()}

    assert set(commands) == {"engine", "worker", "bulk"}
    for name, *arguments in commands.values():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        command.make_context(name, arguments)  # parses, and runs nothing


def test_the_containers_have_settings_that_liverisk_knows() -> None:
    for service in compose().ours().values():
        assert all(key.startswith(ENVIRONMENT_PREFIX) for key in service.environment)
        load_config(environment=service.environment)


def test_the_containers_share_one_engine_that_no_worker_starts() -> None:
    services = compose().ours()
    engine, *workers = (load_config(environment=services[name].environment) for name in ("engine", "worker", "bulk"))

    assert {worker.engine.address for worker in workers} == {engine.engine.address}
    assert {worker.engine.start for worker in workers} == {"external"}


def test_the_containers_serve_every_lane_and_start_one_feeder() -> None:
    serve = {name: service.command[2] for name, service in compose().ours().items() if service.command[0] == "worker"}
    feeds = {name: load_config(environment=compose().ours()[name].environment).runs.start_feeder for name in serve}

    assert ",".join(serve.values()) == ",".join(LANES)
    assert feeds == {"worker": "external", "bulk": "worker"}
