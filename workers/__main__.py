"""`python -m workers …` is `liverisk …`: for processes that start others with their own interpreter."""

from __future__ import annotations

from workers.cli.main import main

main()
