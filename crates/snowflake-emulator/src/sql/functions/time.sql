-- Dates and times. Parts have many spellings; one function gives each its plain name.
CREATE OR REPLACE FUNCTION sf.part(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE
    WHEN name IN ('year', 'y', 'yy', 'yyy', 'yyyy', 'yr', 'years', 'yrs') THEN 'year'
    WHEN name IN ('quarter', 'q', 'qtr', 'qtrs', 'quarters') THEN 'quarter'
    WHEN name IN ('month', 'mm', 'mon', 'mons', 'months') THEN 'month'
    WHEN name IN ('week', 'w', 'wk', 'weekofyear', 'woy', 'wy', 'weeks') THEN 'week'
    WHEN name IN ('week_iso', 'weekiso', 'weekofyeariso', 'weekofyear_iso') THEN 'weekiso'
    WHEN name IN ('day', 'd', 'dd', 'days', 'dayofmonth') THEN 'day'
    WHEN name IN ('dayofweek', 'weekday', 'dow', 'dw') THEN 'dayofweek'
    WHEN name IN ('dayofweekiso', 'dayofweek_iso', 'weekday_iso', 'dow_iso', 'dw_iso') THEN 'dayofweekiso'
    WHEN name IN ('dayofyear', 'yearday', 'doy', 'dy') THEN 'dayofyear'
    WHEN name IN ('yearofweek', 'yearofweekiso') THEN 'yearofweek'
    WHEN name IN ('hour', 'h', 'hh', 'hr', 'hours', 'hrs') THEN 'hour'
    WHEN name IN ('minute', 'm', 'mi', 'min', 'minutes', 'mins') THEN 'minute'
    WHEN name IN ('second', 's', 'sec', 'seconds', 'secs') THEN 'second'
    WHEN name IN ('millisecond', 'ms', 'msec', 'milliseconds') THEN 'millisecond'
    WHEN name IN ('microsecond', 'us', 'usec', 'microseconds') THEN 'microsecond'
    WHEN name IN ('nanosecond', 'ns', 'nsec', 'nanosec', 'nsecond', 'nanoseconds', 'nanosecs', 'nseconds') THEN 'nanosecond'
    WHEN name IN ('epoch_second', 'epoch', 'epoch_seconds') THEN 'epoch_second'
    WHEN name IN ('epoch_millisecond', 'epoch_milliseconds') THEN 'epoch_millisecond'
    WHEN name IN ('epoch_microsecond', 'epoch_microseconds') THEN 'epoch_microsecond'
    WHEN name IN ('epoch_nanosecond', 'epoch_nanoseconds') THEN 'epoch_nanosecond'
    WHEN sf.fail('SF032', name || ' is not a valid date/time component') THEN NULL END $$;

-- microseconds since the epoch
CREATE OR REPLACE FUNCTION sf.micros(v timestamp) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT (extract(epoch FROM v) * 1000000)::bigint';
CREATE OR REPLACE FUNCTION sf.floor_div(a bigint, b bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT CASE WHEN a >= 0 THEN a / b ELSE -((-a + b - 1) / b) END';

-- DATEDIFF counts the boundaries between the two, not the full units.
CREATE OR REPLACE FUNCTION sf.datediff(part text, a timestamp, b timestamp) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE unit bigint;
BEGIN
  CASE sf.part(part)
    WHEN 'year' THEN RETURN extract(year FROM b) - extract(year FROM a);
    WHEN 'quarter' THEN RETURN (extract(year FROM b) * 4 + extract(quarter FROM b)) - (extract(year FROM a) * 4 + extract(quarter FROM a));
    WHEN 'month' THEN RETURN (extract(year FROM b) * 12 + extract(month FROM b)) - (extract(year FROM a) * 12 + extract(month FROM a));
    WHEN 'week', 'weekiso' THEN RETURN (date_trunc('week', b)::date - date_trunc('week', a)::date) / 7;
    WHEN 'day' THEN RETURN b::date - a::date;
    WHEN 'hour' THEN unit := 3600000000;
    WHEN 'minute' THEN unit := 60000000;
    WHEN 'second' THEN unit := 1000000;
    WHEN 'millisecond' THEN unit := 1000;
    WHEN 'microsecond' THEN unit := 1;
    WHEN 'nanosecond' THEN RETURN (sf.micros(b) - sf.micros(a)) * 1000;
    ELSE PERFORM sf.fail('SF032', part || ' is not a valid part of DATEDIFF');
  END CASE;
  RETURN sf.floor_div(sf.micros(b), unit) - sf.floor_div(sf.micros(a), unit);
END $$;
CREATE OR REPLACE FUNCTION sf.datediff(part text, a timestamptz, b timestamptz) RETURNS bigint LANGUAGE sql STABLE STRICT PARALLEL SAFE AS
  'SELECT sf.datediff(part, a::timestamp, b::timestamp)';
CREATE OR REPLACE FUNCTION sf.datediff(part text, a date, b date) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT sf.datediff(part, a::timestamp, b::timestamp)';
CREATE OR REPLACE FUNCTION sf.datediff(part text, a time, b time) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT sf.datediff(part, timestamp '1970-01-01' + a, timestamp '1970-01-01' + b) $$;

CREATE OR REPLACE FUNCTION sf.interval_of(part text, amount numeric) RETURNS interval LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  CASE sf.part(part)
    WHEN 'year' THEN RETURN make_interval(years => round(amount)::int);
    WHEN 'quarter' THEN RETURN make_interval(months => 3 * round(amount)::int);
    WHEN 'month' THEN RETURN make_interval(months => round(amount)::int);
    WHEN 'week', 'weekiso' THEN RETURN make_interval(weeks => round(amount)::int);
    WHEN 'day' THEN RETURN make_interval(days => round(amount)::int);
    WHEN 'hour' THEN RETURN round(amount)::bigint * interval '1 hour';
    WHEN 'minute' THEN RETURN round(amount)::bigint * interval '1 minute';
    WHEN 'second' THEN RETURN round(amount)::bigint * interval '1 second';
    WHEN 'millisecond' THEN RETURN round(amount)::bigint * interval '1 millisecond';
    WHEN 'microsecond' THEN RETURN round(amount)::bigint * interval '1 microsecond';
    WHEN 'nanosecond' THEN RETURN floor(amount / 1000)::bigint * interval '1 microsecond';
    ELSE PERFORM sf.fail('SF032', part || ' is not a valid interval part');
  END CASE;
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION sf.interval_of(part text, amount text) RETURNS interval LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT sf.interval_of(part, amount::numeric)';
CREATE OR REPLACE FUNCTION sf.dateadd(part text, amount numeric, v timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT v + sf.interval_of(part, amount)';
CREATE OR REPLACE FUNCTION sf.dateadd(part text, amount numeric, v timestamptz) RETURNS timestamptz LANGUAGE sql STABLE STRICT PARALLEL SAFE AS
  'SELECT v + sf.interval_of(part, amount)';
CREATE OR REPLACE FUNCTION sf.dateadd(part text, amount numeric, v time) RETURNS time LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT v + sf.interval_of(part, amount)';
-- a date stays a date only where the part is a day or more; the engine wants one type, so hours go through TO_TIMESTAMP
CREATE OR REPLACE FUNCTION sf.dateadd(part text, amount numeric, v date) RETURNS date LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN sf.part(part) IN ('year', 'quarter', 'month', 'week', 'weekiso', 'day') THEN (v + sf.interval_of(part, amount))::date
    WHEN sf.fail('SF032', 'the emulator adds ' || part || ' to a TIMESTAMP only; convert the DATE first') THEN NULL END $$;
CREATE OR REPLACE FUNCTION sf.date_trunc(part text, v timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT pg_catalog.date_trunc(replace(sf.part(part), 'weekiso', 'week'), v) $$;
CREATE OR REPLACE FUNCTION sf.date_trunc(part text, v timestamptz) RETURNS timestamptz LANGUAGE sql STABLE STRICT PARALLEL SAFE AS
  $$ SELECT pg_catalog.date_trunc(replace(sf.part(part), 'weekiso', 'week'), v) $$;
CREATE OR REPLACE FUNCTION sf.date_trunc(part text, v date) RETURNS date LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT sf.date_trunc(part, v::timestamp)::date';
CREATE OR REPLACE FUNCTION sf.date_part(part text, v timestamp) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  CASE sf.part(part)
    WHEN 'weekiso' THEN RETURN extract(week FROM v);
    WHEN 'dayofweek' THEN RETURN extract(dow FROM v);
    WHEN 'dayofweekiso' THEN RETURN extract(isodow FROM v);
    WHEN 'dayofyear' THEN RETURN extract(doy FROM v);
    WHEN 'yearofweek' THEN RETURN extract(isoyear FROM v);
    WHEN 'second' THEN RETURN floor(extract(second FROM v));
    WHEN 'millisecond' THEN RETURN mod(sf.micros(v), 1000000) / 1000;
    WHEN 'microsecond' THEN RETURN mod(sf.micros(v), 1000000);
    WHEN 'nanosecond' THEN RETURN mod(sf.micros(v), 1000000) * 1000;
    WHEN 'epoch_second' THEN RETURN sf.floor_div(sf.micros(v), 1000000);
    WHEN 'epoch_millisecond' THEN RETURN sf.floor_div(sf.micros(v), 1000);
    WHEN 'epoch_microsecond' THEN RETURN sf.micros(v);
    WHEN 'epoch_nanosecond' THEN RETURN sf.micros(v) * 1000;
    ELSE RETURN pg_catalog.date_part(sf.part(part), v)::bigint;
  END CASE;
END $$;
CREATE OR REPLACE FUNCTION sf.date_part(part text, v timestamptz) RETURNS bigint LANGUAGE sql STABLE STRICT PARALLEL SAFE AS
  'SELECT sf.date_part(part, v::timestamp)';
CREATE OR REPLACE FUNCTION sf.date_part(part text, v date) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT sf.date_part(part, v::timestamp)';
CREATE OR REPLACE FUNCTION sf.date_part(part text, v time) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT sf.date_part(part, timestamp '1970-01-01' + v) $$;
CREATE OR REPLACE FUNCTION sf.last_day(v timestamp) RETURNS date LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT (pg_catalog.date_trunc('month', v) + interval '1 month - 1 day')::date $$;
CREATE OR REPLACE FUNCTION sf.dayname(v timestamp) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT to_char(v, 'Dy') $$;
CREATE OR REPLACE FUNCTION sf.monthname(v timestamp) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT to_char(v, 'Mon') $$;
CREATE OR REPLACE FUNCTION sf.convert_timezone(target text, v timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT v';
CREATE OR REPLACE FUNCTION sf.convert_timezone(source text, target text, v timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  'SELECT (v AT TIME ZONE source) AT TIME ZONE target';
