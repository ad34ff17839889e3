# Everything that differs between staging and production comes from the container's environment.
require "uri"

module Settings
  module_function

  def environment = ENV.fetch("APP_ENV", "development")
  def database_url = ENV.fetch("DATABASE_URL")
  def redis_url = ENV.fetch("REDIS_URL", "redis://redis:6379/0")
  # How long a table is taken by one reservation.
  def seating_minutes = Integer(ENV.fetch("SEATING_MINUTES", "120"))
  # The largest party that may book without a phone call.
  def largest_party = Integer(ENV.fetch("LARGEST_PARTY", "12"))
  def version = @version ||= File.read(File.join(__dir__, "VERSION")).strip
end
