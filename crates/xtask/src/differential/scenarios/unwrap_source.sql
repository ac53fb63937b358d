-- the shop pipeline's connector: it adds the whole source block, which stops Debezium 3.6.3 in the snapshot
-- set: transforms=unwrap
-- set: transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState
-- set: transforms.unwrap.add.fields=op,ts_ms,source
-- set: transforms.unwrap.delete.handling.mode=rewrite
-- set: key.converter.schemas.enable=false
-- set: value.converter.schemas.enable=false
-- set: database.server.name=cdc-server
-- set: heartbeat.interval.ms=5000
--> setup
CREATE TABLE users (
    id serial PRIMARY KEY, name varchar(100) NOT NULL, email varchar(100) UNIQUE NOT NULL,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now()
);
INSERT INTO users (name, email) VALUES ('a', 'a@b.c'), ('b', 'b@b.c');
--> stream
UPDATE users SET name = 'c' WHERE id = 1;
DELETE FROM users WHERE id = 2;
