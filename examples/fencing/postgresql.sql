-- One row per leadership; it stores the greatest fence that has written. psql and most
-- drivers bind :fence from LEADEREXEC_FENCE.
CREATE TABLE IF NOT EXISTS leadership (name text PRIMARY KEY, fence numeric NOT NULL);

-- First in each transaction that writes as the leader. It locks the row until the end of the
-- transaction, so that no newer leader can intervene; an older one gets an error, and writes nothing.
CREATE OR REPLACE FUNCTION fence(which text, mine numeric) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO leadership AS newest (name, fence) VALUES (which, mine)
        ON CONFLICT (name) DO UPDATE SET fence = mine WHERE newest.fence <= mine;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'fenced: a newer leader of % has written', which;
    END IF;
END $$;

-- BEGIN; SELECT fence('my-worker', :fence); UPDATE ...; COMMIT;
