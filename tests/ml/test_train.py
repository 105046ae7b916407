"""Learning without brokers: lessons, versions, and a checkpoint that goes on where it stood."""

from pathlib import Path

import numpy as np
import pytest

from bridge.errors import Misconfigured
from bridge.settings import Settings, Train
from ml import checkpoint, columns, model, version
from ml.score import Scoring
from ml.train import Training
from tests.ml.fleet import readings


def taught(seconds: float) -> Training:
    training = Training(Settings(train=Train(first_readings=200)))
    found, _ = readings(10, seconds)
    for n in range(0, len(found), 100):
        training.take(columns.of(found[n : n + 100]))
    training.offsets = {0: len(found)}
    return training


@pytest.fixture(scope="module")
def training() -> Training:
    return taught(90)


def test_a_class_with_few_readings_has_no_version_yet() -> None:
    assert list(taught(10).lessons()) == []


def test_each_class_gets_a_version_that_forecasts_better_than_nothing(training: Training) -> None:
    cards = {card.device_class: card for card in training.lessons()}
    assert {name: card.version for name, card in cards.items()} == {"pump": 1, "vehicle": 1}
    for name, card in cards.items():
        pupil = training.pupils[name]
        assert pupil.kept is not None
        assert model.loss(pupil.model, pupil.kept) < model.loss(None, pupil.kept)
        assert card.offsets == (900,)
        assert card.channels == tuple(training.observer.tables[name].channels)


def test_score_adopts_what_train_publishes(training: Training) -> None:
    pupil = training.pupils["pump"]
    scoring = Scoring(Settings(), lambda: 0)
    scoring.adopt(training._card("pump", pupil, 0.5))
    champion = scoring.champions["pump"]
    assert pupil.kept is not None
    context = pupil.kept.context[:300]
    assert np.allclose(
        model.forecast(champion.model, context), model.forecast(pupil.model, context), atol=1e-6
    )


def test_a_checkpoint_goes_on_where_it_stood(training: Training, tmp_path: Path) -> None:
    list(training.lessons())
    checkpoint.save(tmp_path, training.snapshot())
    kept = checkpoint.load(tmp_path)
    assert kept is not None
    other = Training(Settings(train=Train(first_readings=200)))
    other.resume(kept)
    assert other.offsets == training.offsets
    assert other.observer.homes.of == training.observer.homes.of
    for name, pupil in training.pupils.items():
        mine = other.pupils[name]
        assert (mine.version, mine.readings) == (pupil.version, pupil.readings)
        for a, b in zip(mine.model.get_weights(), pupil.model.get_weights(), strict=True):
            assert np.array_equal(a, b)
        for a, b in zip(
            model.optimizer_state(mine.model), model.optimizer_state(pupil.model), strict=True
        ):
            assert np.array_equal(a, b)
    more, _ = readings(10, 95)
    for each in (training, other):
        each.take(columns.of(more[-50:]))
    for name, table in training.observer.tables.items():
        for device, row in table.devices.items():
            there = other.observer.tables[name].devices[device]
            assert np.array_equal(
                table["mean"][row], other.observer.tables[name]["mean"][there], equal_nan=True
            )


def test_a_checkpoint_before_the_first_lesson_goes_on_too(tmp_path: Path) -> None:
    young = taught(10)
    checkpoint.save(tmp_path, young.snapshot())
    kept = checkpoint.load(tmp_path)
    assert kept is not None
    other = Training(Settings())
    other.resume(kept)
    assert other.offsets == young.offsets
    assert {n: p.readings for n, p in other.pupils.items()} == {
        n: p.readings for n, p in young.pupils.items()
    }
    assert len(list(other.lessons())) == 0


def test_a_forecast_depends_on_its_reading_alone(training: Training) -> None:
    pupil = training.pupils["vehicle"]
    context = np.concatenate([lesson.context for lesson in (pupil.kept, *pupil.fresh) if lesson])
    whole = model.forecast(pupil.model, context[:300])
    alone = model.forecast(pupil.model, context[299:300])
    assert np.abs(whole[299] - alone[0]).max() < 1e-5


def test_a_forecast_never_sees_the_channel_that_it_forecasts(training: Training) -> None:
    pupil = training.pupils["pump"]
    list(training.lessons())
    assert pupil.kept is not None
    context = pupil.kept.context[:1].repeat(2, axis=0)
    context[1, :, 2] += 5.0
    first, second = model.forecast(pupil.model, context)
    assert first[2] == pytest.approx(second[2], abs=1e-6)


def test_a_version_carries_what_is_usual_in_its_class(training: Training) -> None:
    pupil = training.pupils["pump"]
    card = training._card("pump", pupil, 0.5)
    built = model.build(len(card.channels), 0)
    usual = version.unpack(built, card.weights)
    assert (usual.innovation > 0).all()


def test_training_stops_when_told(training: Training) -> None:
    pupil = training.pupils["pump"]
    before = [w.copy() for w in pupil.model.get_weights()]
    lesson = pupil.kept or pupil.fresh[0]
    steps = int(pupil.model.optimizer.iterations)
    model.train(pupil.model, lesson, 1000, lambda: True)
    assert int(pupil.model.optimizer.iterations) - steps == 1
    pupil.model.set_weights(before)


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path) is None


def test_a_damaged_checkpoint_names_its_file(tmp_path: Path) -> None:
    (tmp_path / checkpoint.NAME).write_bytes(b"not an archive")
    with pytest.raises(Misconfigured, match=checkpoint.NAME):
        checkpoint.load(tmp_path)


def test_a_crash_while_saving_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, checkpoint.Checkpoint({"n": 1}))
    (tmp_path / f"{checkpoint.NAME}.new").write_bytes(b"half of the ne")
    kept = checkpoint.load(tmp_path)
    assert kept is not None
    assert kept.meta == {"n": 1}
