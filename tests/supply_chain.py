"""`make audit`: what the environment consists of, under which licences, and what is known to be wrong with it.

Writes a licence report, the vulnerabilities and an SBOM (CycloneDX), and fails for a licence or library that
`.ci/supply-chain.yaml` does not let pass, for an advisory that it does not argue, and where the advisories could not be
asked: what was not audited has not passed. The tools are pip-licenses, pip-audit and cyclonedx-py, in an environment of
their own, so that they are no part of what they report.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import Field
from rich.console import Console

from pipelines.strict import Strict

ROOT = Path(__file__).resolve().parent.parent
TERMS_FILE = ROOT / ".ci" / "supply-chain.yaml"
KNOWN_BAD = "jinja2==2.11.2"
"""Has advisories since 2021 (CVE-2020-28493); a database that does not know them has not been asked."""
OURS = "liverisk"
_LIBRARY = re.compile(r"(?P<name>lib[^/]+?)(?:-[0-9a-f]{8}(?:\.\d+)*)*\.so(?:\.[\d.a-z]+)?")


class Argued(Strict):
    licence: str
    why: str = Field(min_length=20)


class Carried(Strict):
    licence: str
    libraries: tuple[str, ...]
    why: str = ""


class Vulnerability(Strict):
    package: str
    why: str = Field(min_length=20)
    until: date


class Licences(Strict):
    allowed: tuple[str, ...]
    argued: dict[str, Argued]


class Terms(Strict):
    licences: Licences
    carried: tuple[Carried, ...]
    vulnerabilities: dict[str, Vulnerability]


def read_terms(path: Path = TERMS_FILE) -> Terms:
    return Terms.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def licence_problems(found: Mapping[str, str], terms: Terms) -> Iterator[str]:
    """`found`: package -> its licence. What is neither allowed nor argued as it is now."""
    for name, licence in sorted(found.items()):
        argued = terms.licences.argued.get(name)
        if argued is not None and argued.licence != licence:
            yield f"{name}: is now under {licence!r}, and was argued as {argued.licence!r}"
        elif argued is None and licence not in terms.licences.allowed:
            yield f"{name}: {licence!r} is not allowed; argue it or do without"


def carried_problems(libraries: Iterable[str], terms: Terms) -> Iterator[str]:
    """`libraries`: file names out of wheels' *.libs folders."""
    known = {library: one for one in terms.carried for library in one.libraries}
    for file in sorted(set(libraries)):
        matched = _LIBRARY.fullmatch(file)
        name = matched["name"] if matched else file
        if name not in known:
            yield f"{file}: a library that nobody has looked at; add {name} with its licence"
    for one in terms.carried:
        if one.licence not in terms.licences.allowed and len(one.why) < 20:
            yield f"{', '.join(one.libraries)}: {one.licence!r} is not allowed; argue it or do without"


def vulnerability_problems(report: Mapping[str, Any], terms: Terms, today: date) -> Iterator[str]:
    """`report`: pip-audit's JSON. What it could not look up has not been audited."""
    for one in report["dependencies"]:
        if "skip_reason" in one:
            yield f"{one['name']}: not audited ({one['skip_reason']})"
        for found in one.get("vulns", ()):
            names = (found["id"], *found.get("aliases", ()))
            argued = next((terms.vulnerabilities[name] for name in names if name in terms.vulnerabilities), None)
            if argued is None or argued.package != one["name"] or argued.until < today:
                fixed = ", ".join(found.get("fix_versions", ())) or "no version yet"
                yield f"{one['name']} {one['version']}: {' '.join(names)}, fixed in {fixed}"


def pinned() -> list[str]:
    """Everything installed but ourselves, as advisories know it: without what marks a local build (`+cpu`)."""
    found = {one.metadata["Name"]: one.version.partition("+")[0] for one in distributions()}
    return sorted(f"{name}=={version}" for name, version in found.items() if name != OURS)


def libraries() -> list[str]:
    """File names of the libraries that wheels brought along."""
    return [path.name for path in Path(sysconfig.get_path("purelib")).glob("*.libs/*")]


class Unasked(Exception):
    """A tool did not do its work; one line."""


def ask(tool: Path, *arguments: str, ok: Sequence[int] = (0,), environment: Mapping[str, str] | None = None) -> str:
    """What the tool prints. Raises `Unasked`."""
    try:
        done = subprocess.run(
            [str(tool), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        raise Unasked(f"{tool}: {type(error).__name__}; `make audit` installs it") from None
    if done.returncode not in ok:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise Unasked(f"{tool.name} ended with {done.returncode}: {last[:300]}")
    return done.stdout


def licences_of(tools: Path) -> dict[str, str]:
    report = ask(tools / "pip-licenses", f"--python={sys.executable}", "--format=json", "--with-system")
    return {one["Name"]: one["License"] for one in json.loads(report) if one["Name"] != OURS}


def advisories(tools: Path, packages: Sequence[str], folder: Path, service: str) -> dict[str, Any]:
    """pip-audit's report on exactly these packages. Raises `Unasked` where the database cannot be reached."""
    asked = folder / "asked.txt"
    asked.write_text("\n".join(packages) + "\n", encoding="utf-8")
    options = (
        "--no-deps",
        "--disable-pip",
        "--progress-spinner=off",
        "--format=json",
        f"--vulnerability-service={service}",
    )
    report = json.loads(ask(tools / "pip-audit", f"--requirement={asked}", *options, ok=(0, 1)))
    asked.unlink()
    assert isinstance(report, dict)
    return report


def audited(tools: Path, folder: Path, terms: Terms, service: str) -> Iterator[str]:
    control = advisories(tools, [KNOWN_BAD], folder, service)
    if not any(one.get("vulns") for one in control["dependencies"]):
        why = next((one["skip_reason"] for one in control["dependencies"] if "skip_reason" in one), "it knows of none")
        raise Unasked(f"vulnerabilities: {service} did not tell of those in {KNOWN_BAD} ({why}); nothing was audited")
    report = advisories(tools, pinned(), folder, service)
    (folder / "vulnerabilities.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    yield from vulnerability_problems(report, terms, date.today())  # noqa: DTZ011  # a day more or less


def bill_of_materials(tools: Path, folder: Path) -> int:
    """Writes the SBOM, which cyclonedx-py checks against its schema; how many components it names."""
    path = folder / "sbom.cdx.json"
    options = ("--output-reproducible", f"--pyproject={ROOT / 'pyproject.toml'}", "--output-format=JSON")
    ask(tools / "cyclonedx-py", "environment", *options, f"--output-file={path}", sys.executable)
    return len(json.loads(path.read_text(encoding="utf-8"))["components"])


@click.command()
@click.option(
    "--tools", type=click.Path(path_type=Path), required=True, help="The bin folder of the tools' environment."
)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/supply-chain"), show_default=True)
@click.option("--service", type=click.Choice(["pypi", "osv"]), default="pypi", show_default=True, help="Of advisories.")
def main(tools: Path, folder: Path, service: str) -> None:
    """Audit this interpreter's environment."""
    console, terms, problems = Console(highlight=False, soft_wrap=True), read_terms(), list[str]()
    folder.mkdir(parents=True, exist_ok=True)

    def told(what: str, found: Iterable[str]) -> None:
        here = list(found)
        console.print(f"{what}: {'clean' if not here else f'{len(here)} to look at'}", markup=False)
        for line in here:
            console.print(f"  {line}", markup=False)
        problems.extend(here)

    try:
        licences = licences_of(tools)
        (folder / "licences.json").write_text(json.dumps(licences, indent=1, sort_keys=True), encoding="utf-8")
        told(f"licences of {len(licences)} packages", licence_problems(licences, terms))
        carried = libraries()
        told(f"licences of {len(carried)} libraries in wheels", carried_problems(carried, terms))
        console.print(
            f"sbom: {bill_of_materials(tools, folder)} components in {folder / 'sbom.cdx.json'}", markup=False
        )
        told(f"vulnerabilities of {len(pinned())} packages", audited(tools, folder, terms, service))
    except Unasked as error:
        problems.append(str(error))
        console.print(str(error), markup=False)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
