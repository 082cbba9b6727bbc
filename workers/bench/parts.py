"""One run of the benchmark: its parts in order, on one corpus, in a place of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from workers.bench.bare import Bare
from workers.bench.celery_worker import PlainCelery
from workers.bench.compare import compare
from workers.bench.contender import Contender, ContenderFailed
from workers.bench.corpus import Corpus, write_corpus
from workers.bench.growth import grow
from workers.bench.order import Name, Order
from workers.bench.pool import Pool
from workers.bench.ray_serve import RayServe, has_ray
from workers.bench.report import WHOLE, Growth, Machine, Measured, Report, Savings, Stage
from workers.bench.savings import compare_savings
from workers.config import Config

HELP_RUNS = 5
Tell = Callable[[str], None]


def run(order: Order, config: Config, tell: Tell) -> Report:
    """Everything that was asked for. Raises `ContenderFailed`, and what starting a pool raises."""
    shapes = tuple(dict.fromkeys((*order.shapes, *([order.growth_shape] if "growth" in order.parts else []))))
    with place() as directory:
        tell(f"generating {order.distinct} segments each of {', '.join(shapes)}")
        corpus = write_corpus(directory / "corpus", order.distinct, order.seed, shapes)
        parts = _Parts(order, config, corpus, directory, tell)
        return Report(
            made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            machine=Machine.this(),
            command=order.command,
            seed=order.seed,
            help_s=parts.help_s(),
            measured=parts.measured(),
            stages=parts.stages(),
            savings=parts.savings(),
            growth=parts.growth(),
        )


@contextmanager
def place() -> Iterator[Path]:
    """A directory for corpus and state. Its path is short, as those of sockets must be."""
    with tempfile.TemporaryDirectory(prefix="liverisk-bench-") as directory:
        yield Path(directory)


@dataclass(frozen=True)
class _Parts:
    order: Order
    config: Config
    corpus: Corpus
    directory: Path
    tell: Tell

    def measured(self) -> tuple[Measured, ...]:
        if "compare" not in self.order.parts:
            return ()
        contenders = [self._contender(name) for name in self.order.contenders if self._is_there(name)]
        return tuple(compare(contenders, self.corpus, self.order, self.tell))

    def _is_there(self, name: Name) -> bool:
        """Ray is no part of an installation: what is compared with it counts as not measured then."""
        if name != "ray" or has_ray(self.order.ray_python):
            return True
        self.tell("Ray Serve is left out: name an interpreter that has Ray with --ray-python")
        return False

    def stages(self) -> tuple[Stage, ...]:
        if "stages" not in self.order.parts:
            return ()
        self.tell("single models")
        log = self.directory / "stages.log"
        size = ["--items", str(self.order.items), "--blocks", str(self.order.blocks)]
        command = [sys.executable, "-m", "workers.bench.stages", str(self.directory / "corpus"), *size]
        with log.open("wb") as sink:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=sink, check=False)
        if done.returncode:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise ContenderFailed(f"single models ended with {done.returncode}: {''.join(last)}")
        return tuple(Stage.model_validate_json(line) for line in done.stdout.splitlines())

    def savings(self) -> Savings | None:
        if "savings" not in self.order.parts:
            return None
        self.tell("savings")
        pools = {on: self._pool(savings=on, children=1) for on in (True, False)}
        return compare_savings(pools, self.corpus, self.tell, count=self.order.distinct)

    def growth(self) -> tuple[Growth, ...]:
        if "growth" not in self.order.parts:
            return ()
        self.tell("growth")
        pool = self._pool(savings=True, children=self.order.children)
        return tuple(grow(pool, self.corpus, self.order.growth_shape, self.order.growth, self.tell))

    def help_s(self) -> float | None:
        """Of `liverisk --help`, the process as a whole: the best of some, as others only add to it."""
        if "help" not in self.order.parts:
            return None
        return round(min(_help_s() for _ in range(HELP_RUNS)), 3)

    def _pool(self, *, savings: bool, children: int, name: str = "pool") -> Pool:
        config = self.config.model_copy(update={"state_directory": self.directory / "pool"})
        return Pool(config, self.corpus, children, self.order.ahead, savings=savings, name=name)

    def _contender(self, name: Name) -> Contender:
        order = self.order
        apart = self.config.model_copy(update={"state_directory": self.directory / name})
        match name:
            case "bare":
                return Bare(self.directory / "corpus", self.directory / "bare.log", order.lanes)
            case "pool":
                return self._pool(savings=True, children=order.children)
            case "pool-whole":
                return self._pool(savings=False, children=order.children, name=WHOLE)
            case "celery":
                return PlainCelery(apart, self.corpus, order.celery_children, order.ahead)
            case "ray":
                return RayServe(apart, self.corpus, order.ray_python)


def _help_s() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "workers", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began
