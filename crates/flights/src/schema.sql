-- The tables of the feeder. Safe to run again.

-- One row per report, as the flight pipelines in use today have it.
CREATE TABLE IF NOT EXISTS flights (
    icao24          varchar(50),
    callsign        varchar(50),
    origin_country  varchar(100),
    time_position   timestamp,
    last_contact    timestamp,
    longitude       float,
    latitude        float,
    baro_altitude   float,
    on_ground       boolean,
    velocity        float,
    heading         float,
    vertical_rate   float,
    inserted_by     text,
    inserted_at     timestamp,
    PRIMARY KEY (icao24, last_contact)
);

CREATE OR REPLACE FUNCTION flights_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.inserted_by := CURRENT_USER;
    NEW.inserted_at := NOW();
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER flights_stamp BEFORE INSERT ON flights
    FOR EACH ROW EXECUTE FUNCTION flights_stamp();

-- One row per aircraft in contact: updated in place, deleted when contact is lost.
CREATE TABLE IF NOT EXISTS flights_current (
    icao24          varchar(50) PRIMARY KEY,
    callsign        varchar(50),
    origin_country  varchar(100),
    time_position   timestamp,
    last_contact    timestamp NOT NULL,
    longitude       float,
    latitude        float,
    baro_altitude   float,
    on_ground       boolean,
    velocity        float,
    heading         float,
    vertical_rate   float,
    geo_altitude    float,
    squawk          varchar(4),
    spi             boolean NOT NULL,
    position_source smallint NOT NULL,
    category        smallint,
    track           text,
    updated_at      timestamptz NOT NULL,
    version         bigint NOT NULL
);

DO $$ BEGIN
    CREATE TYPE aircraft_category AS ENUM ('unknown', 'light', 'small', 'large', 'high_vortex', 'heavy');
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;

DO $$ BEGIN
    CREATE TYPE flight_event_kind AS ENUM ('take_off', 'landing', 'squawk_change');
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;

CREATE TABLE IF NOT EXISTS airports (
    iata            char(3) PRIMARY KEY,
    icao            char(4) NOT NULL UNIQUE,
    name            text NOT NULL,
    country         text NOT NULL,
    latitude        numeric(9,6) NOT NULL,
    longitude       numeric(9,6) NOT NULL,
    elevation_ft    int NOT NULL,
    codes           text[] NOT NULL,
    details         jsonb NOT NULL
);

-- FULL: old rows travel whole, and `photo`, stored out of line, is not sent again when it did not change.
CREATE TABLE IF NOT EXISTS aircraft (
    icao24          varchar(6) PRIMARY KEY,
    registration    text NOT NULL,
    type_code       varchar(4) NOT NULL,
    category        aircraft_category NOT NULL,
    country         text NOT NULL,
    serial_number   uuid NOT NULL,
    seats           smallint NOT NULL,
    mass_tonnes     numeric(7,3) NOT NULL,
    features        jsonb NOT NULL,
    engines         int[] NOT NULL,
    photo           bytea,
    built           date NOT NULL,
    landings        bigint NOT NULL DEFAULT 0
);
ALTER TABLE aircraft ALTER COLUMN photo SET STORAGE EXTERNAL;
ALTER TABLE aircraft REPLICA IDENTITY FULL;

-- Append-only, without a primary key, one partition per day (UTC).
CREATE TABLE IF NOT EXISTS flight_events (
    occurred_at     timestamptz NOT NULL,
    icao24          varchar(6) NOT NULL,
    kind            flight_event_kind NOT NULL,
    airport         char(3),
    squawk          varchar(4)
) PARTITION BY RANGE (occurred_at);
