//! The fleet: every aircraft flies from airport to airport and reports about every ten seconds of simulated time.
//!
//! The sequence of reports is a function of the seed, the size of the fleet and the start time, nothing else: it does
//! not matter how fast it is asked for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::random::Random;
use crate::route::{Phase, Route, distance};
use crate::state::StateVector;
use crate::world::{AIRLINES, AIRPORTS, AircraftType, Airport, FIRST_ADDRESS, FLEET_MAX, TYPES};

/// Seconds between two reports of one aircraft, before jitter.
const REPORT_SECONDS: u64 = 10;

/// Reports are up to this much later.
const JITTER_SECONDS: u64 = 3;

/// Chance, per report in cruise, that the aircraft leaves the receivers' range, and for how long: below and above the
/// 15 minutes after which contact counts as lost.
const GAP_CHANCE: f64 = 0.001;
const GAP_SECONDS: Range<u64> = 300..1_500;

/// Chance, per report, that it carries no position, or no callsign.
const NO_POSITION_CHANCE: f64 = 0.01;
const NO_CALLSIGN_CHANCE: f64 = 0.01;

/// Chance, per report in the air, of another squawk, and that this is an emergency.
const SQUAWK_CHANCE: f64 = 0.001;
const EMERGENCY_CHANCE: f64 = 0.02;

/// Time at the stand between two flights.
const TURNAROUND_SECONDS: Range<u64> = 1_200..3_600;

/// Something that happened to an aircraft between its last report and this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Seconds since 1970.
    pub at: i64,
    /// Which aircraft.
    pub icao24: String,
    /// What happened.
    pub kind: EventKind,
    /// IATA code of the airport, for a take-off or a landing.
    pub airport: Option<&'static str>,
    /// The new code, for a squawk change.
    pub squawk: Option<String>,
}

/// What can happen to an aircraft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It left the ground.
    TakeOff,
    /// It touched the ground.
    Landing,
    /// Its transponder code changed.
    SquawkChange,
}

impl EventKind {
    /// The label of the enum type in PostgreSQL.
    pub fn label(self) -> &'static str {
        match self {
            Self::TakeOff => "take_off",
            Self::Landing => "landing",
            Self::SquawkChange => "squawk_change",
        }
    }
}

/// What one aircraft says at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The state vector; its `last_contact` is the time of the report.
    pub state: StateVector,
    /// What happened since the last report; mostly nothing.
    pub events: Vec<Event>,
}

/// What does not change about an aircraft.
#[derive(Debug, Clone, PartialEq)]
pub struct Airframe {
    /// 24-bit address, six hexadecimal digits.
    pub icao24: String,
    /// Registration (invented).
    pub registration: String,
    /// Country of registration.
    pub country: &'static str,
    /// How it flies.
    pub kind: &'static AircraftType,
}

#[derive(Debug, Clone)]
struct Aircraft {
    airframe: Airframe,
    callsign: String,
    squawk: String,
    position_source: i16,
    route: Route,
    off_block: i64,
    on_ground: bool,
    random: Random,
}

/// A fleet and its clock.
#[derive(Debug, Clone)]
pub struct Simulator {
    fleet: Vec<Aircraft>,
    /// Next report of each aircraft: the earliest first, then the lowest number.
    queue: BinaryHeap<Reverse<(i64, usize)>>,
    departed: u64,
    landed: u64,
}

impl Simulator {
    /// A fleet of `aircraft` (1 to 50,000), at `start` (seconds since 1970) somewhere along their routes.
    pub fn new(seed: u64, aircraft: usize, start: i64) -> Self {
        let fleet: Vec<Aircraft> =
            (0..aircraft.clamp(1, FLEET_MAX)).map(|number| Aircraft::new(seed, number, start)).collect();
        let mut order = Random::new(seed, u64::MAX);
        let first = |number| Reverse((start + seconds(order.between(0, REPORT_SECONDS)), number));
        let queue = (0..fleet.len()).map(first).collect();
        let departed = fleet.iter().filter(|aircraft| !aircraft.on_ground).count() as u64;
        Self { fleet, queue, departed, landed: 0 }
    }

    /// What does not change about the fleet, in the order of its addresses.
    pub fn airframes(&self) -> impl Iterator<Item = &Airframe> {
        self.fleet.iter().map(|aircraft| &aircraft.airframe)
    }

    /// The time of the next report, seconds since 1970.
    pub fn next_at(&self) -> i64 {
        self.queue.peek().map_or(i64::MAX, |Reverse((at, _))| *at)
    }

    /// The next report; the reports of all aircraft come in the order of their time.
    ///
    /// # Panics
    /// Never: a fleet has at least one aircraft, and each always has a next report.
    pub fn next_report(&mut self) -> Report {
        let Reverse((at, number)) = self.queue.pop().expect("every aircraft has a next report");
        let (report, next_at) = self.fleet[number].report(at);
        self.queue.push(Reverse((next_at, number)));
        for event in &report.events {
            match event.kind {
                EventKind::TakeOff => self.departed += 1,
                EventKind::Landing => self.landed += 1,
                EventKind::SquawkChange => {}
            }
        }
        report
    }

    /// Flights that left the ground, flights that came back to it, and aircraft in the air, each by their reports.
    pub fn traffic(&self) -> (u64, u64, u64) {
        let airborne = self.fleet.iter().filter(|aircraft| !aircraft.on_ground).count() as u64;
        (self.departed, self.landed, airborne)
    }
}

impl Aircraft {
    fn new(seed: u64, number: usize, start: i64) -> Self {
        let mut random = Random::new(seed, number as u64);
        let address = FIRST_ADDRESS + u32::try_from(number).unwrap_or(0);
        let kind = random.pick(TYPES).unwrap_or(&TYPES[0]);
        let home = random.pick(AIRPORTS).unwrap_or(&AIRPORTS[0]);
        let registration = format!("Z9-{number:05}");
        let airframe =
            Airframe { icao24: format!("{address:06x}"), registration, country: home.country, kind };
        let route = next_route(home, kind, &mut random);
        let flown = random.between(0, route.duration() as u64);
        let on_ground = route.at(flown as f64).phase.on_ground();
        // Nine of ten by their own transponder, the others by multilateration or FLARM.
        let position_source = *random.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 2, 3]).unwrap_or(&0);
        let (callsign, squawk) = (callsign(&mut random), squawk(&mut random));
        let off_block = start - seconds(flown);
        Self { airframe, callsign, squawk, position_source, route, off_block, on_ground, random }
    }

    /// The report at this time, and the time of the next one.
    fn report(&mut self, at: i64) -> (Report, i64) {
        let fix = self.route.at((at - self.off_block) as f64);
        let mut events = Vec::new();
        let icao24 = self.airframe.icao24.clone();
        if fix.phase.on_ground() != self.on_ground {
            self.on_ground = fix.phase.on_ground();
            let (kind, airport) = match self.on_ground {
                false => (EventKind::TakeOff, self.route.origin.iata),
                true => (EventKind::Landing, self.route.destination.iata),
            };
            events.push(Event { at, icao24: icao24.clone(), kind, airport: Some(airport), squawk: None });
        }
        if !self.on_ground && self.random.chance(SQUAWK_CHANCE) {
            let emergency = self.random.chance(EMERGENCY_CHANCE);
            self.squawk = if emergency { "7700".to_owned() } else { squawk(&mut self.random) };
            let (kind, squawk) = (EventKind::SquawkChange, Some(self.squawk.clone()));
            events.push(Event { at, icao24, kind, airport: None, squawk });
        }
        let has_position = !self.random.chance(NO_POSITION_CHANCE);
        let has_callsign = !self.random.chance(NO_CALLSIGN_CHANCE);
        let altitude = (!self.on_ground).then_some(fix.altitude);
        let state = StateVector {
            icao24: self.airframe.icao24.clone(),
            callsign: has_callsign.then(|| self.callsign.clone()),
            origin_country: self.airframe.country.to_owned(),
            time_position: has_position.then_some(at),
            last_contact: at,
            longitude: has_position.then(|| rounded(fix.longitude, 1e4)),
            latitude: has_position.then(|| rounded(fix.latitude, 1e4)),
            baro_altitude: altitude.map(|altitude| rounded(altitude, 1e2)),
            on_ground: self.on_ground,
            velocity: Some(rounded(fix.speed, 1e2)),
            heading: Some(rounded(fix.heading, 1e2)),
            vertical_rate: Some(rounded(fix.vertical_rate, 1e2)),
            // Warm air is thin: the geometric altitude is a little above the barometric one.
            geo_altitude: altitude.map(|altitude| rounded(altitude * 1.02, 1e2)),
            squawk: Some(self.squawk.clone()),
            spi: false,
            position_source: self.position_source,
            category: Some(self.airframe.kind.category),
        };
        let next_at = self.next_report_at(at, fix.phase);
        (Report { state, events }, next_at)
    }

    fn next_report_at(&mut self, at: i64, phase: Phase) -> i64 {
        let soon = at + seconds(REPORT_SECONDS + self.random.between(0, JITTER_SECONDS));
        match phase {
            Phase::Arrived => {
                // The transponder is off at the stand: the next report is that of the next flight.
                self.route = next_route(self.route.destination, self.airframe.kind, &mut self.random);
                self.callsign = callsign(&mut self.random);
                self.squawk = squawk(&mut self.random);
                let Range { start, end } = TURNAROUND_SECONDS;
                self.off_block = at + seconds(self.random.between(start, end));
                self.off_block
            }
            Phase::Cruise if self.random.chance(GAP_CHANCE) => {
                let Range { start, end } = GAP_SECONDS;
                soon + seconds(self.random.between(start, end))
            }
            _ => soon,
        }
    }
}

/// A flight from here to somewhere that this type reaches.
fn next_route(from: &'static Airport, kind: &'static AircraftType, random: &mut Random) -> Route {
    let reached: Vec<&'static Airport> =
        AIRPORTS.iter().filter(|to| to.iata != from.iata && distance(from, to) <= kind.range).collect();
    // Some airports are far from all others: then the nearest one will do, whatever the type.
    let nearest = || {
        let others = AIRPORTS.iter().filter(|to| to.iata != from.iata);
        others.min_by(|a, b| distance(from, a).total_cmp(&distance(from, b))).unwrap_or(from)
    };
    let to = random.pick(&reached).copied().unwrap_or_else(nearest);
    Route::new(from, to, kind)
}

fn callsign(random: &mut Random) -> String {
    let airline = random.pick(AIRLINES).copied().unwrap_or("ZQA");
    format!("{airline}{}", random.between(1, 9_999))
}

/// Four octal digits; not the codes that mean an emergency (75xx to 77xx).
fn squawk(random: &mut Random) -> String {
    format!("{:04o}", random.between(0o0001, 0o7500))
}

fn rounded(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

fn seconds(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const START: i64 = 1_700_000_000;

    fn reports(seed: u64, count: usize) -> Vec<Report> {
        let mut simulator = Simulator::new(seed, 50, START);
        (0..count).map(|_| simulator.next_report()).collect()
    }

    #[test]
    fn equal_seeds_give_equal_reports_and_others_do_not() {
        assert_eq!(reports(42, 5_000), reports(42, 5_000));
        assert_ne!(reports(42, 50), reports(43, 50));
    }

    #[test]
    fn time_grows_for_each_aircraft_and_never_falls_for_the_fleet() {
        let (mut last, mut fleet) = (BTreeMap::new(), START);
        for report in reports(1, 50_000) {
            assert!(report.state.last_contact >= fleet);
            fleet = report.state.last_contact;
            if let Some(before) = last.insert(report.state.icao24.clone(), fleet) {
                assert!(fleet >= before + seconds(REPORT_SECONDS), "{}", report.state.icao24);
            }
        }
        assert_eq!(last.len(), 50);
    }

    #[test]
    fn what_took_off_has_landed_or_is_in_the_air() {
        let mut simulator = Simulator::new(3, 200, START);
        for _ in 0..20 {
            for _ in 0..10_000 {
                simulator.next_report();
            }
            let (departed, landed, airborne) = simulator.traffic();
            assert_eq!(departed, landed + airborne);
        }
        let (_, landed, _) = simulator.traffic();
        assert!(landed > 20, "{landed} landings");
    }

    #[test]
    fn traffic_shows_every_kind_of_hole_and_event() {
        let reports = reports(5, 200_000);
        let some = |holds: &dyn Fn(&Report) -> bool| reports.iter().any(holds);
        assert!(some(&|report| report.state.time_position.is_none() && report.state.latitude.is_none()));
        assert!(some(&|report| report.state.callsign.is_none()));
        assert!(some(&|report| report.state.position_source == 2));
        assert!(some(&|report| report.state.squawk.as_deref() == Some("7700")));
        for kind in [EventKind::TakeOff, EventKind::Landing, EventKind::SquawkChange] {
            assert!(some(&|report| report.events.iter().any(|event| event.kind == kind)), "{kind:?}");
        }
    }
}
