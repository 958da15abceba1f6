"""Services as virtual servers of the kernel's own load balancer (IPVS).

A cluster IP is an address of the device kube-ipvs0, which sends nothing: packets to it are this host's own, and IPVS
takes them on their way in. What IPVS cannot do alone (other sources for some packets, refusals, source ranges) is a
few fixed iptables rules that ask ipsets; only the sets' members, the servers and the device's addresses change with
Services. Reading order: options, plan (pure: one Service), rules (fixed, pure), diff (pure: what is wanted against
what there is), host (the kernel), apply.
"""
