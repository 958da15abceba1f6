"""Programs that hurt a part until it breaks, and checkers that say whether it broke in silence."""
