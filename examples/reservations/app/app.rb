require "json"
require "sinatra/base"
require "time"
require_relative "jobs"
require_relative "settings"
require_relative "store"

# POST /reservations   {"restaurant": 1, "table": 4, "starts_at": "2026-12-24T19:00:00Z", "party": 2, "name": "Sato"}
# GET  /reservations/1
# GET  /healthz        checks the database and Redis
# GET  /version
class Reservations < Sinatra::Base
  set :show_exceptions, false
  set :raise_errors, false
  disable :protection  # Nginx and the load balancer are in front; this is an API without cookies

  before { content_type :json }

  post "/reservations" do
    wanted = read_reservation
    id = Store.reserve(**wanted)
    begin
      ConfirmReservation.perform_async(id)
    rescue Redis::BaseError
      logger.warn("queue is away; the worker will find reservation #{id} in the database")
    end
    status 201
    { id: id }.to_json
  rescue Store::DoubleBooking
    halt 409, { error: "this table is taken at that time" }.to_json
  end

  get "/reservations/:id" do
    halt 404, { error: "no such reservation" }.to_json unless params["id"].match?(/\A\d{1,18}\z/)
    row = Store.find(params["id"]) or halt 404, { error: "no such reservation" }.to_json
    { id: Integer(row["id"]), restaurant: Integer(row["restaurant"]), table: Integer(row["table_number"]),
      starts_at: Time.parse(row["starts_at"]).utc.iso8601, party: Integer(row["party"]), name: row["name"],
      confirmed: !row["confirmed_at"].nil? }.to_json
  end

  get "/healthz" do
    problems = {}
    begin
      Store.query("SELECT 1 FROM reservations LIMIT 1")
    rescue PG::Error => error
      problems[:database] = error.message.strip
    end
    begin
      Sidekiq.redis(&:ping)
    rescue Redis::BaseError => error
      problems[:redis] = error.message
    end
    status problems.empty? ? 200 : 503
    { ok: problems.empty?, problems: problems }.to_json
  end

  get "/version" do
    { version: Settings.version, environment: Settings.environment }.to_json
  end

  error(PG::ConnectionBad, PG::UnableToSend) { halt 503, { error: "the database is away; try again" }.to_json }
  error { halt 500, { error: "internal error" }.to_json }
  not_found { response.body.empty? ? { error: "no such path" }.to_json : response.body }

  private

  def read_reservation
    body = JSON.parse(request.body.read)
    bad("the body must be a JSON object") unless body.is_a?(Hash)
    party = positive(body, "party")
    bad("a party of #{party} needs a call; the largest is #{Settings.largest_party}") if party > Settings.largest_party
    name = body["name"]
    bad("name must be 1 to 100 characters") unless name.is_a?(String) && (1..100).cover?(name.strip.length)
    { restaurant: positive(body, "restaurant"), table: positive(body, "table"), party: party, name: name.strip,
      starts_at: Time.iso8601(body["starts_at"].to_s).utc.iso8601 }
  rescue JSON::ParserError
    bad("the body is not JSON")
  rescue ArgumentError
    bad("starts_at must be a time like 2026-12-24T19:00:00Z")
  end

  def positive(body, key)
    value = body[key]
    bad("#{key} must be a whole number from 1 to 1000000") unless value.is_a?(Integer) && (1..1_000_000).cover?(value)
    value
  end

  def bad(message) = halt(422, { error: message }.to_json)
end
