"""The command: the only file that knows both halves; imports each inside its subcommand."""

import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.command import DEFAULT_CONFIG, Config, Json, say, settings, stop_on_signals
from bridge.dlq_command import dlq
from bridge.errors import Fenced, HaltereError, Malformed, Misconfigured, Unavailable
from bridge.message_command import explain, normalise
from bridge.settings import PREFIX, Settings

if TYPE_CHECKING:
    from bridge.metrics import Telemetry

    Loop = Callable[[Settings, Event, Telemetry], None]

log = logging.getLogger("haltere")

EXITS: dict[type[HaltereError], int] = {Malformed: 1, Misconfigured: 2, Unavailable: 3, Fenced: 4}
LONG_AGO_S = 60.0
SELDOM = (50_000, 50, 100)  # objects and rounds between two garbage collections
RETRY_S = (1.0, 10.0)  # between two attempts to reach a broker, doubling

app = typer.Typer(
    name="haltere",
    help="MQTT to Kafka to TensorFlow and back to the devices, without losing a message.",
    epilog="Begin with: haltere demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(dlq)
app.command()(explain)
app.command()(normalise)


def serve(name: str, config: Path | None, loop: "Loop", lone: bool = False) -> None:
    """Run a loop until told to stop; begin again while a broker is away.

    Where it has to be the only one of its name (``lone``), another that comes ends it.
    """
    from bridge.metrics import Server, Telemetry  # noqa: PLC0415

    told = settings(config)
    logging.basicConfig(format=f"%(asctime)s {name} %(levelname)s %(message)s", level="INFO")
    stop, telemetry, wait_s = stop_on_signals(), Telemetry(name), RETRY_S[0]
    fenced = -LONG_AGO_S
    with Server(told.metrics, telemetry):
        while not stop.is_set():
            begun = time.monotonic()
            try:
                loop(told, stop, telemetry)
            except (Unavailable, Fenced) as error:
                if isinstance(error, Fenced) and (lone or begun - fenced < LONG_AGO_S):
                    raise  # a rival; once may have been a long pause of this machine
                fenced = time.monotonic() if isinstance(error, Fenced) else fenced
                wait_s = RETRY_S[0] if time.monotonic() - begun > LONG_AGO_S else wait_s
                log.warning("%s; trying again in %.0f s", error, wait_s)
                telemetry.ready = False
                telemetry.beat()
                stop.wait(wait_s)
                wait_s = min(2 * wait_s, RETRY_S[1])


@app.command()
def ingest(
    config: Config = None,
    workers: Annotated[
        int | None, typer.Option(help="so many processes share the messages; 0: retire all", min=0)
    ] = None,
    leave: Annotated[
        bool, typer.Option("--leave", help="carry what is queued, then end the session")
    ] = False,
) -> None:
    """MQTT -> Kafka: every message becomes readings or a dead letter.

    SIGTERM and Ctrl-C stop it, and the broker queues until it comes back; SIGUSR1 to a worker
    is like --leave.

    Example: HALTERE_MQTT_FILTERS='fleet/#' haltere ingest

    Example: haltere ingest --workers 2
    """
    from bridge import workers as several  # noqa: PLC0415
    from bridge.ingest import run  # noqa: PLC0415

    if workers is not None:
        if leave:
            raise Misconfigured(
                "--leave", "no --workers beside it", f"--workers {workers}", "0 retires all"
            )
        signal.signal(signal.SIGUSR1, lambda *_: say("SIGUSR1 is for a worker, not for all"))
        logging.basicConfig(format="%(asctime)s ingest %(levelname)s %(message)s", level="INFO")
        several.run(settings(config), workers, several.command_of(config), stop_on_signals())
        return
    several.tell_who_is_left(settings(config))
    leaving = Event()
    if leave:
        leaving.set()
    signal.signal(signal.SIGUSR1, lambda *_: leaving.set())
    gc.freeze()
    gc.set_threshold(*SELDOM)  # messages hold no cycles: looking for them costs a twentieth
    serve("ingest", config, partial(run, leave=leaving), lone=True)
    if leaving.is_set():
        raise typer.Exit(1)  # stopped before it had left


@app.command()
def egress(config: Config = None) -> None:
    """Kafka -> MQTT: alerts and commands to the devices.

    Example: haltere egress -c haltere.toml
    """
    from bridge.egress import run  # noqa: PLC0415

    serve("egress", config, run, lone=True)


@app.command()
def train(config: Config = None) -> None:
    """Readings -> models: learn online, publish versions.

    Example: haltere train
    """
    needs_ml()
    from ml.train import run  # noqa: PLC0415

    serve("train", config, run)
    end_at_once()


@app.command()
def score(config: Config = None) -> None:
    """Readings -> scores and alerts, exactly once.

    Example: haltere score
    """
    needs_ml()
    from ml.score import run  # noqa: PLC0415

    serve("score", config, run)
    end_at_once()


def end_at_once() -> None:
    """All is committed and closed; TensorFlow would take 1.5 s more to take itself apart."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def needs_ml() -> None:
    """Say at once that the ml half is not installed."""
    from importlib.util import find_spec  # noqa: PLC0415

    if any(find_spec(name) is None for name in ("tensorflow", "polars")):
        raise Misconfigured(
            "this installation",
            "the ml extra",
            "neither TensorFlow nor polars",
            "pip install 'haltere[ml]'",
        )


@app.command()
def brokers(
    folder: Annotated[Path | None, typer.Option(help="keep their data here")] = None,
    kafka_port: Annotated[
        int | None, typer.Option(help="default: a free one", min=1, max=65535)
    ] = None,
    mqtt_port: Annotated[
        int | None, typer.Option(help="default: a free one", min=1, max=65535)
    ] = None,
) -> None:
    """Start real brokers on this machine, for a first try, and print how to connect.

    Example: haltere brokers --kafka-port 9092 --mqtt-port 1883
    """
    import tempfile  # noqa: PLC0415

    from bridge.brokers import embedded  # noqa: PLC0415

    stop = stop_on_signals()
    with tempfile.TemporaryDirectory(prefix="haltere-") as temporary:
        where = folder or Path(temporary)
        with embedded(where, say, kafka_port, mqtt_port) as both:
            at = both.mqtt.endpoint
            print(f"export HALTERE_KAFKA_BOOTSTRAP_SERVERS={both.kafka.bootstrap_servers}")
            print(f"export HALTERE_MQTT_HOST={at.host} HALTERE_MQTT_PORT={at.port}")
            print(f"export HALTERE_MQTT_VERSION={both.mqtt.version}", flush=True)
            say("copy these lines into another terminal; Ctrl-C stops both brokers")
            while not stop.wait(1.0):
                if not (both.kafka.alive() and both.mqtt.alive()):
                    raise Unavailable("embedded brokers", "both alive", "one has ended")


@app.command()
def simulate(  # noqa: PLR0913, PLR0917  each is an option of the command line
    config: Config = None,
    devices: Annotated[int, typer.Option(help="half pumps, half vehicles")] = 20,
    rate: Annotated[float, typer.Option(help="messages a second and device")] = 1.0,
    minutes: Annotated[float, typer.Option(help="how long")] = 10.0,
    seed: Annotated[int, typer.Option(help="the same seed, the same fleet")] = 1,
    out: Annotated[Path, typer.Option(help="folder of sent, alerts, labels")] = Path("fleet"),
    replay: Annotated[Path | None, typer.Option(help="a CSV file to play as a device")] = None,
    device: Annotated[str, typer.Option(help="its name, with --replay")] = "replay-1",
    speed: Annotated[float, typer.Option(help="times real time, with --replay")] = 1.0,
    listen: Annotated[float, typer.Option(help="seconds to hear alerts after the end")] = 5.0,
) -> None:
    """Publish a labelled fleet, or a recorded file, and listen to its alerts.

    SIGUSR1 ends the publishing; SIGTERM and Ctrl-C end all of it.

    Example: haltere simulate --devices 50 --minutes 3

    Example: haltere simulate --replay recording.csv --device pump-9 --speed 60
    """
    from bridge import simulator  # noqa: PLC0415
    from bridge.fleet import Plan  # noqa: PLC0415
    from bridge.replay import open_recording  # noqa: PLC0415

    told = settings(config)
    stop = stop_on_signals()
    files = simulator.Outputs(out, simulator.Listener(stop, listen, out / "done"))
    start = simulator.now_micros()
    if replay:
        recording = open_recording(replay, device)
        for complaint in recording.complaints:
            say(str(complaint))
        programme = simulator.replay_programme(recording, speed, start)
    else:
        plan = Plan(seed=seed, devices=devices, start=start, duration_s=60 * minutes, rate_hz=rate)
        programme = simulator.fleet_programme(plan)
    enough = Event()
    signal.signal(signal.SIGUSR1, lambda *_: enough.set())
    programme = replace(programme, messages=simulator.until(programme.messages, enough.is_set))
    stats = simulator.publish(programme, told.mqtt, files, stop)
    say(f"published {stats.published}, acknowledged {stats.acknowledged}, alerts {stats.alerts}")


@app.command()
def demo(  # noqa: PLR0913, PLR0917  each is an option of the command line
    headless: Annotated[bool, typer.Option(help="no screen; ends by itself")] = False,
    minutes: Annotated[float, typer.Option(help="how long")] = 60.0,
    devices: Annotated[int, typer.Option(help="half pumps, half vehicles")] = 100,
    rate: Annotated[float, typer.Option(help="messages a second and device")] = 1.0,
    seed: Annotated[int, typer.Option(help="the same seed, the same fleet")] = 1,
    replay: Annotated[Path | None, typer.Option(help="a CSV file in place of the fleet")] = None,
    speed: Annotated[float, typer.Option(help="times real time, with --replay")] = 1.0,
    folder: Annotated[Path | None, typer.Option(help="keep everything here")] = None,
    as_json: Json = False,
) -> None:
    """The whole way on this machine: brokers, fleet, bridge, learning, alerts on the devices.

    Example: haltere demo --headless --minutes 3 --devices 200 --seed 7 --json
    """
    needs_ml()
    from demo.run import Play, run  # noqa: PLC0415

    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # the demo has brokers of its own, whatever this shell points at
    play = Play(minutes, devices, rate, seed, replay, speed)
    report = run(play, folder, headless, stop_on_signals())
    print(json.dumps(report.as_json()) if as_json else report.as_text())
    raise typer.Exit(0 if report.good() else 1)


@app.command()
def torture(  # noqa: PLR0913, PLR0917  each is an option of the command line
    config: Config = None,
    fault: Annotated[list[str] | None, typer.Option(help="one of them; repeatable")] = None,
    messages: Annotated[int, typer.Option(help="for each fault")] = 20_000,
    publishers: Annotated[int, typer.Option(help="connections that publish")] = 50,
    seed: Annotated[int, typer.Option(help="the same seed, the same messages")] = 1,
    own_brokers: Annotated[bool, typer.Option("--own-brokers", help="of the settings")] = False,
    prefix: Annotated[str, typer.Option(help="of all its MQTT and Kafka topics")] = "torture",
    folder: Annotated[Path | None, typer.Option(help="keep everything here")] = None,
    as_json: Json = False,
) -> None:
    """Numbered messages through faults, and what was lost; on embedded brokers unless told.

    Example: haltere torture --fault kill-ingest --fault poison --messages 2000
    """
    from torture.run import Dose, Order, command  # noqa: PLC0415

    dose, own = Dose(messages, publishers, seed), own_brokers or config is not None
    order = Order(dose, tuple(fault or ()), folder, prefix, own, config)
    report = command(order, DEFAULT_CONFIG, stop_on_signals())
    print(json.dumps(report.as_json()) if as_json else report.as_text())
    raise typer.Exit(0 if report.good() else 1)


@app.command()
def check(config: Config = None, as_json: Json = False) -> None:
    """Read the configuration and try its connections.

    Example: haltere check -c haltere.toml
    """
    from bridge.check import findings  # noqa: PLC0415

    found = findings(settings(config))
    if as_json:
        print(json.dumps([f.as_json() for f in found]))
    else:
        for finding in found:
            print(f"{'ok     ' if finding.error is None else 'FAILED '}{finding}")
    raise typer.Exit(0 if all(f.error is None for f in found) else 3)


@app.command()
def tail(
    topic: Annotated[str, typer.Argument(help="readings, scores, alerts, deadletters, ...")],
    config: Config = None,
    beginning: Annotated[bool, typer.Option("--beginning", help="from the first record")] = False,
    count: Annotated[int, typer.Option(help="stop after so many; 0: never")] = 0,
) -> None:
    """Show the records of a topic as JSON lines, as they come.

    Example: haltere tail alerts --beginning
    """
    from bridge.tail import follow  # noqa: PLC0415

    stop = stop_on_signals()
    for n, line in enumerate(follow(settings(config).kafka, topic, beginning, stop), 1):
        print(line, flush=True)
        if n == count:
            break


def main() -> None:
    """The command; an error of ours is one line, never a traceback."""
    try:
        app()
    except HaltereError as error:
        say(f"haltere: {error}")
        sys.exit(EXITS[type(error)])
    except KeyboardInterrupt:
        say("haltere: stopped")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
