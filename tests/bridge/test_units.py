"""Units: spellings to canonical units, and what keys say."""

import math

import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.units import canonical_unit, known, meaning, snake, unit_of

REGISTRY: pint.UnitRegistry[float] = pint.UnitRegistry()
CONVERTED = [
    (21.5, "°C", 21.5, "Cel"),
    (21.5, "℃", 21.5, "Cel"),
    (21.5, "degC", 21.5, "Cel"),
    (212, "°F", 100, "Cel"),
    (273.15, "K", 0, "Cel"),
    (1013.25, "hPa", 101325, "Pa"),
    (1013.25, "mbar", 101325, "Pa"),
    (101.325, "kPa", 101325, "Pa"),
    (29.92, "inHg", 101320.8, "Pa"),
    (40, "%RH", 40, "%"),
    (36, "km/h", 10, "m/s"),
    (100, "mph", 44.704, "m/s"),
    (1, "kn", 0.514444, "m/s"),
    (3300, "mV", 3.3, "V"),
    (250, "mA", 0.25, "A"),
    (1.5, "kW", 1500, "W"),
    (5, "mW", 0.005, "W"),
    (2, "MW", 2e6, "W"),
    (1, "kWh", 3.6e6, "J"),
    (2.4, "GHz", 2.4, "GHz"),
    (868, "MHz", 868e6, "Hz"),
    (250, "cm", 2.5, "m"),
    (12, "inch", 0.3048, "m"),
    (math.pi, "rad", 180, "deg"),
    (300, "lux", 300, "lx"),
    (400, "ppb", 0.4, "ppm"),
    (12, "µg/m³", 12, "ug/m3"),
    (12, "μg/m³", 12, "ug/m3"),
    (1.2, "mS/cm", 1200, "uS/cm"),
    (-70, "dBm", -70, "dBm"),
    (7, "widgets", 7, "widgets"),
]


@pytest.mark.parametrize(("sent", "spelling", "value", "unit"), CONVERTED)
def test_a_unit_as_people_spell_it_becomes_the_canonical_one(
    sent: float, spelling: str, value: float, unit: str
) -> None:
    found = meaning("x", spelling)
    assert found.canonical == unit == canonical_unit(spelling)
    assert sent * found.scale + found.offset == pytest.approx(value, rel=1e-5, abs=1e-9)
    assert found.unit == spelling


NAMED = [
    ("temperature", "temperature", "Cel"),
    ("temp-C", "temperature", "Cel"),
    ("tempF", "temperature", "Cel"),
    ("tempf", "temperature", "Cel"),
    ("Temp (C)", "temperature", "Cel"),
    ("outdoorTemp", "outdoor_temp", "Cel"),
    ("temp1f", "temp1", "Cel"),
    ("oil_temp_C", "oil_temp_c", "Cel"),
    ("oil_temp_F", "oil_temp", "Cel"),
    ("level_cm", "level", "m"),
    ("temp_min", "temp_min", "Cel"),
    ("soc", "soc", "%"),
    ("rpm", "rpm", "1/min"),
    ("dewpoint", "dew_point", "Cel"),
    ("heatindex-C", "heat_index", "Cel"),
    ("hum-percent", "humidity", "%"),
    ("HumidityPct", "humidity", "%"),
    ("co2-ppm", "co2", "ppm"),
    ("lpg-ppm", "lpg_ppm", "ppm"),
    ("pressure_kPa", "pressure", "Pa"),
    ("pressureHPa", "pressure", "Pa"),
    ("lux", "illuminance", "lx"),
    ("windspeedmph", "wind_speed", "m/s"),
    ("wind_speed_kmh", "wind_speed", "m/s"),
    ("battery", "battery", "%"),
    ("battery_mV", "battery_voltage", "V"),
    ("pm2_5", "pm2_5", "ug/m3"),
    ("water_level_cm", "water_level", "m"),
    # what only looks like a unit, or a quantity
    ("phase_A", "phase_a", ""),
    ("port_C", "port_c", ""),
    ("current_page", "current_page", ""),
    ("power_factor", "power_factor", ""),
    ("color_temp", "color_temp", ""),
    ("a_pf", "a_pf", ""),
    ("fan_speed", "fan_speed", ""),
    ("max_day", "max_day", ""),
    ("pressure", "pressure", ""),
    ("温度", "温度", ""),
    ("!?", "_", ""),
    ("", "_", ""),
]


@pytest.mark.parametrize(("key", "channel", "unit"), NAMED)
def test_a_key_tells_quantity_and_unit(key: str, channel: str, unit: str) -> None:
    found = meaning(key, "")
    assert (found.channel, found.canonical) == (channel, unit)


def test_the_unit_that_is_sent_beats_the_one_in_the_name() -> None:
    assert meaning("temperature", "F").scale == pytest.approx(5 / 9)
    assert meaning("moisture", "mystery").canonical == "mystery"


def test_only_the_last_part_of_a_path_is_interpreted() -> None:
    assert meaning("computed.heat_index", "").channel == "computed.heat_index"
    assert meaning("Attic.tempF", "").channel == "attic.temperature"


def test_gravity_is_no_gram() -> None:
    assert meaning("acceleration", "g").canonical == "m/s2"
    assert meaning("weight", "g").canonical == "kg"


def test_a_quantity_has_a_physical_range_in_its_canonical_unit() -> None:
    assert (meaning("humidity", "").low, meaning("humidity", "").high) == (0, 100)
    assert meaning("tempF", "").low == pytest.approx(-273.15)
    assert meaning("x", "").high == pytest.approx(1.797e308, rel=1e-3)


def test_known_names_only() -> None:
    assert known("temperature")
    assert not known("kitchen")
    assert unit_of("UV") is None


@given(st.text(max_size=60), st.text(max_size=12))
def test_any_name_and_unit_have_a_meaning(name: str, unit: str) -> None:
    found = meaning(name, unit)
    assert found.channel
    assert math.isfinite(found.scale)
    assert math.isfinite(found.offset)
    assert snake(snake(name)) == snake(name)


def test_every_unit_of_senml_is_known() -> None:
    """RFC 8428 section 12.1 and the secondary units of RFC 8798."""
    primary = (
        "m kg g K cd mol Hz rad sr N Pa J W V Ohm S Wb Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2 m3/s"
        " l/s W/m2 cd/m2 bit bit/s pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min beat/min beats S/m"
        " VA VAs var vars J/m kg/m3 deg NTU s A"
    )
    secondary = (
        "ms min h MHz kW kVA kvar Ah Wh kWh varh kvarh kVAh Wh/km KiB GB Mbit/s B/s MB/s mV mA dBm"
        " ug/m3 mm/h m/h ppm /100 /1000 hPa mm cm km km/h ppb ppt VAh mg/l ug/l g/l"
    )
    assert [u for u in f"{primary} {secondary}".split() if unit_of(u) is None] == []


BELOW = [
    ("temperature.min", "temperature.min", "Cel"),
    ("temp.C", "temp.c", "Cel"),
    ("temp.f", "temp.f", "Cel"),
    ("acceleration.x", "acceleration.x", ""),
    ("humidity.value", "humidity.value", "%"),
    ("voltage.0", "voltage.0", "V"),
    ("power.l1", "power.l1", "W"),
    ("status.min", "status.min", ""),
]


@pytest.mark.parametrize(("path", "channel", "unit"), BELOW)
def test_a_part_of_a_quantity_is_that_quantity(path: str, channel: str, unit: str) -> None:
    found = meaning(path, "")
    assert (found.channel, found.canonical) == (channel, unit)


SUFFIXES = [
    ("wind_avg_km_h", "m/s"),
    ("wind_max_m_s", "m/s"),
    ("flow_l_min", "m3/h"),
    ("solar_W_m2", "W/m2"),
    ("max_flow_m3h", "m3/h"),
    ("flow_temperature_c", "Cel"),
    ("pm2_5_atm", "ug/m3"),
    ("motor_current", "A"),
    ("total_m3", "m3"),
    ("energy_kWh", "J"),
    ("tank_level_percent", "%"),
    ("humidity_V", ""),
    ("uv", ""),
    ("heartbeat_count", ""),
]


@pytest.mark.parametrize(("key", "unit"), SUFFIXES)
def test_units_are_read_from_keys_of_many_spellings(key: str, unit: str) -> None:
    assert meaning(key, "").canonical == unit


PINT = """
degF degF degC|inHg inch_Hg Pa|psi psi Pa|mmHg mmHg Pa|atm atm Pa
km/h km/hour m/s|kn knot m/s|mph mile/hour m/s|ft/min foot/minute m/s|kWh kWh J|BTU Btu J
kcal kilocalorie J|nmi nautical_mile m|ft foot m|mi mile m|gal gallon m**3|ft3 foot**3 m**3
lb pound kg|oz ounce kg|rad radian degree|rad/s radian/second degree/second
gpm gallon/minute m**3/hour|cfm foot**3/minute m**3/hour|l/s liter/second m**3/hour|mAh mA*hour C
Wh/km Wh/km J/m|hp UK_horsepower W|pCi/L picocurie/liter Bq/m**3|dbar dbar Pa|K kelvin degC
""".replace("\n", "|").strip("|")


@pytest.mark.parametrize("row", PINT.split("|"))
def test_the_factors_are_those_of_pint(row: str) -> None:
    """Pint is a library of units: what both know, both convert alike."""
    spelling, name, target = row.split()
    unit = unit_of(spelling)
    assert unit
    expected = REGISTRY.Quantity(7.0, name).to(target).magnitude
    assert 7.0 * unit.scale + unit.offset == pytest.approx(expected, rel=1e-4)
