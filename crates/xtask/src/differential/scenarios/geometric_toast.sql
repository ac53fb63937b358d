-- shapes that are stored out of line, unchanged by an update
--> setup
CREATE TABLE t (id serial PRIMARY KEY, v int, pa path, po polygon);
ALTER TABLE t ALTER pa SET STORAGE EXTERNAL, ALTER po SET STORAGE EXTERNAL;
--> rows
--> stream
INSERT INTO t (v, pa, po) SELECT 1, ('[' || points || ']')::path, ('(' || points || ')')::polygon FROM (SELECT string_agg(format('(%s,%s)', g, g), ',') AS points FROM generate_series(1, 500) g) AS s;
UPDATE t SET v = 2;
DELETE FROM t;
