-- partitioned tables: rows under the names of their partitions
--> setup
CREATE TABLE p (id int, region text, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a');
CREATE TABLE p_b PARTITION OF p FOR VALUES IN ('b');
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (w int) INHERITS (parent);
ALTER TABLE child ADD PRIMARY KEY (id);
--> rows
INSERT INTO p SELECT count(*), 'a', 1 FROM p;
INSERT INTO p SELECT count(*), 'b', 1 FROM p;
INSERT INTO child SELECT count(*), 'c', 1 FROM child;
--> stream
UPDATE p SET v = 2;
UPDATE p SET region = 'b' WHERE region = 'a' AND id = 0;
INSERT INTO parent VALUES (100, 'p');
UPDATE parent SET v = 'both';
DELETE FROM p;
