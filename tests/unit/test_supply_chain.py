"""What an audit lets pass: licences and libraries that somebody looked at, advisories that somebody argued, in time."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.supply_chain import (
    Terms,
    Unasked,
    audited,
    carried_problems,
    licence_problems,
    read_terms,
    vulnerability_problems,
)

TODAY = date(2026, 5, 1)
WHY = "it is used by nobody but the tests of this"
TERMS = Terms.model_validate(
    {
        "licences": {"allowed": ["MIT"], "argued": {"tool": {"licence": "MPL-2.0", "why": WHY}}},
        "carried": [{"licence": "MIT", "libraries": ["libgood"]}],
        "vulnerabilities": {"CVE-1": {"package": "tool", "why": WHY, "until": "2026-05-01"}},
    }
)


def test_the_terms_of_the_project_can_be_read_and_argue_what_they_do_not_allow() -> None:
    assert list(carried_problems([], read_terms())) == []


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({"a": "MIT", "tool": "MPL-2.0"}, None),
        ({"a": "GPL-3.0", "tool": "MPL-2.0"}, "a: 'GPL-3.0' is not allowed; argue it or do without"),
        ({"a": "UNKNOWN", "tool": "MPL-2.0"}, "a: 'UNKNOWN' is not allowed; argue it or do without"),
        ({"tool": "AGPL-3.0"}, "tool: is now under 'AGPL-3.0', and was argued as 'MPL-2.0'"),
        ({"a": "MIT"}, None),
    ],
)
def test_a_licence_is_allowed_or_argued_for_this_package_as_it_is_now(found: dict[str, str], line: str | None) -> None:
    assert list(licence_problems(found, TERMS)) == ([line] if line else [])


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("libgood-7e5462ba.so.1.2.0", None),
        ("libgood.so.1", None),
        ("libgood-040039e1-0352e75f.so.5.0.0", None),
        ("libgood-r0-59ffcd50.3.15.so", "libgood-r0"),
        ("libbad-0c5118d0.so.7.2.0", "libbad"),
    ],
)
def test_a_library_is_known_by_its_name_before_the_hash(file: str, name: str | None) -> None:
    found = list(carried_problems([file], TERMS))
    assert found == ([f"{file}: a library that nobody has looked at; add {name} with its licence"] if name else [])


def test_a_carried_library_of_a_licence_that_is_not_allowed_needs_a_reason() -> None:
    gpl = {"licence": "GPL-2.0", "libraries": ["libbad"]}
    terms = Terms.model_validate({**TERMS.model_dump(), "carried": [gpl]})
    assert list(carried_problems([], terms)) == ["libbad: 'GPL-2.0' is not allowed; argue it or do without"]
    argued = Terms.model_validate({**TERMS.model_dump(), "carried": [{**gpl, "why": WHY}]})
    assert list(carried_problems(["libbad.so"], argued)) == []


def report(**found: object) -> Mapping[str, Any]:
    return {"dependencies": [{"name": "tool", "version": "1.0", **found}]}


ADVISORY = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1"]}


@pytest.mark.parametrize(
    ("found", "today", "problems"),
    [
        (report(vulns=[]), TODAY, []),
        (report(vulns=[ADVISORY]), TODAY, []),
        (report(vulns=[ADVISORY]), date(2026, 5, 2), ["tool 1.0: PYSEC-1 CVE-1, fixed in 1.1"]),
        (report(vulns=[ADVISORY | {"aliases": []}]), TODAY, ["tool 1.0: PYSEC-1, fixed in 1.1"]),
        (report(vulns=[ADVISORY], name="other"), TODAY, ["other 1.0: PYSEC-1 CVE-1, fixed in 1.1"]),
        (report(skip_reason="not on PyPI"), TODAY, ["tool: not audited (not on PyPI)"]),
    ],
    ids=["none", "argued", "argued for too long", "another", "another package", "not looked up"],
)
def test_an_advisory_passes_while_it_is_argued_and_what_was_not_looked_up_does_not(
    found: Mapping[str, Any], today: date, problems: list[str]
) -> None:
    assert list(vulnerability_problems(found, TERMS, today)) == problems


ANSWERS = {
    "a database that knows nothing": ('{"dependencies": [{"name": "jinja2", "version": "2", "vulns": []}]}', 0),
    "one that finds no package": ('{"dependencies": [{"name": "jinja2", "skip_reason": "not found"}]}', 0),
    "one that cannot be reached": ("", 2),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_nothing_has_passed_that_was_asked_of(kind: str, tmp_path: Path) -> None:
    text, code = ANSWERS[kind]
    tool = tmp_path / "pip-audit"
    tool.write_text(f"#!/bin/sh\necho '{text}'\necho 'no such host' >&2\nexit {code}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(Unasked) as refused:
        list(audited(tmp_path, tmp_path, TERMS, "pypi"))
    assert "nothing was audited" in str(refused.value) or "no such host" in str(refused.value)
