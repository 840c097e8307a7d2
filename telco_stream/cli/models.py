"""`telco-stream model`: shows a model, and publishes, promotes and rolls back the versions in the models topic."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telco_stream.cli import model_import, options, recalibrate
from telco_stream.cli.session import Session
from telco_stream.errors import UsageError

if TYPE_CHECKING:
    from telco_stream.messages.codec import Codec
    from telco_stream.model.labelled import LabelledEvents
    from telco_stream.registry.records import Role
    from telco_stream.registry.results import RoleResult
    from telco_stream.registry.rollout import RolloutWatch
    from telco_stream.registry.topic import ModelTopic

group = typer.Typer(name="model", no_args_is_help=True, help="Import, inspect, publish and roll out models.")


@group.command()
def show(
    model: options.Model = None,
    broker: options.Broker = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show a model's manifest: version, metrics, checksums. Of a topic, that of the version that serves."""
    flags = {"bootstrap_servers": broker, "model.path": model}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    session.screen.show(session.manifest(required=True))


@group.command()
def publish(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Model folder.", callback=options.model_folder)],
    broker: options.Broker = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write a model folder to the models topic. Its version never changes there; promote lets it serve."""
    from telco_stream.registry.run import package
    from telco_stream.registry.run import publish as write

    session = Session(output, quiet=quiet, verbose=verbose, flags={"bootstrap_servers": broker}, timeout=timeout)
    packed = package(folder)
    result = write(_topic(session, writes=True), packed)
    session.screen.show(result)
    if result.published:
        session.screen.say(f"To let it serve: telco-stream model promote {result.version}")
    else:
        session.screen.say(f"Version {result.version} was already published.")


@group.command()
def promote(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Published version.")],
    canary: Annotated[
        float | None,
        typer.Option("--canary", metavar="PERCENT", help="Let it answer for PERCENT of the keys, always the same."),
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Let it score all records without answering; metrics compare it.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the group's workers accept it and its answers name it.")
    ] = False,
    wait_seconds: Annotated[
        float, typer.Option("--wait-seconds", min=0, metavar="SECONDS", help="With --wait, exit 5 after SECONDS.")
    ] = 60.0,
    broker: options.Broker = None,
    topic: options.Topic = None,
    group: options.Group = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Let a published version serve, without a restart of consume. Ends canary and shadow."""
    from telco_stream.registry.run import promote as change
    from telco_stream.runtime.humanize import count_of

    if canary is not None and shadow:
        raise UsageError("--canary and --shadow cannot be combined; use one of them")
    if canary is not None and not 0.01 <= canary <= 100:  # noqa: PLR2004 - percent
        raise UsageError("--canary: use a share from 0.01 to 100 percent")
    flags = {"bootstrap_servers": broker, "topics.raw": topic, "consumer.group_id": group}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    role: Role = "shadow" if shadow else "serving" if canary is None else "canary"
    models, watch = _topic(session, writes=True), _watch(session) if wait else None
    result = change(models, version, role, canary)
    _show_change(session, result)
    if watch is not None:
        rollout = watch.wait(models, result, wait_seconds)
        session.screen.say(f"{count_of(rollout.members, 'worker')} accepted {version}.")


@group.command()
def rollback(
    broker: options.Broker = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """End the canary or the shadow, or return to the version before."""
    from telco_stream.registry.run import roll_back

    session = Session(output, quiet=quiet, verbose=verbose, flags={"bootstrap_servers": broker}, timeout=timeout)
    _show_change(session, roll_back(_topic(session, writes=True)))


@group.command("list")
def list_(
    broker: options.Broker = None,
    group: options.Group = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """List the published versions, newest first. Says which workers of the group accepted them."""
    from telco_stream.kafka.cluster import Cluster
    from telco_stream.registry.run import list_models

    flags = {"bootstrap_servers": broker, "consumer.group_id": group}
    session = Session(output, quiet=quiet, verbose=verbose, flags=flags, timeout=timeout)
    registry = _topic(session).registry()
    members = Cluster(session.clients, session.stop).describe_group(session.settings.consumer.group_id).members
    session.screen.show(list_models(registry, {member.worker for member in members}))


@group.command()
def history(
    broker: options.Broker = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """List promotions and rollbacks, oldest first. Says who made them, and why."""
    from telco_stream.registry.run import list_changes

    session = Session(output, quiet=quiet, verbose=verbose, flags={"bootstrap_servers": broker}, timeout=timeout)
    session.screen.show(list_changes(_topic(session).registry()))


@group.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="Model folder, or a version in the models topic.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same, of the other model.")],
    data: Annotated[Path, typer.Option("--data", metavar="CSV", help="CSV file with labelled rows.")],
    delimiter: options.Delimiter = ",",
    number_rows: options.NumberRows = False,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="List at most N rows that change most.")] = 10,
    broker: options.Broker = None,
    timeout: options.Timeout = 10.0,
    output: options.Output = "table",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare two models on labelled rows. Shows AUC, Brier score, changed decisions and the largest changes."""
    from telco_stream.csv.header import parse_delimiter
    from telco_stream.csv.validation import CsvFormat
    from telco_stream.display.progress import StageProgress
    from telco_stream.model.artifact import load_files, manifest_of
    from telco_stream.model.comparison import Contestant
    from telco_stream.model.comparison import compare as measure
    from telco_stream.model.labelled import read_labelled_events

    session = Session(output, quiet=quiet, verbose=verbose, flags={"bootstrap_servers": broker}, timeout=timeout)
    separator = parse_delimiter(delimiter)
    files = {name: _files(session, name) for name in (a, b)}
    scorers = {name: load_files(content, name) for name, content in files.items()}

    @cache  # a codec is compiled once for each contract, so models of the same contract share the rows
    def read_rows(codec: "Codec") -> "LabelledEvents":
        csv_format = CsvFormat(codec.contract, separator, number_rows, requires_label=True, ignores_time=True)
        return read_labelled_events(data, csv_format, codec, stages)

    def contestant(name: str) -> Contestant:
        return Contestant(scorers[name], manifest_of(files[name], name), read_rows(scorers[name].codec))

    with session.screen.live(StageProgress("reading")) as stages:
        result = measure(contestant(a), contestant(b), limit)
    session.screen.show(result)


def _files(session: Session, name: str) -> "Mapping[str, bytes]":
    """Return the files of a folder, or of a version in the topic if there is no folder of this name."""
    from telco_stream.model.artifact import read_folder
    from telco_stream.runtime.choices import models_topic

    if models_topic(name) is not None:
        raise UsageError(f"{name} is a topic; give a model folder, or a version in the models topic")

    if Path(name).exists() or "/" in name:
        return read_folder(Path(name))
    topic = _topic(session)
    return topic.files(name, topic.published(name).sha256)


def _topic(session: Session, *, writes: bool = False) -> "ModelTopic":
    from telco_stream.registry.topic import ModelTopic

    return ModelTopic(session.clients, session.settings.topics.models, session.stop, writes=writes)


def _watch(session: Session) -> "RolloutWatch":
    from telco_stream.registry.rollout import RolloutWatch

    return RolloutWatch(session.clients, session.settings.consumer.group_id, session.stop)


def _show_change(session: Session, result: "RoleResult") -> None:
    session.screen.show(result)
    if not result.changed:
        session.screen.say(f"Nothing was changed: {result.version} already has this role.")


group.command("import")(model_import.import_model)
group.command("recalibrate")(recalibrate.recalibrate)
