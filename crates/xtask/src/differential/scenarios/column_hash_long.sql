-- column.mask.hash on texts about as long as one that Java serializes in another way
-- set: column.mask.hash.SHA-384.with.salt.s=column_hash_long\.t\.v
-- set: column.mask.hash.v2.SHA-224.with.salt.s=column_hash_long\.t\.w
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text, w text);
--> rows
INSERT INTO t SELECT (SELECT count(*) FROM t) + n, repeat('x', 65530 + n), repeat('y', n) FROM generate_series(3, 8) AS n;
INSERT INTO t SELECT (SELECT count(*) FROM t) + 100 + n, repeat('é', 32764 + n), NULL FROM generate_series(1, 6) AS n;
--> stream
