-- a SELECT of the user's in place of the snapshot's own; the stream knows nothing of it
-- set: snapshot.select.statement.overrides=snapshot_override.t
-- set: snapshot.select.statement.overrides.snapshot_override.t=SELECT * FROM snapshot_override.t WHERE kept ORDER BY id
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text, kept boolean);
CREATE TABLE whole (id int PRIMARY KEY, kept boolean);
--> rows
INSERT INTO t SELECT n, 'row', n % 2 = 0 FROM (SELECT coalesce(max(id), 0) + generate_series(1, 5) AS n FROM t) AS numbers;
INSERT INTO whole SELECT coalesce(max(id), 0) + 1, false FROM whole;
--> stream
UPDATE t SET v = 'changed' WHERE id = 1;
