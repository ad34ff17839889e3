# Four processes, as the old hosts ran it. QUIT is a graceful stop: requests in flight are answered.
listen Integer(ENV.fetch("PORT", "3000")), backlog: 1024
worker_processes Integer(ENV.fetch("UNICORN_WORKERS", "4"))
timeout 30
preload_app true
