-- odd names
--> setup
CREATE SCHEMA "Odd Schema";
CREATE TABLE "Odd Schema"."Table with Blank" ("Id" int PRIMARY KEY, "has space" text, "quote""d" int, "dot.ted" int, "ünï" text, "🛫" int DEFAULT 1, "select" int, "1st" int, "$x" int, "a-b" int);
CREATE TABLE "dot.ted" (id int PRIMARY KEY, v int);
CREATE TABLE "ünïcode" (id int PRIMARY KEY, v int);
CREATE TABLE "UPPER" ("ID" int PRIMARY KEY, "V" int);
CREATE TABLE "back\slash" ("a\b" int PRIMARY KEY, "tab	x" int);
CREATE TYPE "Mood Type" AS ENUM ('A', 'b c', '🛫');
CREATE TABLE typed (id int PRIMARY KEY, m "Mood Type");
CREATE TABLE emoji_key (k text DEFAULT '🛫' PRIMARY KEY);
CREATE TABLE empty_row (id int PRIMARY KEY);
--> rows
--> stream
INSERT INTO "Odd Schema"."Table with Blank" VALUES (1, 'a', 2, 3, 'ü', 9, 4, 5, 6, 7);
UPDATE "Odd Schema"."Table with Blank" SET "Id" = 2;
DELETE FROM "Odd Schema"."Table with Blank";
INSERT INTO "dot.ted" VALUES (1, 2);
INSERT INTO "ünïcode" VALUES (1, 2);
INSERT INTO "UPPER" VALUES (1, 2);
INSERT INTO "back\slash" VALUES (1, 2);
UPDATE "back\slash" SET "a\b" = 5;
INSERT INTO typed VALUES (1, 'b c'), (2, '🛫');
INSERT INTO emoji_key VALUES ('🛫'), ('x');
UPDATE emoji_key SET k = '🛬' WHERE k = '🛫';
INSERT INTO empty_row VALUES (1);
UPDATE empty_row SET id = 2;
