"""Quantities and units: one canonical unit for each quantity, and what a key says about both.

Only values in and out: no I/O, no clock. Names of units follow UCUM and SenML. A value as sent
becomes canonical by ``value * scale + offset``. `meaning` is the one door: from a name and a
unit as sent to the channel, its canonical unit, the factors and the physical range.

>>> meaning("tempF", "").channel, meaning("tempF", "").canonical
('temperature', 'Cel')
"""

import re
import sys
from dataclasses import dataclass
from functools import lru_cache

LONGEST = 48  # characters of a key that is interpreted
WIDEST = sys.float_info.max
# canonical unit, scale, offset, and how people spell the unit they send
_UNITS: tuple[tuple[str, float, float, str], ...] = (
    ("Cel", 1, 0, "Cel C degC °C ºC ℃ celsius degcelsius degreesC degreesCelsius centigrade"),
    ("Cel", 5 / 9, -160 / 9, "degF F °F ºF ℉ [degF] fahrenheit degreesF degreesFahrenheit"),
    ("Cel", 1, -273.15, "K kelvin degK °K"),
    ("Pa", 1, 0, "Pa pascal pascals"),
    ("Pa", 100, 0, "hPa mbar mb millibar hectopascal"),
    ("Pa", 1000, 0, "kPa kilopascal"),
    ("Pa", 1e6, 0, "MPa"),
    ("Pa", 1e5, 0, "bar"),
    ("Pa", 3386.389, 0, "inHg in_Hg [in_i'Hg] inchHg"),
    ("Pa", 133.322387415, 0, "mmHg m[Hg] torr"),
    ("Pa", 6894.757293168, 0, "psi [psi]"),
    ("%", 1, 0, "% percent pct perc prct %RH %rel RH rh% %r.H. percentage ％"),
    ("%", 0.1, 0, "‰ permille"),
    ("m/s", 1, 0, "m/s mps ms-1 m.s-1 meterspersecond"),
    ("m/s", 1 / 3.6, 0, "km/h kmh kph kmph km/hr kmhr kilometersperhour"),
    ("m/s", 1852 / 3600, 0, "kn kt kts knot knots [kn_i]"),
    ("m/s", 0.44704, 0, "mph mi/h [mi_i]/h"),
    ("m/s", 0.3048, 0, "ft/s fps"),
    ("V", 1, 0, "V volt volts Vdc Vac"),
    ("V", 1e-3, 0, "mV millivolt millivolts"),
    ("V", 1e3, 0, "kV"),
    ("A", 1, 0, "A amp amps ampere amperes"),
    ("A", 1e-3, 0, "mA milliamp milliamps"),
    ("A", 1e-6, 0, "uA µA μA"),
    ("W", 1, 0, "W watt watts"),
    ("W", 1e-3, 0, "mW milliwatt"),
    ("W", 1e3, 0, "kW kilowatt"),
    ("W", 1e6, 0, "MW megawatt"),
    ("VA", 1, 0, "VA"),
    ("VA", 1e3, 0, "kVA"),
    ("var", 1, 0, "var VAr"),
    ("var", 1e3, 0, "kvar kVAr"),
    ("J", 1, 0, "J joule joules Ws"),
    ("J", 3600, 0, "Wh W.h watthour watthours"),
    ("J", 3.6e6, 0, "kWh kW.h kilowatthour kilowatthours"),
    ("J", 3.6e9, 0, "MWh"),
    ("J", 1e6, 0, "MJ"),
    ("J", 1e9, 0, "GJ"),
    ("Hz", 1, 0, "Hz hertz"),
    ("Hz", 1e3, 0, "kHz"),
    ("Hz", 1e6, 0, "MHz"),
    ("m", 1, 0, "m meter meters metre metres"),
    ("m", 1e3, 0, "km kilometer kilometers kilometre kilometres"),
    ("m", 1e-2, 0, "cm centimeter centimeters"),
    ("m", 1e-3, 0, "mm millimeter millimeters l/m2 l/m²"),
    ("m", 0.0254, 0, 'in inch inches [in_i] "'),
    ("m", 0.3048, 0, "ft foot feet [ft_i]"),
    ("m", 1609.344, 0, "mi mile miles [mi_i]"),
    ("m", 1852, 0, "nmi [nmi_i]"),
    ("mm/h", 1, 0, "mm/h mm/hr mmh"),
    ("mm/h", 25.4, 0, "in/h in/hr inh"),
    ("deg", 1, 0, "deg ° º degree degrees"),
    ("deg", 57.29577951308232, 0, "rad radian radians"),
    ("deg/s", 1, 0, "deg/s °/s dps"),
    ("deg/s", 57.29577951308232, 0, "rad/s"),
    ("deg/s", 1 / 60, 0, "deg/min °/min"),
    ("lx", 1, 0, "lx lux"),
    ("lx", 1e3, 0, "klx klux"),
    ("W/m2", 1, 0, "W/m2 W/m² W/m^2 wm2"),
    ("ppm", 1, 0, "ppm [ppm]"),
    ("ppm", 1e-3, 0, "ppb [ppb]"),
    ("ug/m3", 1, 0, "ug/m3 µg/m³ μg/m³ µg/m3 μg/m3 ug/m³ ug/m^3 µg/m^3 ugm3"),
    ("ug/m3", 1e3, 0, "mg/m3 mg/m³ mg/m^3"),
    ("dBm", 1, 0, "dBm dBmW"),
    ("dB", 1, 0, "dB decibel decibels dB(A) dBA"),
    ("uS/cm", 1, 0, "uS/cm µS/cm μS/cm uscm"),
    ("uS/cm", 1e3, 0, "mS/cm dS/m"),
    ("uS/cm", 1e4, 0, "S/m"),
    ("m/s2", 1, 0, "m/s2 m/s² m/s^2 ms-2"),
    ("m/s2", 9.80665, 0, "g_n [g]"),
    ("m/s2", 9.80665e-3, 0, "mg_n m[g]"),
    ("s", 1, 0, "s sec secs second seconds"),
    ("s", 1e-3, 0, "ms msec millisecond milliseconds millis"),
    ("s", 60, 0, "min mins minute minutes"),
    ("s", 3600, 0, "h hr hrs hour hours"),
    ("s", 86400, 0, "d day days"),
    ("kg", 1, 0, "kg kilogram kilograms"),
    ("kg", 1e-3, 0, "g gram grams"),
    ("m3", 1, 0, "m3 m³ m^3"),
    ("m3", 1e-3, 0, "l L liter liters litre litres"),
    ("m3/h", 1, 0, "m3/h m³/h m^3/h"),
    ("m3/h", 1e-3, 0, "l/h"),
    ("m3/h", 0.06, 0, "l/min lpm"),
    ("m3/h", 3600, 0, "m3/s m³/s"),
    ("Ohm", 1, 0, "Ohm ohms Ω"),
    ("Ohm", 1e3, 0, "kOhm kOhms kΩ"),
    ("uT", 1, 0, "uT µT μT"),
    ("1/min", 1, 0, "1/min rpm r/min"),
    ("pH", 1, 0, "pH"),
)
# channel; canonical unit; unit meant where none is named ("": too many are in use to guess);
# physical range in the canonical unit; and the keys that people use for it
_QUANTITIES: tuple[tuple[str, str, str, float, float, str], ...] = (
    ("temperature", "Cel", "Cel", -273.15, 3000, "temperature temp tmp tempc celsius"),
    ("dew_point", "Cel", "Cel", -273.15, 200, "dewpoint dew dewpt dewpointtemperature"),
    ("heat_index", "Cel", "Cel", -273.15, 200, "heatindex feelslike apparenttemperature"),
    ("wind_chill", "Cel", "Cel", -273.15, 200, "windchill"),
    ("humidity", "%", "%", 0, 100, "humidity hum humid relativehumidity rhum rh relhum"),
    ("moisture", "%", "%", 0, 100, "moisture moist moi soilmoisture soilmoist soilhumidity"),
    (
        "battery",
        "%",
        "%",
        0,
        100,
        "battery batt bat batterylevel batterypercent batterypercentage batterypct batlevel soc",
    ),
    (
        "battery_voltage",
        "V",
        "V",
        0,
        2000,
        "batteryvoltage batteryv battv batv vbat vbatt batvoltage battvoltage batvolt battvolt",
    ),
    (
        "pressure",
        "Pa",
        "",
        0,
        1e10,
        "pressure pres press baro barom barometer airpressure"
        " barometricpressure atmosphericpressure atmpressure",
    ),
    (
        "illuminance",
        "lx",
        "lx",
        0,
        1e6,
        "illuminance lux lx illumination lightlux illuminancelux ambientlight",
    ),
    ("light", "lx", "", 0, 1e6, "light brightness"),
    ("solar_radiation", "W/m2", "W/m2", 0, 1e4, "solarradiation irradiance solarrad"),
    ("co2", "ppm", "ppm", 0, 1e6, "co2 carbondioxide eco2 rco2"),
    ("co", "ppm", "ppm", 0, 1e6, "co carbonmonoxide"),
    ("ch4", "ppm", "ppm", 0, 1e6, "ch4 methane"),
    ("voc", "ppm", "", 0, 1e6, "voc tvoc"),
    ("pm1", "ug/m3", "ug/m3", 0, 1e5, "pm1 pm01 pm1p0"),
    ("pm2_5", "ug/m3", "ug/m3", 0, 1e5, "pm25 pm02 pm2p5"),
    ("pm10", "ug/m3", "ug/m3", 0, 1e5, "pm10"),
    ("voltage", "V", "V", -1e7, 1e7, "voltage volt volts vcc vdd supplyvoltage"),
    ("current", "A", "A", -1e6, 1e6, "current amperage amps"),
    ("power", "W", "W", -1e10, 1e10, "power watts activepower apower wattage"),
    ("energy", "J", "", -1e18, 1e18, "energy energytotal totalenergy consumption"),
    ("frequency", "Hz", "Hz", 0, 1e12, "frequency freq hertz"),
    ("speed", "m/s", "m/s", -3e8, 3e8, "speed vel velocity spd groundspeed speedoverground"),
    ("wind_speed", "m/s", "m/s", 0, 200, "windspeed wind windavg windspeedavg"),
    ("wind_gust", "m/s", "m/s", 0, 200, "windgust gust"),
    ("wind_direction", "deg", "deg", 0, 360, "winddirection winddir"),
    ("course", "deg", "deg", 0, 360, "course cog heading bearing courseoverground"),
    ("altitude", "m", "m", -12000, 4e8, "altitude alt elevation"),
    ("accuracy", "m", "m", 0, 1e8, "accuracy horizontalaccuracy gpsaccuracy hacc"),
    ("vertical_accuracy", "m", "m", 0, 1e8, "verticalaccuracy vacc"),
    ("depth", "m", "m", -12000, 1e5, "depth waterdepth"),
    ("distance", "m", "", 0, 1e15, "distance dist range"),
    ("rain", "m", "", 0, 100, "rain rainfall precipitation"),
    ("rain_rate", "mm/h", "", 0, 1e4, "rainrate rainintensity"),
    ("flow", "m3/h", "", -1e9, 1e9, "flow flowrate waterflow"),
    ("volume", "m3", "", -1e12, 1e12, "volume"),
    ("weight", "kg", "", -1e9, 1e9, "weight mass"),
    ("conductivity", "uS/cm", "", 0, 1e9, "conductivity"),
    ("fertility", "uS/cm", "", 0, 1e9, "fertility"),
    ("acceleration", "m/s2", "", -1e6, 1e6, "acceleration accel"),
    ("rssi", "dBm", "dBm", -200, 100, "rssi wifirssi signalstrength"),
    ("snr", "dB", "dB", -200, 200, "snr lorasnr"),
    ("noise_level", "dB", "", -200, 300, "noiselevel soundlevel"),
    ("resistance", "Ohm", "", 0, 1e15, "resistance"),
    ("ph", "pH", "pH", -2, 16, "ph"),
)
# Quantities whose name keeps its sense behind any other word: "kitchen_temp", but not "fan_speed".
_BEHIND = (
    "temperature dew_point humidity moisture battery battery_voltage pressure illuminance"
    " solar_radiation co2 voltage pm2_5 pm10 altitude rssi wind_speed"
)
_QUALIFIABLE = frozenset(_BEHIND.split())
_BEFORE = "min max avg mean in out indoor outdoor inside outside total l1 l2 l3 ch1 ch2 now"
_QUALIFIERS = frozenset(_BEFORE.split())
_RENAMED = {("battery", "V"): "battery_voltage", ("light", "lx"): "illuminance"}
# Suffixes that are also ordinary words or letters count only behind a quantity they fit.
_ORDINARY = "in d day days min mins bar mi h hr g l s ms sec ph rh deg mb m foot"
_WORDS_TOO = frozenset(_ORDINARY.split())


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as sent: which canonical unit it becomes, and how."""

    canonical: str
    scale: float
    offset: float


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is measured, its canonical unit, the one meant where none is named, its range."""

    channel: str
    canonical: str
    default: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name and a unit as sent say about a number."""

    channel: str
    unit: str  # as sent, in the unit's place or in the name; "" where neither says
    canonical: str  # of value * scale + offset; "" unknown
    scale: float = 1.0
    offset: float = 0.0
    low: float = -WIDEST  # outside low..high no such quantity exists
    high: float = WIDEST


_EXACT = {s: Unit(c, float(k), float(o)) for c, k, o, many in _UNITS for s in many.split()}
_FOLDED: dict[str, Unit] = {}
for _spelling, _unit in _EXACT.items():
    _FOLDED.setdefault(_spelling.casefold(), _unit)
_NAMES = {
    key: Quantity(channel, canonical, default, low, high)
    for channel, canonical, default, low, high, keys in _QUANTITIES
    for key in keys.split()
}
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_APART = re.compile(r"[\W_]+")
_NUMBERED = re.compile(r"(.*?[^\W\d])_?(\d{1,3})")


def unit_of(sent: str) -> Unit | None:
    """The unit that a spelling means, or None.

    >>> unit_of("km/h").canonical
    'm/s'
    """
    text = sent.strip()
    return _EXACT.get(text) or _FOLDED.get(text.replace(" ", "").casefold())


def canonical_unit(sent: str) -> str:
    """The canonical unit of a unit as sent; an unknown one stays as it is.

    >>> canonical_unit("°F"), canonical_unit("widgets")
    ('Cel', 'widgets')
    """
    unit = unit_of(sent)
    return unit.canonical if unit else sent


@lru_cache(maxsize=4096)
def snake(name: str) -> str:
    """A name in snake_case, ``.`` kept between the parts of a path.

    >>> snake("outdoorTemp.Bat-V")
    'outdoor_temp.bat_v'
    """
    return ".".join(_snake_part(part) for part in name.split("."))


def squash(name: str) -> str:
    """A name without case and punctuation, for looking it up."""
    return _APART.sub("", name).lower()


def known(name: str) -> bool:
    """Whether a key names a quantity."""
    return _quantity(name)[0] is not None


@lru_cache(maxsize=8192)
def meaning(name: str, unit: str) -> Meaning:
    """What a path's last part and the unit as sent say: channel, canonical unit, factors, range.

    >>> meaning("computed.heat_index", "").channel
    'computed.heat_index'
    >>> meaning("pressure_kPa", "").scale
    1000.0
    """
    prefix, _, key = name.rpartition(".")
    quantity, channel, suffix = _quantity(key)
    path = f"{snake(prefix)}." if prefix else ""
    if unit:
        return _with_unit(quantity, path, channel if quantity else _snake_part(key), unit)
    if suffix:
        return _with_unit(quantity, path, channel, suffix)
    if quantity is None or not quantity.default:
        return Meaning(path + channel, "", "")
    return Meaning(path + channel, "", quantity.canonical, low=quantity.low, high=quantity.high)


def _with_unit(quantity: Quantity | None, path: str, channel: str, sent: str) -> Meaning:
    unit = unit_of(sent)
    if quantity and quantity.canonical == "m/s2" and sent in ("g", "mg"):
        unit = unit_of(f"{sent}_n")  # standard gravity, not grams
    if unit is None:
        return Meaning(path + channel, sent, sent)
    channel = _RENAMED.get((channel, unit.canonical), channel)
    if quantity is None or quantity.canonical != unit.canonical:
        return Meaning(path + channel, sent, unit.canonical, unit.scale, unit.offset)
    low, high = quantity.low, quantity.high
    return Meaning(path + channel, sent, unit.canonical, unit.scale, unit.offset, low, high)


@lru_cache(maxsize=8192)
def _quantity(key: str) -> tuple[Quantity | None, str, str]:
    """What a key measures (None: unknown), the channel's name, and the unit in the key."""
    exact = _NAMES.get(squash(key))
    if exact or len(key) > LONGEST:
        return exact, exact.channel if exact else _snake_part(key), ""
    head, unit = _suffix(key)
    if unit:
        quantity, channel = _named(head)
        return quantity, channel, unit
    quantity, channel = _named(key)
    return (quantity, channel, "") if quantity else _glued(key)


def _suffix(key: str) -> tuple[str, str]:
    """A key before its unit, and the unit: ``temp-C``, ``tempF``, ``pressure_kPa``."""
    for cut in _cuts(key):
        head, unit = key[:cut].rstrip("_- ("), key[cut:].strip("_- ()")
        found = unit_of(unit) if head else None
        if found and _plausible(head, unit, found):
            return head, unit
    return key, ""


def _cuts(key: str) -> list[int]:
    apart = [match.end() for match in re.finditer(r"[\s_(-]+", key)][-2:]
    return sorted({*apart, *(match.start() for match in _CAMEL.finditer(key))})[-3:]


def _plausible(head: str, spelling: str, unit: Unit) -> bool:
    quantity, _ = _named(head)
    if quantity is not None and quantity.canonical == unit.canonical:
        return True
    return len(spelling) > 1 and spelling.lower() not in _WORDS_TOO


def _named(key: str) -> tuple[Quantity | None, str]:
    """A key without unit: the quantity, by all its words, its last or its first ones."""
    name = _snake_part(key)
    exact = _NAMES.get(squash(key))
    if exact:
        return exact, exact.channel
    numbered = _NUMBERED.fullmatch(name)
    if numbered:
        quantity, channel = _named(numbered[1])
        return quantity, f"{channel}_{numbered[2]}" if quantity else name
    words = name.split("_")
    for cut in range(1, min(len(words), 6)):
        last = _NAMES.get("".join(words[cut:]))
        if last and last.channel in _QUALIFIABLE:
            return last, "_".join([*words[:cut], last.channel])
        first = _NAMES.get("".join(words[:-cut]))
        if first and _QUALIFIERS.issuperset(words[-cut:]):
            return first, "_".join([first.channel, *words[-cut:]])
    return None, name


def _glued(key: str) -> tuple[Quantity | None, str, str]:
    """``tempf``, ``windspeedmph``, ``temp1f``: a quantity and a unit that fits, written as one."""
    flat = squash(key)
    for cut in range(len(flat) - 1, max(2, len(flat) - 9), -1):
        unit = _FOLDED.get(flat[cut:])
        stem = flat[:cut].rstrip("0123456789")
        quantity = _NAMES.get(flat[:cut]) or _NAMES.get(stem) if unit else None
        if unit and quantity and quantity.canonical == unit.canonical:
            number = "" if flat[:cut] in _NAMES else flat[len(stem) : cut]
            return quantity, "_".join(filter(None, (quantity.channel, number))), flat[cut:]
    return None, _snake_part(key), ""


def _snake_part(part: str) -> str:
    return _APART.sub("_", _CAMEL.sub("_", part)).strip("_").lower() or "_"
