"""Tools of a daemon that know no Kubernetes: logs, settings, lifecycle, commands, files, kernel doors.

Must never import anything of the project outside this package.

Reading order: `daemon` and `lifecycle` (how every daemon begins, lives and ends), `settings`, `tasks`
(waiting without losing a cancellation), `command`, `runner`; then the kernel's doors `netlink`, `netns`,
`nft` and `iptables`.
"""
