//! One flight: a great circle between two airports, and where the aircraft is on it at a given time.

use crate::world::{AircraftType, Airport};

/// Mean radius of the earth, m.
const EARTH_RADIUS: f64 = 6_371_000.0;

/// Minutes on the ground with a moving aircraft, before take-off and after landing, s.
const TAXI_OUT_SECONDS: f64 = 480.0;
const TAXI_IN_SECONDS: f64 = 300.0;

/// Speed on the ground, m/s.
const TAXI_SPEED: f64 = 8.0;

/// Mean speed in climb and descent, as a part of the cruising speed.
const CLIMB_SPEED_PART: f64 = 0.7;

/// Descent is flatter than climb.
const DESCENT_RATE_PART: f64 = 2.0 / 3.0;

const FEET: f64 = 0.3048;

/// What an aircraft is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Moving to the runway.
    TaxiOut,
    /// From take-off to cruising altitude.
    Climb,
    /// At cruising altitude.
    Cruise,
    /// Down to the runway.
    Descent,
    /// From the runway to the stand.
    TaxiIn,
    /// At the stand: the flight is over.
    Arrived,
}

impl Phase {
    /// Whether the wheels touch the ground.
    pub fn on_ground(self) -> bool {
        matches!(self, Self::TaxiOut | Self::TaxiIn | Self::Arrived)
    }
}

/// Where an aircraft is, and how it moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fix {
    /// What it is doing.
    pub phase: Phase,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// Above the sea, m.
    pub altitude: f64,
    /// Over ground, m/s.
    pub speed: f64,
    /// Degrees from north, 0 to 360.
    pub heading: f64,
    /// Upwards, m/s.
    pub vertical_rate: f64,
}

/// A flight of one aircraft type between two airports; times are seconds since it left its stand.
#[derive(Debug, Clone)]
pub struct Route {
    /// Where it begins.
    pub origin: &'static Airport,
    /// Where it ends.
    pub destination: &'static Airport,
    kind: &'static AircraftType,
    distance: f64,
    altitude: f64,
    climb_end: f64,
    cruise_end: f64,
    descent_end: f64,
}

impl Route {
    /// Plans the flight.
    pub fn new(origin: &'static Airport, destination: &'static Airport, kind: &'static AircraftType) -> Self {
        let distance = distance(origin, destination);
        let slow = kind.cruise_speed * CLIMB_SPEED_PART;
        let descent_rate = kind.climb_rate * DESCENT_RATE_PART;
        // Ground covered per metre of altitude, up and down again: short routes do not reach cruising altitude.
        let per_metre = slow / kind.climb_rate + slow / descent_rate;
        let altitude = kind.cruise_altitude.min(distance / per_metre);
        let (climb, descent) = (altitude / kind.climb_rate, altitude / descent_rate);
        let cruise = ((distance - slow * (climb + descent)) / kind.cruise_speed).max(0.0);
        let climb_end = TAXI_OUT_SECONDS + climb;
        let cruise_end = climb_end + cruise;
        Self {
            origin,
            destination,
            kind,
            distance,
            altitude,
            climb_end,
            cruise_end,
            descent_end: cruise_end + descent,
        }
    }

    /// Seconds from stand to stand.
    pub fn duration(&self) -> f64 {
        self.descent_end + TAXI_IN_SECONDS
    }

    /// Where the aircraft is `seconds` after it left its stand.
    pub fn at(&self, seconds: f64) -> Fix {
        let slow = self.kind.cruise_speed * CLIMB_SPEED_PART;
        let descent_rate = self.kind.climb_rate * DESCENT_RATE_PART;
        let (up, down) = (seconds - TAXI_OUT_SECONDS, self.descent_end - seconds);
        let climbed = slow * (self.climb_end - TAXI_OUT_SECONDS);
        let elevation = |airport: &Airport| f64::from(airport.elevation_ft) * FEET;
        let (phase, flown, altitude, speed, vertical_rate) = if up < 0.0 {
            (Phase::TaxiOut, 0.0, elevation(self.origin), TAXI_SPEED, 0.0)
        } else if seconds < self.climb_end {
            (Phase::Climb, slow * up, self.kind.climb_rate * up, slow, self.kind.climb_rate)
        } else if seconds < self.cruise_end {
            let flown = climbed + self.kind.cruise_speed * (seconds - self.climb_end);
            (Phase::Cruise, flown, self.altitude, self.kind.cruise_speed, 0.0)
        } else if down > 0.0 {
            (Phase::Descent, self.distance - slow * down, descent_rate * down, slow, -descent_rate)
        } else if seconds < self.duration() {
            (Phase::TaxiIn, self.distance, elevation(self.destination), TAXI_SPEED, 0.0)
        } else {
            (Phase::Arrived, self.distance, elevation(self.destination), 0.0, 0.0)
        };
        let part = if self.distance > 0.0 { (flown / self.distance).clamp(0.0, 1.0) } else { 1.0 };
        let (latitude, longitude) = between(self.origin, self.destination, part);
        let heading = bearing(latitude, longitude, self.destination);
        Fix { phase, latitude, longitude, altitude, speed, heading, vertical_rate }
    }
}

/// Great-circle distance, m (haversine).
pub fn distance(from: &Airport, to: &Airport) -> f64 {
    2.0 * EARTH_RADIUS * half_angle(from, to)
}

/// Half of the angle between two airports as seen from the centre of the earth, radians.
fn half_angle(from: &Airport, to: &Airport) -> f64 {
    let (lat1, lat2) = (from.latitude.to_radians(), to.latitude.to_radians());
    let north = ((lat2 - lat1) / 2.0).sin();
    let east = ((to.longitude - from.longitude).to_radians() / 2.0).sin();
    (north * north + lat1.cos() * lat2.cos() * east * east).sqrt().min(1.0).asin()
}

/// The point at this part of the great circle.
fn between(from: &Airport, to: &Airport, part: f64) -> (f64, f64) {
    let angle = 2.0 * half_angle(from, to);
    if angle == 0.0 {
        return (from.latitude, from.longitude);
    }
    let (a, b) = (((1.0 - part) * angle).sin() / angle.sin(), (part * angle).sin() / angle.sin());
    let vector = |airport: &Airport| {
        let (latitude, longitude) = (airport.latitude.to_radians(), airport.longitude.to_radians());
        (latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin())
    };
    let (p, q) = (vector(from), vector(to));
    let (x, y, z) = (a * p.0 + b * q.0, a * p.1 + b * q.1, a * p.2 + b * q.2);
    (z.atan2(x.hypot(y)).to_degrees(), y.atan2(x).to_degrees())
}

/// Degrees from north towards the airport.
fn bearing(latitude: f64, longitude: f64, to: &Airport) -> f64 {
    let (lat1, lat2) = (latitude.to_radians(), to.latitude.to_radians());
    let east = (to.longitude - longitude).to_radians();
    let (y, x) = (east.sin() * lat2.cos(), lat1.cos() * lat2.sin() - lat1.sin() * lat2.cos() * east.cos());
    y.atan2(x).to_degrees().rem_euclid(360.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{AIRPORTS, TYPES};

    fn airport(iata: &str) -> &'static Airport {
        AIRPORTS.iter().find(|airport| airport.iata == iata).unwrap()
    }

    #[test]
    fn distances_agree_with_published_ones() {
        let check = |from, to, km: f64| {
            let is = distance(airport(from), airport(to)) / 1000.0;
            assert!((is - km).abs() < km * 0.005, "{from}-{to}: {is}");
        };
        check("JFK", "LHR", 5_555.0);
        check("SYD", "SIN", 6_289.0);
        check("HND", "SFO", 8_294.0);
    }

    #[test]
    fn every_route_is_continuous_and_ends_where_it_should() {
        for (from, to) in [("JFK", "LHR"), ("HND", "SFO"), ("AMS", "BRU"), ("GRU", "JNB"), ("SYD", "MEL")] {
            for kind in TYPES {
                let route = Route::new(airport(from), airport(to), kind);
                let mut before = route.at(0.0);
                let mut seconds = 0.0;
                while seconds < route.duration() {
                    seconds += 10.0;
                    let fix = route.at(seconds);
                    let jump = (fix.latitude - before.latitude).abs() * 111e3;
                    assert!(
                        jump <= kind.cruise_speed * 10.0 * 1.02 + 1.0,
                        "{from}-{to} {}: {fix:?}",
                        kind.code
                    );
                    assert!(fix.altitude <= kind.cruise_altitude + 2_600.0, "{fix:?}");
                    assert!((0.0..=360.0).contains(&fix.heading), "{fix:?}");
                    before = fix;
                }
                assert_eq!(before.phase, Phase::Arrived);
                assert!((before.latitude - airport(to).latitude).abs() < 1e-6, "{before:?}");
                assert!((before.longitude - airport(to).longitude).abs() < 1e-6, "{before:?}");
            }
        }
    }
}
