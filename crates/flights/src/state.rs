//! The state vector of the OpenSky Network's API: an array that is read by index.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// What is known of one aircraft at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct StateVector {
    /// (0) 24-bit address, six hexadecimal digits.
    pub icao24: String,
    /// (1) Callsign, without the padding that the API adds.
    pub callsign: Option<String>,
    /// (2) Country.
    pub origin_country: String,
    /// (3) Time of the last position, seconds since 1970; `None` without one in the last 15 s.
    pub time_position: Option<i64>,
    /// (4) Time of the last message, seconds since 1970.
    pub last_contact: i64,
    /// (5) Degrees east.
    pub longitude: Option<f64>,
    /// (6) Degrees north.
    pub latitude: Option<f64>,
    /// (7) Barometric altitude, m.
    pub baro_altitude: Option<f64>,
    /// (8) Whether it is on the ground.
    pub on_ground: bool,
    /// (9) Over ground, m/s.
    pub velocity: Option<f64>,
    /// (10) Track, degrees from north.
    pub heading: Option<f64>,
    /// (11) Upwards, m/s.
    pub vertical_rate: Option<f64>,
    /// (13) Geometric altitude, m. (12, the receivers' numbers, is always null here.)
    pub geo_altitude: Option<f64>,
    /// (14) Transponder code, four octal digits.
    pub squawk: Option<String>,
    /// (15) Special purpose indicator.
    pub spi: bool,
    /// (16) 0 ADS-B, 1 ASTERIX, 2 MLAT, 3 FLARM.
    pub position_source: i16,
    /// (17) Category of the aircraft; in the array only when it was asked for.
    pub category: Option<i16>,
}

/// How many fields the API sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fields {
    /// 17 fields.
    Plain,
    /// 18 fields: `extended=1` adds the category.
    Extended,
}

impl StateVector {
    /// The JSON array; the callsign is padded to eight characters.
    pub fn to_json(&self, fields: Fields) -> Value {
        let callsign = self.callsign.as_ref().map(|callsign| format!("{callsign:<8}"));
        let mut array = vec![
            json!(self.icao24),
            json!(callsign),
            json!(self.origin_country),
            json!(self.time_position),
            json!(self.last_contact),
            json!(self.longitude),
            json!(self.latitude),
            json!(self.baro_altitude),
            json!(self.on_ground),
            json!(self.velocity),
            json!(self.heading),
            json!(self.vertical_rate),
            Value::Null,
            json!(self.geo_altitude),
            json!(self.squawk),
            json!(self.spi),
            json!(self.position_source),
        ];
        if fields == Fields::Extended {
            array.push(json!(self.category.unwrap_or(0)));
        }
        Value::Array(array)
    }

    /// Reads the array of 17 or more fields.
    ///
    /// # Errors
    /// When a field is missing or of another type; names the index.
    pub fn from_json(value: &Value) -> Result<Self> {
        let array = value.as_array().context("state vector: not an array")?;
        let field = |index: usize| {
            array.get(index).with_context(|| format!("state vector: field {index} is missing"))
        };
        let text =
            |index| optional(field(index)?, index, |value| value.as_str().map(|text| text.trim().to_owned()));
        let number = |index| optional(field(index)?, index, Value::as_f64);
        let integer = |index| optional(field(index)?, index, Value::as_i64);
        let flag = |index| optional(field(index)?, index, Value::as_bool);
        let small = |index| Ok::<_, anyhow::Error>(integer(index)?.map(i16::try_from).transpose()?);
        Ok(Self {
            icao24: required(text(0)?, 0)?,
            callsign: text(1)?.filter(|callsign| !callsign.is_empty()),
            origin_country: required(text(2)?, 2)?,
            time_position: integer(3)?,
            last_contact: required(integer(4)?, 4)?,
            longitude: number(5)?,
            latitude: number(6)?,
            baro_altitude: number(7)?,
            on_ground: required(flag(8)?, 8)?,
            velocity: number(9)?,
            heading: number(10)?,
            vertical_rate: number(11)?,
            geo_altitude: number(13)?,
            squawk: text(14)?,
            spi: flag(15)?.unwrap_or(false),
            position_source: small(16)?.unwrap_or(0),
            category: if array.len() > 17 { small(17)? } else { None },
        })
    }
}

fn optional<T>(value: &Value, index: usize, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
    if value.is_null() {
        return Ok(None);
    }
    match read(value) {
        Some(found) => Ok(Some(found)),
        None => bail!("state vector: field {index} is of an unexpected type"),
    }
}

fn required<T>(value: Option<T>, index: usize) -> Result<T> {
    value.with_context(|| format!("state vector: field {index} is null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> StateVector {
        StateVector {
            icao24: "d00001".to_owned(),
            callsign: Some("ZQA12".to_owned()),
            origin_country: "Iceland".to_owned(),
            time_position: None,
            last_contact: 1_700_000_000,
            longitude: None,
            latitude: Some(-1.5),
            baro_altitude: Some(0.0),
            on_ground: true,
            velocity: Some(3.25),
            heading: None,
            vertical_rate: Some(-1.0),
            geo_altitude: None,
            squawk: Some("7700".to_owned()),
            spi: false,
            position_source: 2,
            category: Some(4),
        }
    }

    #[test]
    fn json_has_the_fields_of_the_api_in_its_order() {
        let plain = r#"["d00001","ZQA12   ","Iceland",null,1700000000,null,-1.5,0.0,true,3.25,null,-1.0,null,null,"7700",false,2]"#;
        assert_eq!(sample().to_json(Fields::Plain).to_string(), plain);
        let extended = plain.replace("false,2]", "false,2,4]");
        assert_eq!(sample().to_json(Fields::Extended).to_string(), extended);
    }

    #[test]
    fn json_reads_back() {
        let state = sample();
        assert_eq!(StateVector::from_json(&state.to_json(Fields::Extended)).unwrap(), state);
        let plain = StateVector { category: None, ..state.clone() };
        assert_eq!(StateVector::from_json(&state.to_json(Fields::Plain)).unwrap(), plain);
    }

    #[test]
    fn malformed_vector_is_refused_by_index() {
        let check = |json: &str, expect: &str| {
            let error = StateVector::from_json(&serde_json::from_str(json).unwrap()).unwrap_err().to_string();
            assert!(error.contains(expect), "{json}: {error}");
        };
        check("{}", "not an array");
        check(r#"["d00001",null,"Iceland",null]"#, "field 4 is missing");
        check(r#"["d00001",null,"Iceland",null,"soon"]"#, "field 4 is of an unexpected type");
        check(r#"[null,null,"Iceland",null,1]"#, "field 0 is null");
    }
}
