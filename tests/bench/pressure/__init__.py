"""What the workload ``pressure`` is made of: a steady producer, what is done to the installation meanwhile, figures."""
