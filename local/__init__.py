"""AWS on a laptop: everything that stands in for the cloud. Nothing else imports this package."""
