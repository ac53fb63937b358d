-- schemas by name: what stands in others is no event
-- set: schema.include.list=schemas_included,zzz
--> setup
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE SCHEMA schemas_included_not;
CREATE TABLE schemas_included_not.t (id int PRIMARY KEY, v text);
INSERT INTO schemas_included_not.t VALUES (1, 'unseen');
--> rows
INSERT INTO t SELECT coalesce(max(id), 0) + 1, 'seen' FROM t;
--> stream
UPDATE t SET v = 'changed';
UPDATE schemas_included_not.t SET v = 'changed';
DELETE FROM t WHERE id = 1;
