-- rows for transformations: each kind of value, nulls and defaults, every operation
--> setup
CREATE TABLE users (
    id int PRIMARY KEY, name text NOT NULL, email varchar(100), price numeric(10,2), exact numeric(12,3) NOT NULL DEFAULT 1.5,
    active boolean DEFAULT true, small smallint, big bigint NOT NULL DEFAULT 7, ratio real, factor double precision,
    note text DEFAULT 'n/a', day date, at timestamp, atz timestamptz, "of" time, data bytea, tags int[], js jsonb,
    digits text, dest text DEFAULT replace(current_database(), 't_diff_', 'd') || '.routed.users'
);
CREATE TABLE full_image (LIKE users INCLUDING ALL);
ALTER TABLE full_image REPLICA IDENTITY FULL;
--> rows
INSERT INTO users (id, name, email, price, active, small, ratio, factor, day, at, atz, "of", data, tags, js, digits)
SELECT coalesce(max(id), 0) + 1, 'Ünïcode "q" \ 🛫', 'a@b.c', 12.30, false, -7, 1.5, -2.25e10, '2024-02-29',
    '2024-02-29 12:34:56.789012', '2024-02-29 12:34:56.789012+02', '12:34:56.789', '\x00ff10', '{1,NULL,3}', '{"a":1}', '17'
FROM users;
INSERT INTO users (id, name, note, active) SELECT coalesce(max(id), 0) + 1, 'nulls', NULL, NULL FROM users;
INSERT INTO full_image SELECT * FROM users ON CONFLICT DO NOTHING;
--> stream
UPDATE users SET price = NULL, note = 'x', small = 300 WHERE id = 1;
UPDATE users SET id = 100 WHERE id = 2;
DELETE FROM users WHERE id = 3;
UPDATE full_image SET name = 'changed', digits = '-5' WHERE id IN (1, 2);
UPDATE full_image SET id = 200, digits = NULL WHERE id = 2;
DELETE FROM full_image WHERE id <> 200;
