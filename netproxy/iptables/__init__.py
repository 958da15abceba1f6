"""Services as kube-proxy's iptables chains: plan (pure), base (what is fixed), diff (restore text), apply."""
