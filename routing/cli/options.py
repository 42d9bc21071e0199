"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path | None, typer.Option("--config", help="The daemon's settings file.")]
LedgerAt = Annotated[str | None, typer.Option("--ledger", help="A ledger file or URL, instead of the settings' one.")]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON, one object a line.")]
