"""The emitted services, as their clients meet them: installed, used, killed, restarted."""
