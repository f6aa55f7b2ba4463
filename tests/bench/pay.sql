-- Writes in one transaction the rows that a hold and its capture write: the least that a ledger of
-- this schema can do. The peer of the ledger's figures.
CREATE FUNCTION accounts.bench_pay(payer uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    chosen uuid;
    left_over bigint;
    item uuid := gen_random_uuid();
    job uuid := gen_random_uuid();
    work uuid := gen_random_uuid();
    first uuid := gen_random_uuid();
    second uuid := gen_random_uuid();
BEGIN
    PERFORM FROM accounts.wallet WHERE owner_id = payer FOR UPDATE;
    SELECT id INTO chosen FROM accounts.lot WHERE owner_id = payer AND remaining > 0;
    UPDATE accounts.lot SET remaining = remaining - 1 WHERE id = chosen
        RETURNING remaining INTO left_over;
    INSERT INTO accounts.hold (item_id, job_id, work_id, owner_id, amount)
        VALUES (item, job, work, payer, 1);
    INSERT INTO accounts.hold_part (item_id, lot_id, amount) VALUES (item, chosen, 1);
    INSERT INTO accounts.entry (id, transaction_id, account, kind, owner_id, lot_id, amount,
                                balance_after, job_id, item_id, work_id, idem_key) VALUES
        (gen_random_uuid(), first, 'lot', 'hold', payer, chosen, -1, left_over, job, item, work,
         item || ':hold:lot'),
        (gen_random_uuid(), first, 'held', 'hold', payer, chosen, 1, NULL, job, item, work,
         item || ':hold:held'),
        (gen_random_uuid(), second, 'held', 'capture', payer, chosen, -1, NULL, job, item, work,
         item || ':capture:held'),
        (gen_random_uuid(), second, 'spent', 'capture', payer, chosen, 1, NULL, job, item, work,
         item || ':capture:spent');
    INSERT INTO accounts.settlement (item_id, outcome) VALUES (item, 'captured');
    INSERT INTO accounts.inbox (event_id, subject)
        VALUES (gen_random_uuid(), 'evt.jobs.item.finished.v1');
    UPDATE accounts.hold SET outcome = 'captured', settled_at = accounts.app_now()
        WHERE item_id = item;
END $$;
