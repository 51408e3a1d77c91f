"""The long-lived processes: scheduler, worker, guardian, and what they are made of."""
