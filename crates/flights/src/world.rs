//! Airports (public facts), aircraft types, and airlines (invented).

/// An airport.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Airport {
    /// IATA code, three letters.
    pub iata: &'static str,
    /// ICAO code, four letters.
    pub icao: &'static str,
    /// Name in English.
    pub name: &'static str,
    /// Country in English.
    pub country: &'static str,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Feet above the sea.
    pub elevation_ft: i32,
}

const fn at(
    iata: &'static str,
    icao: &'static str,
    name: &'static str,
    country: &'static str,
    latitude: f64,
    longitude: f64,
    elevation_ft: i32,
) -> Airport {
    Airport { iata, icao, name, country, latitude, longitude, elevation_ft }
}

/// Sixty airports of all continents.
#[rustfmt::skip]
pub const AIRPORTS: &[Airport] = &[
    at("AMS", "EHAM", "Amsterdam Schiphol", "Netherlands", 52.3086, 4.7639, -11),
    at("ARN", "ESSA", "Stockholm Arlanda", "Sweden", 59.6519, 17.9186, 137),
    at("ATH", "LGAV", "Athens International", "Greece", 37.9364, 23.9445, 308),
    at("ATL", "KATL", "Hartsfield-Jackson Atlanta International", "United States", 33.6367, -84.4281, 1026),
    at("AUH", "OMAA", "Zayed International", "United Arab Emirates", 24.4330, 54.6511, 88),
    at("BCN", "LEBL", "Barcelona-El Prat", "Spain", 41.2971, 2.0785, 12),
    at("BER", "EDDB", "Berlin Brandenburg", "Germany", 52.3667, 13.5033, 157),
    at("BKK", "VTBS", "Suvarnabhumi", "Thailand", 13.6811, 100.7473, 5),
    at("BOG", "SKBO", "El Dorado International", "Colombia", 4.7016, -74.1469, 8361),
    at("BOM", "VABB", "Chhatrapati Shivaji Maharaj International", "India", 19.0887, 72.8679, 39),
    at("BOS", "KBOS", "Boston Logan International", "United States", 42.3643, -71.0052, 20),
    at("BRU", "EBBR", "Brussels", "Belgium", 50.9014, 4.4844, 184),
    at("CAI", "HECA", "Cairo International", "Egypt", 30.1219, 31.4056, 382),
    at("CDG", "LFPG", "Paris Charles de Gaulle", "France", 49.0128, 2.5500, 392),
    at("CPH", "EKCH", "Copenhagen", "Denmark", 55.6179, 12.6560, 17),
    at("CPT", "FACT", "Cape Town International", "South Africa", -33.9648, 18.6017, 151),
    at("DEL", "VIDP", "Indira Gandhi International", "India", 28.5665, 77.1031, 777),
    at("DEN", "KDEN", "Denver International", "United States", 39.8617, -104.6731, 5431),
    at("DFW", "KDFW", "Dallas Fort Worth International", "United States", 32.8968, -97.0380, 607),
    at("DOH", "OTHH", "Hamad International", "Qatar", 25.2731, 51.6081, 13),
    at("DUB", "EIDW", "Dublin", "Ireland", 53.4213, -6.2701, 242),
    at("DXB", "OMDB", "Dubai International", "United Arab Emirates", 25.2528, 55.3644, 62),
    at("EZE", "SAEZ", "Ministro Pistarini International", "Argentina", -34.8222, -58.5358, 67),
    at("FCO", "LIRF", "Rome Fiumicino", "Italy", 41.8003, 12.2389, 13),
    at("FRA", "EDDF", "Frankfurt am Main", "Germany", 50.0333, 8.5706, 364),
    at("GIG", "SBGL", "Rio de Janeiro Galeao", "Brazil", -22.8100, -43.2506, 28),
    at("GRU", "SBGR", "Sao Paulo Guarulhos", "Brazil", -23.4356, -46.4731, 2461),
    at("HEL", "EFHK", "Helsinki-Vantaa", "Finland", 60.3172, 24.9633, 179),
    at("HKG", "VHHH", "Hong Kong International", "China", 22.3089, 113.9150, 28),
    at("HND", "RJTT", "Tokyo Haneda", "Japan", 35.5523, 139.7800, 35),
    at("IAD", "KIAD", "Washington Dulles International", "United States", 38.9445, -77.4558, 312),
    at("ICN", "RKSI", "Incheon International", "Republic of Korea", 37.4691, 126.4505, 23),
    at("IST", "LTFM", "Istanbul", "Turkey", 41.2753, 28.7519, 325),
    at("JFK", "KJFK", "John F. Kennedy International", "United States", 40.6398, -73.7789, 13),
    at("JNB", "FAOR", "O. R. Tambo International", "South Africa", -26.1392, 28.2460, 5558),
    at("KEF", "BIKF", "Keflavik International", "Iceland", 63.9850, -22.6056, 171),
    at("KUL", "WMKK", "Kuala Lumpur International", "Malaysia", 2.7456, 101.7099, 69),
    at("LAX", "KLAX", "Los Angeles International", "United States", 33.9425, -118.4081, 125),
    at("LHR", "EGLL", "London Heathrow", "United Kingdom", 51.4706, -0.4619, 83),
    at("LIM", "SPJC", "Jorge Chavez International", "Peru", -12.0219, -77.1143, 113),
    at("LIS", "LPPT", "Lisbon Humberto Delgado", "Portugal", 38.7813, -9.1359, 374),
    at("MAD", "LEMD", "Madrid-Barajas", "Spain", 40.4719, -3.5626, 1998),
    at("MEL", "YMML", "Melbourne", "Australia", -37.6733, 144.8433, 434),
    at("MEX", "MMMX", "Mexico City International", "Mexico", 19.4363, -99.0721, 7316),
    at("MIA", "KMIA", "Miami International", "United States", 25.7932, -80.2906, 8),
    at("MUC", "EDDM", "Munich", "Germany", 48.3538, 11.7861, 1487),
    at("NBO", "HKJK", "Jomo Kenyatta International", "Kenya", -1.3192, 36.9278, 5330),
    at("NRT", "RJAA", "Narita International", "Japan", 35.7647, 140.3864, 141),
    at("ORD", "KORD", "Chicago O'Hare International", "United States", 41.9786, -87.9048, 672),
    at("OSL", "ENGM", "Oslo Gardermoen", "Norway", 60.1939, 11.1004, 681),
    at("PRG", "LKPR", "Vaclav Havel Prague", "Czech Republic", 50.1008, 14.2600, 1247),
    at("SEA", "KSEA", "Seattle-Tacoma International", "United States", 47.4490, -122.3093, 433),
    at("SFO", "KSFO", "San Francisco International", "United States", 37.6190, -122.3749, 13),
    at("SIN", "WSSS", "Singapore Changi", "Singapore", 1.3502, 103.9940, 22),
    at("SYD", "YSSY", "Sydney Kingsford Smith", "Australia", -33.9461, 151.1772, 21),
    at("TPE", "RCTP", "Taiwan Taoyuan International", "Taiwan", 25.0777, 121.2328, 106),
    at("VIE", "LOWW", "Vienna International", "Austria", 48.1103, 16.5697, 600),
    at("WAW", "EPWA", "Warsaw Chopin", "Poland", 52.1657, 20.9671, 362),
    at("YYZ", "CYYZ", "Toronto Pearson International", "Canada", 43.6772, -79.6306, 569),
    at("ZRH", "LSZH", "Zurich", "Switzerland", 47.4647, 8.5492, 1416),
];

/// How a type of aircraft flies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AircraftType {
    /// ICAO type designator.
    pub code: &'static str,
    /// Cruising speed over ground, m/s.
    pub cruise_speed: f64,
    /// Cruising altitude, m.
    pub cruise_altitude: f64,
    /// Vertical rate in climb, m/s; in descent two thirds of it.
    pub climb_rate: f64,
    /// Longest route, m.
    pub range: f64,
    /// Seats.
    pub seats: i16,
    /// Maximum take-off mass, kg.
    pub mass_kg: u32,
    /// Category of the state vector (17): 3 small, 4 large, 5 high vortex, 6 heavy.
    pub category: i16,
}

/// `figures`: cruising speed, cruising altitude, climb rate, range.
const fn flies(
    code: &'static str,
    figures: [f64; 4],
    seats: i16,
    mass_kg: u32,
    category: i16,
) -> AircraftType {
    let [cruise_speed, cruise_altitude, climb_rate, range] = figures;
    AircraftType { code, cruise_speed, cruise_altitude, climb_rate, range, seats, mass_kg, category }
}

/// The types of the fleet, by rounded public figures.
pub const TYPES: &[AircraftType] = &[
    flies("A20N", [230.0, 11_300.0, 11.0, 6_300e3], 180, 79_000, 4),
    flies("A359", [250.0, 12_500.0, 10.0, 15_000e3], 325, 280_000, 6),
    flies("AT76", [140.0, 6_100.0, 6.5, 1_500e3], 72, 23_000, 3),
    flies("B38M", [232.0, 11_600.0, 11.5, 6_500e3], 178, 82_000, 4),
    flies("B752", [235.0, 11_900.0, 12.0, 7_200e3], 200, 115_000, 5),
    flies("B77W", [250.0, 11_900.0, 9.5, 13_600e3], 396, 351_000, 6),
    flies("CRJ9", [225.0, 11_000.0, 11.0, 2_800e3], 90, 38_000, 4),
    flies("E190", [225.0, 11_000.0, 11.0, 4_500e3], 100, 51_000, 4),
];

/// Callsign prefixes of airlines that do not exist.
pub const AIRLINES: &[&str] = &["ZQA", "ZQK", "QXM", "QXT", "XZB", "XZR", "ZXN", "QZV"];

/// First 24-bit address of the fleet: in a block that is reserved and allocated to no state.
pub const FIRST_ADDRESS: u32 = 0xd0_0000;

/// Most aircraft that the block is used for here.
pub const FLEET_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn airports_are_distinct_and_on_the_globe() {
        let codes: BTreeSet<_> = AIRPORTS.iter().flat_map(|airport| [airport.iata, airport.icao]).collect();
        assert_eq!((AIRPORTS.len(), codes.len()), (60, 120));
        for airport in AIRPORTS {
            assert_eq!((airport.iata.len(), airport.icao.len()), (3, 4), "{airport:?}");
            assert!(airport.latitude.abs() < 90.0 && airport.longitude.abs() < 180.0, "{airport:?}");
        }
    }
}
