"""Tools of a daemon that know no Kubernetes: logs, settings, lifecycle, commands, files, kernel doors.

Must never import anything of the project outside this package.

Reading order: ``lifecycle`` (how every daemon lives and ends), ``settings``, ``command``, ``runner``;
then the kernel's doors ``netlink``, ``netns``, ``nft`` and ``iptables``.
"""
