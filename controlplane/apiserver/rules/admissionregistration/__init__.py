"""Who else is asked about a write: webhooks, policies and their bindings."""
