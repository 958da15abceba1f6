"""The `wherry` commands: options are turned into values here, and nothing is decided.

Owns: option names, help texts, the words in which an error is told. Must never touch the machine itself.

Reading order: `base` (what every command does), `life` (up, down), `look`, `nodes`, `images`, `backups`,
`checks`.
"""
