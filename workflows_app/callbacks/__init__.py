"""Who is told of the end of a task: endpoints and deliveries, as Standard Webhooks describes them."""
