-- Whether ingest has begun to send a command. An answer that names no command is one to what was sent: it must not settle
-- a command that still waits, which would then never be sent.
ALTER TABLE command ADD COLUMN handed boolean NOT NULL DEFAULT false;
UPDATE command SET handed = true WHERE sent IS NOT NULL;
