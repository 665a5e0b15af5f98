"""Who may call: sign-in and sessions, users, API keys, signed requests."""
