require "sidekiq"
require_relative "settings"
require_relative "store"

Redis.silence_deprecations = true  # Sidekiq 6.4 calls redis-rb 4.8 in its old way

Sidekiq.configure_client { |config| config.redis = { url: Settings.redis_url, connect_timeout: 1, reconnect_attempts: 0 } }
Sidekiq.configure_server do |config|
  config.redis = { url: Settings.redis_url }
  # Accepted means confirmed: what never reached Redis is found in the database and queued again.
  config.on(:startup) do
    Thread.new do
      loop do
        Store.unconfirmed(5).each { |id| ConfirmReservation.perform_async(id) }
      rescue StandardError => error
        Sidekiq.logger.warn("sweep: #{error.class}: #{error.message}")
      ensure
        sleep 5
      end
    end
  end
end

class ConfirmReservation
  include Sidekiq::Worker
  sidekiq_options retry: 25

  def perform(id)
    logger.info("confirmation sent for reservation #{id}") if Store.confirm(id)
  end
end
