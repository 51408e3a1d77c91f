"""How the apps are put together into one installation: settings, database, web process, logs."""
