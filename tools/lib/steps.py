"""One line a step, with its seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)


class Failed(Exception):
    """A step did not do what it should; the message says what is wrong."""


@contextlib.contextmanager
def step(words: str) -> Iterator[None]:
    """Run the block as a step: on a terminal its name is shown while it runs; a line stays when it has ended."""
    began = time.monotonic()
    try:
        with console.status(words) if console.is_terminal else contextlib.nullcontext():
            yield
    except BaseException:
        console.print(f"[red]FAILED[/] {time.monotonic() - began:6.1f} s  {words}")
        raise
    console.print(f"[green]ok[/]     {time.monotonic() - began:6.1f} s  {words}")
