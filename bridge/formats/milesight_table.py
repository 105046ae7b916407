"""What channel and type mean in the bytes of Milesight's sensors. A table, nothing else.

From the payload definitions that Milesight publishes by model
(https://github.com/Milesight-IoT/SensorDecoders). A line is channel and type in hex, then what
stands behind them: ``name:unit:read``, where ``u2/10`` is an unsigned number of two bytes in
tenths, ``s`` signed, ``e`` signed with codes of errors, ``f`` and ``h`` floating point, ``d`` a
coordinate, ``a`` an angle whose last bit is a flag, ``x3`` a byte with three switches, ``i`` the
number of a region. ``_2`` are two bytes that measure nothing, and what stands behind ``&`` is
missing where the byte ``?`` is 0.
"""

_T, _H = "temperature:Cel:s2/10", "humidity:%:u1/2"
_PLACE = "latitude:deg:d4/1000000 longitude:deg:d4/1000000"
_ANGLES = (
    "initial_angle_x:deg:s1 initial_angle_y:deg:s1 initial_angle_z:deg:s1"
    " inclination_x:deg:s1 inclination_y:deg:s1 inclination_z:deg:s1"
)
_WATER = "water_conv::u2/10 pulse_conv::u2/10 water::f4"
_REGIONS = " ".join(f"region_{n}_count::u1" for n in range(1, 9))
_MORE_REGIONS = " ".join(f"region_{n}_count::u1" for n in range(9, 17))
_DWELL = "i region_{}_dwell_avg:s:u2 region_{}_dwell_max:s:u2"
_AIR = f"time {_T} humidity:%:u2/2 pir::u1 light_level::u1 co2:ppm:u2"

EVERY = f"""
01 75 battery:%:u1
02 75 battery_2:%:u1
02 67 {_T}
03 67 {_T}
04 67 temperature_2:Cel:s2/10
09 67 {_T}
0A 67 temperature_2:Cel:s2/10
83 67 {_T} temperature_alarm::u1
84 67 temperature_2:Cel:s2/10 temperature_2_alarm::u1
89 67 {_T} temperature_alarm::u1
93 67 {_T} temperature_change:Cel:s2/10 temperature_alarm::u1
83 D7 {_T} temperature_change:Cel:s2/10 temperature_alarm::u1
93 D7 {_T} temperature_change:Cel:s2/10 temperature_alarm::u1
94 D7 temperature_2:Cel:s2/10 temperature_2_change:Cel:s2/10 temperature_2_alarm::u1
B3 67 _1
03 68 {_H}
04 68 {_H}
09 68 {_H}
84 68 {_H} humidity_alarm::u1
94 68 {_H} _1 humidity_alarm::u1
B4 68 _1
B9 68 _1
05 6A activity::u2
06 65 illuminance:lx:u2 infrared_and_visible::u2 infrared::u2
06 CB light_level::u1
06 9D illuminance:lx:u2
86 9D illuminance:lx:u2 illuminance_alarm::u1
B6 CB _1
B6 9D _1
03 94 illuminance:lx:u4
05 7D co2:ppm:u2
07 7D co2:ppm:u2
87 7D co2:ppm:u2 co2_alarm::u1
B7 7D _1
08 7D tvoc::u2
08 E6 tvoc:ug/m3:u2
06 73 pressure:hPa:u2/10
09 73 pressure:hPa:u2/10
03 7B pressure:kPa:u2
0A 7D hcho:mg/m3:u2/100
0B 7D pm2_5:ug/m3:u2
0C 7D pm10:ug/m3:u2
0D 7D o3:ppm:u2/100
0E 01 buzzer::u1
04 CA moisture:%:u2/100
04 7F conductivity:uS/cm:u2
05 7F conductivity:uS/cm:u2
02 82 distance:mm:u2
03 82 distance:mm:u2
04 82 distance:mm:u2
84 82 distance:mm:u2 distance_alarm::u1
94 82 distance:mm:u2 distance_change:mm:u2 distance_alarm::u1
83 E9 distance:mm:u2 distance_change:mm:u2 distance_alarm::u1
B4 82 _3
03 77 depth:cm:u2
04 D6 remaining:%:u1
05 5B _1 noise_level:dB:u2/10 noise_level_eq:dB:u2/10 noise_level_max:dB:u2/10
03 ED liquid=uncalibrated|full|critical:u1
83 ED liquid=uncalibrated|full|critical:u1 liquid_alarm::u1
04 EE _1
03 CF angle_x:deg:s2/100 angle_y:deg:s2/100 angle_z:deg:s2/100 _1
03 D4 angle_x:deg:a2/100 angle_y:deg:a2/100 angle_z:deg:a2/100
04 88 {_PLACE} _1
84 88 {_PLACE} _1
06 88 {_PLACE} _1
03 A1 longitude:deg:d4/1000000 latitude:deg:d4/1000000
04 A2 rssi:dBm:s2/10 snr:dB:s2/10
05 A3 spreading_factor::u1
06 A4 tx_power:dBm:s2/100
06 D9 _9
08 9B {_ANGLES}
03 00 gpio_input_1::u1
04 00 gpio_input_2::u1
05 00 gpio_input_3::u1
06 00 gpio_input_4::u1
03 01 gpio_output_1::u1
04 01 gpio_output_2::u1
03 C8 gpio_counter_1::u4
04 C8 gpio_counter_2::u4
05 C8 gpio_counter_3::u4
06 C8 gpio_counter_4::u4
03 8E occupancy::u1
04 8E _1
05 E1 {_WATER}
06 E1 {_WATER}
85 E1 {_WATER} water_alarm::u1
86 E1 {_WATER} water_alarm::u1
03 74 voltage:V:u2/10
04 80 power:W:u4
05 81 power_factor:%:u1
06 83 energy:Wh:u4
07 C9 current:mA:u2
87 C9 current:mA:u2 current_alarm::u1
08 29 switch:x3
08 31 _1 switch:x8
08 70 socket::u1
88 29 _1
B3 74 _1
B4 80 _1
B5 81 _1
B6 83 _1
B7 C9 _1
FF 29 switch:x3
03 97 total_current:Ah:u4/100
04 98 current:A:u2/100
84 98 current_max:A:u2/100 current_min:A:u2/100 current:A:u2/100 current_alarm::u1
03 D2 total_in::u4
04 D2 total_out::u4
05 CC period_in::u2 period_out::u2
0A EF time
FF 01 _1
FF 08 _6
FF 09 _2
FF 0A _2
FF 0B _1
FF 0F _1
FF 14 _1
FF 15 _1
FF 16 _8
FF 18 _2
FF 1F _4
FF 2B _1
FF 2E button=|short|long|double:u1
FF 34 _1 _1 button=|short|double|long:u1
FF 3F _1
FF A0 _9
FF FE _1
FF FF _2
"""

# Behind the beginning of a model's name in brackets stands what that model means otherwise; what
# stands later counts.
MODELS = f"""
[am103]
20 CE time {_T} {_H} co2:ppm:u2
[am107]
08 7D tvoc:ppb:u2
[am30]
05 00 pir::u1
08 7D tvoc::u2/100
20 CE {_AIR} tvoc::u2/100 pressure:hPa:u2/10
21 CE {_AIR} tvoc:ug/m3:u2 pressure:hPa:u2/10
[am308]
20 CE {_AIR} tvoc::u2/100 pressure:hPa:u2/10 pm2_5:ug/m3:u2 pm10:ug/m3:u2
21 CE {_AIR} tvoc:ug/m3:u2 pressure:hPa:u2/10 pm2_5:ug/m3:u2 pm10:ug/m3:u2
[am319]
05 00 pir::u1
08 7D tvoc::u2/100
20 CE {_AIR} tvoc::u2/100 pressure:hPa:u2/10 pm2_5:ug/m3:u2 pm10:ug/m3:u2 hcho:mg/m3:u2/100
21 CE {_AIR} tvoc:ug/m3:u2 pressure:hPa:u2/10 pm2_5:ug/m3:u2 pm10:ug/m3:u2 hcho:mg/m3:u2/100
[am319-o3]
20 CE {_AIR} tvoc::u2/100 pressure:hPa:u2/10 pm2_5:ug/m3:u2 pm10:ug/m3:u2 o3:ppm:u2/100
21 CE {_AIR} tvoc:ug/m3:u2 pressure:hPa:u2/10 pm2_5:ug/m3:u2 pm10:ug/m3:u2 o3:ppm:u2/100
[at101]
05 00 tilted::u1
07 00 tamper::u1
20 CE time longitude:deg:d4/1000000 latitude:deg:d4/1000000 {_ANGLES}
[ct10]
09 67 temperature:Cel:e2/10
[ct3]
03 97 total_current_1:Ah:u4/100
04 99 current_1:A:u2/10
05 97 total_current_2:Ah:u4/100
06 99 current_2:A:u2/10
07 97 total_current_3:Ah:u4/100
08 99 current_3:A:u2/10
09 67 temperature:Cel:e2/10
84 99 current_1_max:A:u2/10 current_1_min:A:u2/10 current_1:A:u2/10 current_1_alarm::u1
86 99 current_2_max:A:u2/10 current_2_min:A:u2/10 current_2:A:u2/10 current_2_alarm::u1
88 99 current_3_max:A:u2/10 current_3_min:A:u2/10 current_3:A:u2/10 current_3_alarm::u1
[em300-th]
20 CE time {_T} {_H} _1
[em300-mcs]
06 00 magnet::u1
20 CE time {_T} {_H} magnet::u1
[em300-sld]
05 00 leakage::u1
20 CE time {_T} {_H} leakage::u1
[em300-zld]
05 00 leakage::u1
20 CE time {_T} {_H} leakage::u1
[em300-mld]
05 00 leakage::u1
06 00 leakage::u1
20 CE time _3 leakage::u1
[em300-di]
05 00 gpio::u1
85 00 gpio::u1 gpio_alarm::u1
05 C8 pulse::u4
20 CE time {_T} {_H} _2 pulse::u4
21 CE time {_T} {_H} _3 {_WATER}
[em310-udl]
04 00 tilted::u1
[em320-th]
20 CE time {_T} {_H}
[em330-th]
20 CE time {_T} {_H}
[em4]
05 00 tilted::u1
[em410]
20 CE time distance:mm:u2 {_T} distance_change:mm:u2 _1
[em500-co2]
20 CE time co2:ppm:u2 pressure:hPa:u2/10 {_T} {_H}
[em500-lgt]
20 CE time illuminance:lx:u4
[em500-pp]
20 CE time pressure:kPa:u2
[em500-pt]
03 67 temperature:Cel:e2/10
20 CE time temperature:Cel:e2/10
[em500-smt]
03 67 temperature:Cel:e2/10
04 68 moisture:%:u1/2
20 CE time conductivity:uS/cm:u2 temperature:Cel:e2/10 moisture:%:u2/100
[em500-swl]
20 CE time depth:cm:u2
[em500-udl]
20 CE time distance:mm:u2
[gs101]
05 8E gas::u1
06 01 valve::u1
07 01 relay::u1
08 90 life_remaining:s:u4
[gs301]
04 7D nh3:ppm:u2/100
05 7D h2s:ppm:u2/100
06 7D h2s:ppm:u2/1000
07 EA _5
[ts201]
20 CE time _1 {_T} _2
[ts30]
03 67 temperature_1:Cel:s2/10
03 00 magnet_1::u1
04 00 magnet_2::u1
83 67 temperature_1:Cel:s2/10 temperature_1_alarm::u1
93 D7 temperature_1:Cel:s2/10 temperature_1_change:Cel:s2/10 temperature_1_alarm::u1
[uc300]
07 01 gpio_output_1::u1
08 01 gpio_output_2::u1
09 67 pt100_1:Cel:s2/10
0A 67 pt100_2:Cel:s2/10
0B 02 adc_1:mA:u4/100
0C 02 adc_2:mA:u4/100
0D 02 adv_1:V:u4/100
0E 02 adv_2:V:u4/100
09 E2 pt100_1:Cel:h2 pt100_1_max:Cel:h2 pt100_1_min:Cel:h2 pt100_1_avg:Cel:h2
0A E2 pt100_2:Cel:h2 pt100_2_max:Cel:h2 pt100_2_min:Cel:h2 pt100_2_avg:Cel:h2
0B E2 adc_1:mA:h2 adc_1_max:mA:h2 adc_1_min:mA:h2 adc_1_avg:mA:h2
0C E2 adc_2:mA:h2 adc_2_max:mA:h2 adc_2_min:mA:h2 adc_2_avg:mA:h2
0D E2 adv_1:V:h2 adv_1_max:V:h2 adv_1_min:V:h2 adv_1_avg:V:h2
0E E2 adv_2:V:h2 adv_2_max:V:h2 adv_2_min:V:h2 adv_2_avg:V:h2
[uc50]
05 02 adc_1::s2/1000 adc_1_min::s2/1000 adc_1_max::s2/1000 adc_1_avg::s2/1000
06 02 adc_2::s2/1000 adc_2_min::s2/1000 adc_2_max::s2/1000 adc_2_avg::s2/1000
05 E2 adc_1::h2 adc_1_min::h2 adc_1_max::h2 adc_1_avg::h2
06 E2 adc_2::h2 adc_2_min::h2 adc_2_max::h2 adc_2_avg::h2
85 E2 adc_1::h2 adc_1_min::h2 adc_1_max::h2 adc_1_avg::h2 _1
86 E2 adc_2::h2 adc_2_min::h2 adc_2_max::h2 adc_2_avg::h2 _1
95 E2 adc_1::h2 adc_1_min::h2 adc_1_max::h2 adc_1_avg::h2 _5
96 E2 adc_2::h2 adc_2_min::h2 adc_2_max::h2 adc_2_avg::h2 _5
83 C8 gpio_counter_1::u4 _1
84 C8 gpio_counter_2::u4 _1
93 C8 gpio_counter_1::u4 gpio_counter_1_change::u4 _1
94 C8 gpio_counter_2::u4 gpio_counter_2_change::u4 _1
08 DB _37
[uc51]
03 01 valve_1::u1
04 C8 valve_1_pulse::u4
05 01 valve_2::u1
06 C8 valve_2_pulse::u4
07 01 gpio_1::u1
08 01 gpio_2::u1
20 CE time _1 pulse::u4
[uc521]
03 F6 _1 valve_1_opening:%:u1
04 C8 valve_1_pulse::u4
05 F6 _1 valve_2_opening:%:u1
06 C8 valve_2_pulse::u4
07 01 gpio_1::u1
08 01 gpio_2::u1
09 7B pressure_1:kPa:u2
0A 7B pressure_2:kPa:u2
0D E3 _4
0E 01 valve_1_opening_duration:s:u1
0F 01 valve_2_opening_duration:s:u1
B3 F6 _2
B5 F6 _2
B9 7B _1
BA 7B _1
[vs121]
04 C9 people_count::u1 _3
05 CC people_in::u2 people_out::u2
06 CD people_count_max::u1
07 D5 {_REGIONS}
08 D5 {_MORE_REGIONS}
09 DA a_to_a::u2 a_to_b::u2 a_to_c::u2 a_to_d::u2
0A DA b_to_a::u2 b_to_b::u2 b_to_c::u2 b_to_d::u2
0B DA c_to_a::u2 c_to_b::u2 c_to_c::u2 c_to_d::u2
0C DA d_to_a::u2 d_to_b::u2 d_to_c::u2 d_to_d::u2
0D CC total_in::u2 total_out::u2
0E E4 {_DWELL}
0F 85 time
[vs133]
03 D2 line_1_total_in::u4
04 D2 line_1_total_out::u4
05 CC line_1_period_in::u2 line_1_period_out::u2
06 D2 line_2_total_in::u4
07 D2 line_2_total_out::u4
08 CC line_2_period_in::u2 line_2_period_out::u2
09 D2 line_3_total_in::u4
0A D2 line_3_total_out::u4
0B CC line_3_period_in::u2 line_3_period_out::u2
0C D2 line_4_total_in::u4
0D D2 line_4_total_out::u4
0E CC line_4_period_in::u2 line_4_period_out::u2
0F E3 region_1_count::u1 region_2_count::u1 region_3_count::u1 region_4_count::u1
10 E4 {_DWELL}
[vs34]
03 00 occupancy::u1
[vs35]
04 CC total_in::u2 total_out::u2
84 CC total_in::u2 total_out::u2 total_alarm::u1
85 CC period_in::u2 period_out::u2 period_alarm::u1
20 CE time ? period_in::u2 period_out::u2 & total_in::u2 total_out::u2
[vs36]
03 F4 _2
04 CC total_in::u2 total_out::u2
84 CC total_in::u2 total_out::u2 total_alarm::u1
85 CC period_in::u2 period_out::u2 period_alarm::u1
20 CE time ? period_in::u2 period_out::u2 & total_in::u2 total_out::u2
[vs37]
03 00 occupancy::u1
04 00 bright::u1
[ws202]
03 00 pir::u1
04 00 daylight::u1
[ws203]
05 00 occupancy::u1
20 CE time _1 occupancy::u1 {_T} {_H}
[ws301]
03 00 magnet::u1
04 00 tamper::u1
[ws303]
03 00 leakage::u1
[wt101]
04 67 target_temperature:Cel:s2/10
05 92 valve_opening:%:u1
06 00 tamper::u1
07 00 window_open::u1
08 E5 _1
09 90 motor_stroke::u2
0A 00 freeze_protection::u1
0B 90 motor_position::u2
[wt201]
04 67 target_temperature:Cel:s2/10
05 E7 _1
06 E8 _1
07 BC _1
08 8E system::u1
0A 6E _1
FF C9 _6
FF CA _3
FF CB _3
FF F6 _1
"""
