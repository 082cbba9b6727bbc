"""A checkpoint's folder: which files it holds, their sha256, and the one digest that names them all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipelines.cards import Card
from pipelines.items import CheckpointRef
from pipelines.strict import Sha256

PHRASES = "phrases of the card"


class CheckpointError(Exception):
    """The checkpoint cannot be had or must not be used; one line with its id, the file and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A verified folder of weights. `digest` covers its files and the card's artefacts: a new head is a new digest."""

    card: Card
    folder: Path
    digest: Sha256

    def ref(self, session: str, encoder: Sha256 | None = None) -> CheckpointRef:
        """How records name this checkpoint when `session` runs it; `encoder` makes its embeddings, if it has any."""
        return CheckpointRef(id=self.card.id, digest=self.digest, session=session, encoder=encoder)


def sha256_of(path: Path) -> Sha256:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def relative(name: str) -> PurePosixPath:
    """`name` as a path below a folder; `CheckpointError` when it would lead out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name:
        raise CheckpointError(f"{name!r} is not a path below the folder")
    return path


def entries(folder: Path) -> Mapping[str, Path]:
    """Everything below the folder but directories, by POSIX name, sorted; symbolic links are listed, not followed."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return dict(sorted((path.relative_to(folder).as_posix(), path) for path in found))


def digest_of(card: Card, sums: Mapping[str, Sha256]) -> Sha256:
    """sha256 over the sorted lines `<sha256>  <name>` of the folder's files (`sums`) and the card's artefacts.

    A zero-shot card's phrases are its head: they count as an artefact.
    """
    lines = [f"{digest}  {name}\n" for name, digest in sums.items()]
    lines += [f"{sha256_of(card.folder / relative(name))}  {name}\n" for name in card.fields.artefacts]
    if phrases := [[name, *one.prompts, not one.policies] for name, one in card.fields.labels.items() if one.prompts]:
        content = json.dumps(phrases, ensure_ascii=False).encode()
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {PHRASES}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
