-- Money in whole credits. A lot's remainder is the only balance; entries are the history, and every
-- transaction of entries sums to zero because each movement of a lot is met by a counter-account.

-- The row that is locked while lots of a wallet move.
CREATE TABLE wallet (
    owner_id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT app_now()
);

CREATE TABLE lot (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL REFERENCES wallet (owner_id),
    pool text NOT NULL CHECK (pool IN ('subscription', 'purchased')),
    remaining bigint NOT NULL CHECK (remaining >= 0),
    expires_at timestamptz,
    source text NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    idem_key text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT app_now()
);
CREATE INDEX lot_spendable ON lot (owner_id) WHERE remaining > 0;

-- account 'lot' is a wallet's side; the others are the house's.
CREATE TABLE entry (
    id uuid PRIMARY KEY,
    transaction_id uuid NOT NULL,
    account text NOT NULL CHECK (account IN ('lot', 'issued', 'held', 'spent', 'lapsed')),
    kind text NOT NULL CHECK (kind IN ('grant', 'hold', 'capture', 'release', 'expire')),
    owner_id uuid NOT NULL REFERENCES wallet (owner_id),
    lot_id uuid NOT NULL REFERENCES lot (id),
    amount bigint NOT NULL CHECK (amount <> 0),
    balance_after bigint CHECK (balance_after >= 0),
    job_id uuid,
    item_id uuid,
    work_id uuid,
    reason text NOT NULL DEFAULT '',
    idem_key text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT app_now(),
    CHECK ((account = 'lot') = (balance_after IS NOT NULL))
);
CREATE INDEX entry_history ON entry (owner_id, id DESC) WHERE account = 'lot';
CREATE INDEX entry_job ON entry (job_id) WHERE account = 'lot';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries are never changed' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE ON entry FROM accounts, accounts_system;

CREATE FUNCTION transaction_sums_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount) FROM entry WHERE transaction_id = NEW.transaction_id) <> 0 THEN
        RAISE EXCEPTION 'transaction % does not sum to zero', NEW.transaction_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE INDEX entry_transaction ON entry (transaction_id);
CREATE CONSTRAINT TRIGGER entry_balanced AFTER INSERT ON entry DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION transaction_sums_to_zero();

-- One hold per item.
CREATE TABLE hold (
    item_id uuid PRIMARY KEY,
    job_id uuid NOT NULL,
    work_id uuid NOT NULL,
    owner_id uuid NOT NULL REFERENCES wallet (owner_id),
    amount bigint NOT NULL CHECK (amount >= 0),
    outcome text CHECK (outcome IN ('captured', 'released')),
    created_at timestamptz NOT NULL DEFAULT app_now(),
    settled_at timestamptz,
    CHECK ((outcome IS NULL) = (settled_at IS NULL))
);
CREATE INDEX hold_job ON hold (job_id);
CREATE INDEX hold_open ON hold (owner_id) WHERE outcome IS NULL;
-- A work is paid at most once, whatever happens.
CREATE UNIQUE INDEX hold_work ON hold (work_id) WHERE outcome IS NULL OR outcome = 'captured';

-- From which lots a hold was taken: where a release gives it back.
CREATE TABLE hold_part (
    item_id uuid NOT NULL REFERENCES hold (item_id),
    lot_id uuid NOT NULL REFERENCES lot (id),
    amount bigint NOT NULL CHECK (amount > 0),
    PRIMARY KEY (item_id, lot_id)
);

-- The gate: the row that is written decides, so a hold is settled exactly once. It may come before
-- the hold does (a job that was given up while its hold was on the way); that hold is then refused.
CREATE TABLE settlement (
    item_id uuid PRIMARY KEY,
    outcome text NOT NULL CHECK (outcome IN ('captured', 'released')),
    settled_at timestamptz NOT NULL DEFAULT app_now()
);

ALTER TABLE wallet ENABLE ROW LEVEL SECURITY;
ALTER TABLE wallet FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON wallet FOR SELECT TO accounts USING (owner_id = app_user());
CREATE POLICY house ON wallet TO accounts_system USING (true) WITH CHECK (true);
ALTER TABLE lot ENABLE ROW LEVEL SECURITY;
ALTER TABLE lot FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON lot FOR SELECT TO accounts USING (owner_id = app_user());
CREATE POLICY house ON lot TO accounts_system USING (true) WITH CHECK (true);
ALTER TABLE entry ENABLE ROW LEVEL SECURITY;
ALTER TABLE entry FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON entry FOR SELECT TO accounts USING (owner_id = app_user());
CREATE POLICY house ON entry TO accounts_system USING (true) WITH CHECK (true);
ALTER TABLE hold ENABLE ROW LEVEL SECURITY;
ALTER TABLE hold FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON hold FOR SELECT TO accounts USING (owner_id = app_user());
CREATE POLICY house ON hold TO accounts_system USING (true) WITH CHECK (true);
ALTER TABLE hold_part ENABLE ROW LEVEL SECURITY;
ALTER TABLE hold_part FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON hold_part FOR SELECT TO accounts
    USING (EXISTS (SELECT FROM hold WHERE hold.item_id = hold_part.item_id));
CREATE POLICY house ON hold_part TO accounts_system USING (true) WITH CHECK (true);
ALTER TABLE settlement ENABLE ROW LEVEL SECURITY;
ALTER TABLE settlement FORCE ROW LEVEL SECURITY;
CREATE POLICY house ON settlement TO accounts_system USING (true) WITH CHECK (true);
