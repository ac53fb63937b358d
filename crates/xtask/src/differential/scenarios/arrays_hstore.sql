-- arrays of hstore
--> setup
CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public;
CREATE TABLE t (id serial PRIMARY KEY, hs hstore[]);
--> rows
INSERT INTO t (hs) VALUES (ARRAY['a=>1'::hstore, NULL, 'b=>NULL, "q\""=>"x,y"']), ('{}'), (NULL);
--> stream
