"""Dynamic resource allocation: what claims ask for, what they were given, and what drivers offer (KEP-4381)."""
