require_relative "app"
run Reservations
