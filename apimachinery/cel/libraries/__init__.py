"""The functions that expressions may call: CEL's own and those that upstream adds."""
