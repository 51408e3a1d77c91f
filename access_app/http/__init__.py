"""What every endpoint of the API shares: who asks, JSON in and out, problems, pages, filters, conditions."""
