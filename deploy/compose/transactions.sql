CREATE TABLE public.transactions (
    transaction_id serial PRIMARY KEY,
    user_id        int NOT NULL,
    amount         decimal(10,2),
    status         varchar(20),
    created_at     timestamp DEFAULT current_timestamp,
    updated_at     timestamp DEFAULT current_timestamp
);

INSERT INTO public.transactions (user_id, amount, status)
SELECT n * 7 % 100 + 1, n * 37.5, (ARRAY['completed', 'pending', 'failed', 'cancelled'])[n % 4 + 1]
  FROM generate_series(1, 10) AS n;
