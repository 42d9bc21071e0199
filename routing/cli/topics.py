"""``fingerpost topics``: the topics that the distributed runtime needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routing.cli.output import err, print_finding, print_json

if TYPE_CHECKING:
    from routing.runtime.kafka.settings import KafkaSettings

app = typer.Typer(no_args_is_help=True)

Config = Annotated[Path, typer.Option("--config", help="The daemon's settings file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON, one finding a line.")]


@app.callback()
def topics() -> None:
    """Work on the topics of Kafka."""


@app.command()
def create(
    config: Config = Path("fingerpost.yaml"),
    update: Annotated[
        bool, typer.Option("--update", help="Also set retention and the like of topics that are there already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Makes the topics that are missing; those that are there keep their messages and partitions. May be run again at any time.

    Exit codes: 0 all are as the settings say; 1 some differ, and it says what to do; 2 Kafka cannot be reached or refuses.
    """
    from routing.runtime.kafka import topics

    kafka = _settings(config)
    for name in topics.create(kafka):
        err.print(f"Made the topic {name}.", markup=False)
    if update:
        for sentence in topics.update(kafka):
            err.print(f"{sentence}.", markup=False)
    _report(kafka, as_json, None)


@app.command()
def check(config: Config = Path("fingerpost.yaml"), as_json: AsJson = False) -> None:
    """Compares the topics with the settings, and tells how many events wait there to be decided. Changes nothing.

    Exit codes: 0 all are as the settings say; 1 some differ, and it says what to do; 2 Kafka cannot be reached or refuses.
    """
    _report(_settings(config), as_json, config)


def _settings(config: Path) -> KafkaSettings:
    from routing.bootstrap.settings import SettingsError, kafka_of

    kafka = kafka_of(config)
    if kafka is None:
        raise SettingsError(f"{config} has no section 'kafka': add one with its 'bootstrap_servers'.")
    return kafka


def _report(kafka: KafkaSettings, as_json: bool, config: Path | None) -> None:
    from routing.cli.output import look_at_lag
    from routing.runtime.kafka.topics import check

    findings = check(kafka)
    if config is not None:
        findings.append(look_at_lag(config, kafka))
    for finding in findings:
        if as_json:
            print_json(finding)
        else:
            print_finding(finding)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)
