"""Step 3: the model reads images from Kafka, and its predictions go back to Kafka.

    python examples/mnist/infer.py --servers 127.0.0.1:9092 --model mnist.keras [--follow]

Each prediction is a record of `y_pred` with the key of its image, so that who asked finds the
answer; a header says which record it was made from. `--follow` waits for further images, and goes
on after a restart where it stopped.
"""

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import console
import keras
import numpy as np
from console import say
from train import pixels

from bridge.errors import Misconfigured
from ml import KafkaDataset, OutputCallback

ROWS = 256  # images a batch, at most
WAIT_MS = 100  # for a full batch; then it is as large as it is
LISTEN_S = 0.2  # for Ctrl-C


def infer(model: keras.Model, prefix: str, servers: str, follow: bool = False) -> None:
    """Predict what `x_test` holds; ``follow`` goes on until Ctrl-C."""
    records = KafkaDataset(
        f"{prefix}-x_test",
        servers=servers,
        group=f"{prefix}-infer" if follow else "",  # under this name Kafka keeps how far it is
        eof=not follow,
        batch_rows=ROWS,
        batch_ms=WAIT_MS,
    )
    images = records.map(lambda batch: pixels(batch["value"]))
    out = OutputCallback(ROWS, f"{prefix}-y_pred", servers, source=images, encode=digit)
    with ThreadPoolExecutor(1) as beside:  # TensorFlow waits for records, and is deaf to Ctrl-C
        work = beside.submit(model.predict, images, callbacks=[out], verbose=0)
        try:
            while not wait([work], LISTEN_S).done:
                pass
            work.result()
        except KeyboardInterrupt:
            records.close()  # what is under way is predicted, sent and committed
    out.close()


def digit(row: np.ndarray) -> bytes:
    """The value of a prediction: the most probable of the ten.

    >>> digit(np.array([0.1, 0.7, 0.2]))
    b'1'
    """
    return b"%d" % row.argmax()


def load(path: Path) -> keras.Model:
    """What `train.py` saved.

    Raises:
        Misconfigured: the file is no model.
    """
    try:
        return keras.models.load_model(path)
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise Misconfigured(f"--model {path}", "what train.py saved", reason) from None


def main() -> None:
    parser = console.options(__doc__)
    parser.add_argument("--model", type=Path, default=Path("mnist.keras"), help="file to read")
    parser.add_argument("--follow", action="store_true", help="wait for further images")
    told = parser.parse_args()
    console.need(told.servers, f"{told.prefix}-x_test")
    model = load(told.model)
    say("predicting" + ("; Ctrl-C ends it" if told.follow else ""))
    infer(model, told.prefix, told.servers, told.follow)


if __name__ == "__main__":
    console.run(main)
