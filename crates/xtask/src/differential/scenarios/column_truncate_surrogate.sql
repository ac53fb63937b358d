-- truncation in the middle of a character outside of the basic plane
-- set: column.truncate.to.5.chars=column_truncate_surrogate\..*
--> setup
CREATE TABLE t (id int PRIMARY KEY, t text);
--> rows
--> stream
INSERT INTO t VALUES (1, '🛫🛫🛫🛫');
