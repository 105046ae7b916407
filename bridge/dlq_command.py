"""``haltere dlq``: the commands that look at the dead letters and replay them."""

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.command import Config, Json, settings
from bridge.contracts import MICROS, Stage

if TYPE_CHECKING:
    from bridge.letters import Choice

dlq = typer.Typer(
    name="dlq",
    help="The dead letters: messages that became no reading.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Since = Annotated[str, typer.Option(help="not older than 15m, 2h, 7d, or ISO 8601 with a zone")]
AtStage = Annotated[Stage | None, typer.Option("--stage", help="where they failed")]
Topic = Annotated[str, typer.Option(help="an MQTT filter, for instance plant/+/#")]
Lines = Annotated[bool, typer.Option("--json", help="JSON lines, for programs")]


def choice(since: str, stage: Stage | None, topic: str) -> "Choice":
    """What the options choose."""
    from bridge import letters  # noqa: PLC0415

    now = time.time_ns() * MICROS // 10**9
    return letters.Choice(letters.since(since, now) if since else 0, stage, topic)


@dlq.command("list")
def list_(
    since: Since = "",
    stage: AtStage = None,
    topic: Topic = "#",
    config: Config = None,
    as_json: Lines = False,
) -> None:
    """One line for each dead letter, then how many there are of each kind.

    Example: haltere dlq list --since 2h --topic 'plant/+/#'
    """
    from bridge import letters  # noqa: PLC0415
    from bridge.dlq import chosen  # noqa: PLC0415

    which, reasons, foreign = choice(since, stage, topic), letters.Tally(), 0
    for batch in chosen(settings(config).kafka, which):
        for one in batch.found:
            if one.letter:
                reasons.add(letters.reason(one.letter))
            else:
                foreign += 1
            if one.letter or which.takes_foreign():
                print(json.dumps(letters.row(one)) if as_json else letters.line(one))
    if not as_json:
        print("\n".join([f"dead letters: {reasons.total()}", *reasons.lines()]))
        if foreign:
            print(f"{letters.FOREIGN}: {foreign}")


@dlq.command()
def show(
    place: Annotated[str, typer.Argument(help="PARTITION:OFFSET, as list shows it")],
    config: Config = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="nothing but the bytes of the payload")
    ] = False,
    as_json: Json = False,
) -> None:
    """All about one dead letter, and what would become of it today.

    Example: haltere dlq show 3:17
    """
    from bridge.dlq import shown, structured, told  # noqa: PLC0415

    ours = settings(config)
    one = shown(ours, place)
    if raw:
        sys.stdout.buffer.write(one.letter.payload if one.letter else b"")
        sys.stdout.buffer.flush()
    elif as_json:
        print(json.dumps(structured(ours, one)))
    else:
        for line in told(ours, one):
            print(line, flush=True)
    raise typer.Exit(0 if one.letter else 1)


@dlq.command()
def replay(  # noqa: PLR0913, PLR0917  each is an option of the command line
    since: Since = "",
    stage: AtStage = None,
    topic: Topic = "#",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="produce nothing")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make readings of the dead letters with the settings of today, straight into Kafka.

    Exits with 0 if all became readings or are ignored, with 1 if some failed again. It may be
    broken off and done again: the readings keep their ids, and score counts each once.

    Example: haltere dlq replay --since 7d --stage decode --dry-run
    """
    from bridge.dlq import replay as run  # noqa: PLC0415

    account = run(settings(config), choice(since, stage, topic), dry_run, progress)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if as_json:
        print(json.dumps(account.as_json() | {"dry_run": dry_run}))
    else:
        print(f"{'dry run: ' if dry_run else ''}{account.as_text()}")
    raise typer.Exit(0 if account.good() else 1)


def progress(read: int, total: int) -> None:
    """How far it is, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r{read} of {total} records", end="", file=sys.stderr, flush=True)
