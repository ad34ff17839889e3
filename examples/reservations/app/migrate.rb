# Brings the schema up to date. Each step runs once, in a transaction, under a lock; a second migration that starts meanwhile waits.
require "pg"
require_relative "settings"

STEPS = [
  <<~SQL,
    CREATE EXTENSION IF NOT EXISTS btree_gist;
    CREATE TABLE reservations (
      id bigserial PRIMARY KEY,
      restaurant bigint NOT NULL,
      table_number bigint NOT NULL,
      seating tstzrange NOT NULL,
      party int NOT NULL,
      name text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      EXCLUDE USING gist (restaurant WITH =, table_number WITH =, seating WITH &&)
    );
  SQL
  <<~SQL,
    CREATE TABLE confirmations (
      reservation_id bigint PRIMARY KEY REFERENCES reservations (id),
      sent_at timestamptz NOT NULL DEFAULT now()
    );
  SQL
].freeze

connection = nil
60.times do |attempt|
  connection = PG.connect(Settings.database_url, connect_timeout: 3)
  break
rescue PG::ConnectionBad => error
  raise if attempt == 59

  warn "migrate: waiting for the database: #{error.message.lines.first&.strip}"
  sleep 1
end

connection.exec("SELECT pg_advisory_lock(72150)")
connection.exec("CREATE TABLE IF NOT EXISTS schema_steps (step int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")
done = connection.exec("SELECT count(*) FROM schema_steps")[0]["count"].to_i
STEPS.each.with_index(1) do |sql, step|
  next if step <= done

  connection.transaction do |t|
    t.exec(sql)
    t.exec_params("INSERT INTO schema_steps (step) VALUES ($1)", [step])
  end
  puts "migrate: step #{step} applied"
end
puts "migrate: schema is at step #{STEPS.size}"
