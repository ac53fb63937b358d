-- a snapshot of some of the captured tables; all of them are streamed
-- set: snapshot.include.collection.list=snapshot_included\.read,zzz\.sentinel
--> setup
CREATE TABLE read (id int PRIMARY KEY, v text);
CREATE TABLE unread (id int PRIMARY KEY, v text);
--> rows
INSERT INTO read SELECT coalesce(max(id), 0) + 1, 'both' FROM read;
INSERT INTO unread SELECT coalesce(max(id), 0) + 1, 'streamed' FROM unread;
--> stream
UPDATE unread SET v = 'changed' WHERE id = 1;
DELETE FROM read WHERE id = 1;
