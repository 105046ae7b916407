"""What devices measure, and the keys that people use for it. A table, nothing else."""

# channel; canonical unit; unit meant where none is named ("": too many are in use to guess);
# physical range in the canonical unit; keys that are called by the channel's name; and other keys
# for it, which keep their own
QUANTITIES: tuple[tuple[str, str, str, float, float, str, str], ...] = (
    ("temperature", "Cel", "Cel", -273.15, 3000, "temperature temp tempc", "tmp celsius degc"),
    ("dew_point", "Cel", "Cel", -273.15, 200, "dewpoint dew", "dewpt dewpointtemperature"),
    (
        "heat_index",
        "Cel",
        "Cel",
        -273.15,
        200,
        "heatindex",
        "feelslike apparenttemperature apparenttemp",
    ),
    ("wind_chill", "Cel", "Cel", -273.15, 200, "windchill", ""),
    ("humidity", "%", "%", 0, 100, "humidity hum relativehumidity rhum rh", "humid relhum humi"),
    ("moisture", "%", "%", 0, 100, "moisture moi soilmoisture", "moist soilmoist soilhumidity"),
    (
        "battery",
        "%",
        "%",
        0,
        100,
        "battery batt batterylevel batterypercent batterypercentage batterypct",
        "bat batlevel soc stateofcharge batterycharge",
    ),
    (
        "battery_voltage",
        "V",
        "V",
        0,
        2000,
        "batteryvoltage batteryv",
        "battv batv vbat vbatt batvoltage battvoltage batvolt battvolt batteryvolt",
    ),
    (
        "pressure",
        "Pa",
        "",
        0,
        10000000000.0,
        "pressure pres airpressure barometricpressure",
        "press baro barom barometer atmosphericpressure atmpressure pressuremsl sealevelpressure",
    ),
    (
        "illuminance",
        "lx",
        "lx",
        0,
        1000000.0,
        "illuminance lux lightlux illuminancelux",
        "lx illumination ambientlight lightlevellux",
    ),
    ("light", "lx", "", 0, 1000000.0, "light", "brightness"),
    ("solar_radiation", "W/m2", "W/m2", 0, 10000.0, "solarradiation", "irradiance solarrad ghi"),
    ("co2", "ppm", "ppm", 0, 1000000.0, "co2 carbondioxide rco2", "eco2"),
    ("co", "ppm", "ppm", 0, 1000000.0, "co", "carbonmonoxide"),
    ("ch4", "ppm", "ppm", 0, 1000000.0, "ch4", "methane"),
    ("voc", "ppm", "", 0, 1000000.0, "voc", "tvoc"),
    ("no2", "ppm", "", 0, 1000000.0, "no2", "nitrogendioxide"),
    ("o3", "ppm", "", 0, 1000000.0, "o3", "ozone"),
    ("so2", "ppm", "", 0, 1000000.0, "so2", "sulfurdioxide sulphurdioxide"),
    ("formaldehyde", "ppm", "", 0, 1000000.0, "formaldehyde", "hcho formaldehyd"),
    ("pm1", "ug/m3", "ug/m3", 0, 100000.0, "pm1 pm01", "pm1p0"),
    ("pm2_5", "ug/m3", "ug/m3", 0, 100000.0, "pm25 pm02 pm2p5", ""),
    ("pm4", "ug/m3", "ug/m3", 0, 100000.0, "pm4", "pm04 pm40"),
    ("pm10", "ug/m3", "ug/m3", 0, 100000.0, "pm10", ""),
    ("voltage", "V", "V", -10000000.0, 10000000.0, "voltage volt", "volts vcc vdd supplyvoltage"),
    ("current", "A", "A", -1000000.0, 1000000.0, "current amperage", "amps"),
    ("power", "W", "W", -10000000000.0, 10000000000.0, "power activepower apower", "watts wattage"),
    ("apparent_power", "VA", "VA", -10000000000.0, 10000000000.0, "apparentpower", "aprtpower"),
    ("reactive_power", "var", "var", -10000000000.0, 10000000000.0, "reactivepower", ""),
    ("energy", "J", "", -1e18, 1e18, "energy energytotal", "totalenergy consumption"),
    ("frequency", "Hz", "Hz", 0, 1000000000000.0, "frequency", "freq hertz"),
    (
        "speed",
        "m/s",
        "m/s",
        -300000000.0,
        300000000.0,
        "speed vel velocity spd groundspeed speedoverground",
        "",
    ),
    ("speed", "m/s", "", -300000000.0, 300000000.0, "", "sog"),
    ("wind_speed", "m/s", "m/s", 0, 200, "windspeed windavg", "wind windspeedavg"),
    ("wind_gust", "m/s", "m/s", 0, 200, "windgust", "gust windmax windgustspeed"),
    ("wind_direction", "deg", "deg", 0, 360, "winddirection winddir winddirdeg", "windbearing"),
    (
        "course",
        "deg",
        "deg",
        0,
        360,
        "course cog heading bearing courseoverground",
        "hdg headingdeg",
    ),
    ("tilt", "deg", "", -360, 360, "tilt", "pitch roll yaw inclination"),
    ("altitude", "m", "m", -12000, 400000000.0, "altitude alt elevation", "altitudemsl"),
    ("accuracy", "m", "m", 0, 100000000.0, "accuracy horizontalaccuracy", "gpsaccuracy hacc"),
    ("vertical_accuracy", "m", "m", 0, 100000000.0, "verticalaccuracy", "vacc"),
    ("depth", "m", "m", -12000, 100000.0, "depth waterdepth", ""),
    ("water_level", "m", "", -12000, 100000.0, "waterlevel", ""),
    ("distance", "m", "", 0, 1000000000000000.0, "distance", "dist range"),
    ("rain", "m", "", 0, 100, "rain rainfall", "precipitation"),
    ("snow_depth", "m", "", 0, 100, "snowdepth", "snow"),
    ("rain_rate", "mm/h", "", 0, 10000.0, "rainrate", "rainintensity"),
    ("flow", "m3/h", "", -1000000000.0, 1000000000.0, "flow", "flowrate waterflow"),
    ("volume", "m3", "", -1000000000000.0, 1000000000000.0, "volume", ""),
    ("weight", "kg", "", -1000000000.0, 1000000000.0, "weight", "mass"),
    ("torque", "N.m", "", -1000000000.0, 1000000000.0, "torque", ""),
    ("conductivity", "uS/cm", "", 0, 1000000000.0, "conductivity", ""),
    ("fertility", "uS/cm", "", 0, 1000000000.0, "fertility", ""),
    ("acceleration", "m/s2", "", -1000000.0, 1000000.0, "acceleration", "accel"),
    (
        "angular_rate",
        "deg/s",
        "",
        -1000000.0,
        1000000.0,
        "",
        "gyro gyroscope angularvelocity turnrate",
    ),
    ("magnetic_field", "uT", "", -1000000000.0, 1000000000.0, "magneticfield", "magnetometer mag"),
    ("rotational_speed", "1/min", "1/min", -10000000.0, 10000000.0, "rotationalspeed", "rpm"),
    ("heart_rate", "1/min", "1/min", 0, 1000, "heartrate", "pulserate"),
    ("rssi", "dBm", "dBm", -200, 100, "rssi", "wifirssi signalstrength rsrp"),
    ("snr", "dB", "dB", -200, 200, "snr", "lorasnr"),
    ("noise_level", "dB", "", -200, 300, "noiselevel", "soundlevel soundpressurelevel"),
    ("resistance", "Ohm", "", 0, 1000000000000000.0, "resistance", ""),
    ("radon", "Bq/m3", "", 0, 1000000000.0, "radon", ""),
    ("radiation", "uSv/h", "", 0, 1000000000.0, "radiation", "doserate"),
    ("turbidity", "NTU", "", 0, 1000000.0, "turbidity", ""),
    ("dissolved_oxygen", "mg/l", "", 0, 10000.0, "dissolvedoxygen", ""),
    ("ph", "pH", "pH", -2, 16, "ph", "phvalue"),
)
# Quantities whose name keeps its sense behind any other word: "kitchen_temp", but not "fan_speed".
BEHIND = (
    "temperature dew_point humidity moisture battery battery_voltage pressure illuminance"
    " solar_radiation co2 voltage current pm2_5 pm10 altitude rssi wind_speed wind_gust"
    " wind_direction apparent_power reactive_power power"
)
# Words behind or below a quantity that leave it one: "temp_min", {"temp": {"min": 1}}.
QUALIFIERS = (
    "min max avg mean in out indoor outdoor inside outside total l1 l2 l3 ch1 ch2 now last actual"
    " average median raw measured reading std env cf1 atm ambient now sum minimum maximum value"
)
PARTS = "x y z a b c l1 l2 l3 n"  # of a quantity with directions or phases
# Suffixes that are also ordinary words or letters count only behind a quantity they fit.
ORDINARY = (
    "in d day days min mins bar mi h hr g l s ms sec ph rh deg mb m foot at atm ratio count counts"
    " bit bits b byte bytes gal el t n hp us ppt as dd pf nf uf um second minute hour p1 gq cel amp"
)
