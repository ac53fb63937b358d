-- types that Debezium leaves out unless it is told to include them
--> setup
CREATE TYPE pair AS (a int, b text);
CREATE TABLE t (id serial PRIMARY KEY, co pair, mr int4multirange, tq tsquery, ls pg_lsn, xi xid, rc regclass, bx box, ln line, sg lseg, pa path, po polygon, ci circle, snap pg_snapshot, jp jsonpath);
CREATE TABLE required (id serial PRIMARY KEY, co pair NOT NULL, mr int4multirange NOT NULL);
--> rows
INSERT INTO t (co, mr, tq, ls, xi, rc, bx, ln, sg, pa, po, ci, snap, jp) VALUES
  (ROW(1, 'x,y'), '{[1,3),[5,7)}', 'fat & cat', '0/16B3748', '42', 'pg_class', '(2,2),(0,0)', '{1,-1,0}', '[(0,0),(1,1)]', '((0,0),(1,1),(2,0))', '((0,0),(1,1),(2,0))', '<(1,2),3>', '10:20:10,14', '$.a[*]'),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (ROW(NULL, ''), '{(,)}', '', 'FFFFFFFF/FFFFFFFF', '4294967295', '-', '(Infinity,0),(-Infinity,-1e300)', '{0,-1,NaN}', '[(0,0),(0,0)]', '[(0,0)]', '((0,0))', '<(0,0),0>', '1:1:', '$');
--> stream
INSERT INTO required (co, mr) VALUES (ROW(1, 'x'), '{}');
UPDATE t SET mr = '{}' WHERE id = 1;
DELETE FROM required;
DELETE FROM t WHERE id = 1;
