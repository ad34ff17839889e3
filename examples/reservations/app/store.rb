# The reservations in PostgreSQL. The database itself refuses a double booking, whatever the number of processes.
require "pg"
require_relative "settings"

class Store
  DoubleBooking = Class.new(StandardError)

  # One connection a thread, made again after the database went away.
  def self.connection
    existing = Thread.current[:store]
    return existing if existing && !existing.finished? && existing.status == PG::CONNECTION_OK

    Thread.current[:store] = PG.connect(Settings.database_url, connect_timeout: 3)
  end

  def self.query(sql, values = [])
    connection.exec_params(sql, values)
  rescue PG::ConnectionBad, PG::UnableToSend
    Thread.current[:store]&.close rescue nil
    Thread.current[:store] = nil
    raise
  end

  # The reservations of one table take turns: two inserts that meet in the exclusion constraint would wait for each other,
  # and the database would end both as deadlocked. The lock goes with the transaction, which is this one statement.
  def self.reserve(restaurant:, table:, starts_at:, party:, name:)
    row = query(<<~SQL, [restaurant, table, starts_at, Settings.seating_minutes, party, name]).first
      WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock($1::int, $2::int))
      INSERT INTO reservations (restaurant, table_number, seating, party, name)
      SELECT $1::int, $2::int, tstzrange($3::timestamptz, $3::timestamptz + make_interval(mins => $4::int)), $5::int, $6 FROM turn
      RETURNING id
    SQL
    Integer(row["id"])
  rescue PG::ExclusionViolation
    raise DoubleBooking
  end

  def self.find(id)
    query(<<~SQL, [id]).first
      SELECT r.id, r.restaurant, r.table_number, lower(r.seating) AS starts_at, r.party, r.name, c.sent_at AS confirmed_at
      FROM reservations r LEFT JOIN confirmations c ON c.reservation_id = r.id
      WHERE r.id = $1
    SQL
  end

  # True when this call confirmed it; false when it had been confirmed before. Running a job twice sends one confirmation.
  def self.confirm(id)
    query("INSERT INTO confirmations (reservation_id) VALUES ($1) ON CONFLICT DO NOTHING", [id]).cmd_tuples == 1
  end

  # Accepted reservations whose job was lost (Redis was down, a worker was killed).
  def self.unconfirmed(older_than_seconds)
    query(<<~SQL, [older_than_seconds]).map { |row| Integer(row["id"]) }
      SELECT r.id FROM reservations r LEFT JOIN confirmations c ON c.reservation_id = r.id
      WHERE c.reservation_id IS NULL AND r.created_at < now() - make_interval(secs => $1::int)
      ORDER BY r.id LIMIT 1000
    SQL
  end
end
