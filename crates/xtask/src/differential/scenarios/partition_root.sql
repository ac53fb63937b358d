-- partitioned tables under the name of their root, in a publication made by the connector
-- set: publish.via.partition.root=true
-- set: publication.name=made
--> setup
CREATE TABLE p (id int, region text, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a');
CREATE TABLE p_b PARTITION OF p FOR VALUES IN ('b');
--> rows
--> stream
INSERT INTO p VALUES (1, 'a', 1), (2, 'b', 1);
UPDATE p SET v = 2;
UPDATE p SET region = 'b' WHERE id = 1;
DELETE FROM p;
