"""The embedded brokers, on the real ones: they start, come back and never stay behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge.brokers import KafkaBroker, MqttBroker, embedded, find_mosquitto
from bridge.child import Child, Endpoint, Launch, free_endpoint
from bridge.errors import Misconfigured, Unavailable

CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"  # MQTT 3.1.1, clean, without an id
CONNACK = b"\x20\x02\x00\x00"  # accepted
ORPHANS = """
import sys, threading, time
from pathlib import Path
from bridge.brokers import KafkaBroker, MqttBroker
brokers = [KafkaBroker(Path(sys.argv[1])), MqttBroker(Path(sys.argv[2]), prefer=sys.argv[3])]
for broker in brokers:
    starter = threading.Thread(target=broker.launch)  # one that ends must not take it along
    starter.start()
    starter.join()
brokers[1].wait()
print(*(broker.pid for broker in brokers if broker.alive()), flush=True)
time.sleep(600)
"""


def running(pid: int) -> bool:
    """Whether there is such a process, and not only its exit status."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self").exists():
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    return subprocess.run(["ps", "-p", str(pid)], capture_output=True).returncode == 0


def answer(endpoint: Endpoint) -> bytes:
    """What an MQTT broker says to CONNECT."""
    with socket.create_connection((endpoint.host, endpoint.port), timeout=10) as client:
        client.sendall(CONNECT)
        return client.recv(4)


class Sleeper(Child):
    """A broker that listens, and does no more."""

    name = "sleeper"
    program = (
        "import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
    )

    def prepare(self) -> Launch:
        program = self.program.format(port=self.endpoint.port)
        return Launch((sys.executable, "-c", program), self.folder / "log")


class Dying(Sleeper):
    """One that cannot start."""

    name = "dying"
    program = "print('reading', flush=True); raise SystemExit('no space left on device')"


@pytest.mark.broker
def test_kafka_comes_back_on_its_port_with_its_data_and_leaves_no_process(tmp_path: Path) -> None:
    identity = tmp_path / "kafka" / "data" / "meta.properties"
    with embedded(tmp_path, lambda line: None) as brokers:
        kafka, mqtt = brokers.kafka, brokers.mqtt
        before = (kafka.bootstrap_servers, identity.read_text())
        pids = {kafka.pid, mqtt.pid}
        kafka.kill()
        assert not kafka.alive()
        assert not kafka.endpoint.answers()
        kafka.restart()
        assert (kafka.bootstrap_servers, identity.read_text()) == before
        assert kafka.endpoint.answers()
        pids.add(kafka.pid)
    assert len(pids) == 3
    assert not any(running(pid) for pid in pids)
    assert identity.exists()  # a folder that was given stays


@pytest.mark.broker
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere children end at our exit")
def test_the_brokers_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    prefer = "mosquitto" if MqttBroker(tmp_path).name == "mosquitto" else "amqtt"
    command = [sys.executable, "-c", ORPHANS, str(tmp_path / "k"), str(tmp_path / "m"), prefer]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    with parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(running(pid) for pid in pids)
        parent.kill()
    deadline = time.monotonic() + 20
    while any(running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.broker
@pytest.mark.parametrize("prefer", ["auto", "amqtt"])
def test_an_mqtt_broker_accepts_clients_before_and_after_a_restart(prefer: str) -> None:
    with MqttBroker(prefer="amqtt" if prefer == "amqtt" else "auto") as broker:
        assert answer(broker.endpoint) == CONNACK
        broker.restart()
        assert answer(broker.endpoint) == CONNACK
    assert not broker.folder.exists()  # its own, so removed


def test_without_mosquitto_on_path_amqtt_is_used(tmp_path: Path) -> None:
    broker = MqttBroker(tmp_path, path="")
    assert (broker.name, broker.version) == ("amqtt", "3.1.1")


def test_mosquitto_on_path_is_preferred(tmp_path: Path) -> None:
    program = tmp_path / "mosquitto"
    program.touch(0o755)
    broker = MqttBroker(tmp_path, path=str(tmp_path))
    assert find_mosquitto(str(tmp_path)) == str(program)
    assert (broker.name, broker.version) == ("mosquitto", "5")


def test_asking_for_mosquitto_where_there_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="install it, or prefer amqtt"):
        MqttBroker(tmp_path, prefer="mosquitto", path="")


@pytest.mark.parametrize("broker", [KafkaBroker, MqttBroker])
def test_a_port_in_use_is_an_error_that_names_it(
    broker: type[KafkaBroker | MqttBroker], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"127.0.0.1:{port} to be free.*another port"):
            broker(tmp_path, port).start()


def test_a_broker_that_dies_at_its_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"reading \| no space left on device.*its log is"):
        Dying(tmp_path).start()


def test_a_child_has_its_own_session_so_that_ctrl_c_spares_it(tmp_path: Path) -> None:
    with Sleeper(tmp_path) as child:
        assert os.getsid(child.pid) == child.pid


def test_a_child_that_ended_by_itself_is_not_alive_and_can_be_restarted(tmp_path: Path) -> None:
    with Sleeper(tmp_path) as child:
        os.kill(child.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while child.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not child.alive()
        child.restart()
        assert child.alive()


def test_stopping_twice_and_before_a_start_is_harmless(tmp_path: Path) -> None:
    child = Sleeper(tmp_path)
    child.stop()
    child.start()
    child.stop()
    child.stop()
    assert child.pid == 0


def test_ports_are_below_those_that_clients_get() -> None:
    assert all(20000 <= free_endpoint().port < 30000 for _ in range(20))


def test_a_port_is_not_given_twice_before_anybody_listens_there() -> None:
    ports = [free_endpoint().port for _ in range(1000)]
    assert len(set(ports)) == len(ports)
